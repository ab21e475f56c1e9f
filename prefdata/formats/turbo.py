"""`turbo-alignment`: `context` with `answer_w` and `answer_l`, or with `answer` and `is_desirable`. Read only."""

from collections.abc import Iterator
from typing import Any, ClassVar

import msgspec

from prefdata.formats.base import Holds, Kind, View
from prefdata.formats.messages import ROLES, Messages
from prefdata.formats.ranked import Ranked


class Said(msgspec.Struct, gc=False):
    """One turn."""

    role: str
    content: str


class Row(msgspec.Struct, gc=False):
    """A pair, or a labelled answer."""

    context: list[Said]
    answer_w: Said | None = None
    answer_l: Said | None = None
    answer: Said | None = None
    is_desirable: bool | None = None


class Turbo(Ranked):
    """turbo-alignment rows."""

    id = "turbo-alignment"
    title = "turbo-alignment pairs and labelled answers"
    kinds: ClassVar[tuple[Kind, ...]] = ("pair", "labelled answer")
    row: ClassVar[type[msgspec.Struct]] = Row
    holds = Holds(turns=True, system=True, images="none", literal="always")
    content_keys = frozenset({"context", "answer_w", "answer_l", "answer", "is_desirable"})
    sample = (
        '{"id":"0","context":[{"role":"user","content":"Hi"}],"answer_w":{"role":"bot","content":"Hello"},'
        '"answer_l":{"role":"bot","content":"Go away"}}'
    )

    def view(self, row: dict[str, Any]) -> View:
        """The row with places."""
        reader = Messages([], roles={**ROLES, "bot": "assistant"})
        prompt = reader.turns(row.get("context"), "context")
        better, worse, answer = (
            [turn] if (turn := reader.turn(row.get(key), f"{key}.content")) else []
            for key in ("answer_w", "answer_l", "answer")
        )
        wanted = row.get("is_desirable")
        if row.get("answer") is None:
            return View(kind="pair", prompt=prompt, chosen=better, rejected=worse)
        sides = (answer, []) if wanted else ([], answer)
        return View(
            kind="labelled answer", prompt=prompt, label=bool(wanted), chosen=sides[0], rejected=sides[1]
        )

    def shape(self, row: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
        """The keys that belong together."""
        needed = ("answer_w", "answer_l") if row.get("answer") is None else ("is_desirable",)
        for key in needed:
            if row.get(key) is None:
                yield "PD021", key, ""
