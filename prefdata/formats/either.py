"""`pku` and `llmbar`: two answers under numbered keys and a key that says which one is better. Read only.

`pku` (PKU-SafeRLHF, align-anything): `response_0`, `response_1`, `better_response_id` from 0. Safety is another
question: `safer_response_id` may name the other one and is carried, with the id that tells which was which. `llmbar`:
`output_1`, `output_2`, `label` from 1.
"""

from collections.abc import Iterator
from typing import Any, ClassVar

import msgspec

from prefdata.formats.base import Holds, Kind, View
from prefdata.formats.fields import answer_turn, plain_turn
from prefdata.formats.ranked import Ranked


class PkuRow(msgspec.Struct, gc=False):
    """Two responses and the better one's number."""

    prompt: str
    response_0: str
    response_1: str
    better_response_id: int


class Pku(Ranked):
    """PKU-SafeRLHF and align-anything rows."""

    id = "pku"
    title = "PKU-SafeRLHF and align-anything pairs"
    kinds: ClassVar[tuple[Kind, ...]] = ("pair",)
    row: ClassVar[type[msgspec.Struct]] = PkuRow
    holds = Holds(turns=False, system=False, images="none", literal="always")
    container = "json"
    asked: ClassVar[str] = "prompt"
    answers: ClassVar[tuple[str, str]] = ("response_0", "response_1")
    better: ClassVar[str] = "better_response_id"
    # The number of the first answer.
    first: ClassVar[int] = 0
    content_keys = frozenset({"prompt", "response_0", "response_1"})
    sample = (
        '[{"prompt":"2+2?","response_0":"5","response_1":"4","better_response_id":1,"safer_response_id":0}]'
    )

    def view(self, row: dict[str, Any]) -> View:
        """The row with places."""
        view = View(kind="pair", prompt=plain_turn(row, self.asked, "user"))
        number = row.get(self.better)
        if isinstance(number, int) and not list(self.shape(row)):
            better = number - self.first
            view.chosen = answer_turn(row, self.answers[better])
            view.rejected = answer_turn(row, self.answers[1 - better])
        return view

    def shape(self, row: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
        """The number of one of the two answers."""
        value = row.get(self.better)
        if value is not None and (isinstance(value, bool) or value not in (self.first, self.first + 1)):
            yield "PD022", self.better, f"{self.first} or {self.first + 1}, not {value!r}"


class LlmBarRow(msgspec.Struct, gc=False):
    """Two outputs and the better one's number."""

    input: str
    output_1: str
    output_2: str
    label: int


class LlmBar(Pku):
    """LLMBar rows."""

    id = "llmbar"
    title = "LLMBar pairs"
    row: ClassVar[type[msgspec.Struct]] = LlmBarRow
    asked: ClassVar[str] = "input"
    answers: ClassVar[tuple[str, str]] = ("output_1", "output_2")
    better: ClassVar[str] = "label"
    first: ClassVar[int] = 1
    content_keys = frozenset({"input", "output_1", "output_2"})
    sample = '[{"input":"2+2?","output_1":"4","output_2":"5","label":1}]'
