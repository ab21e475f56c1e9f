"""`rlvr` and `llava-eval`: rows that ask, in other shapes than `qa`. Read only.

`rlvr` (open-instruct): `messages` that end with the user, and `ground_truth`. `llava-eval`: LLaVA's question files,
`text` about one `image`, without an answer.
"""

from typing import Any, ClassVar

import msgspec

from prefdata.formats.base import Found, Holds, Kind, View
from prefdata.formats.fields import blank_media, media_of, plain_turn
from prefdata.formats.messages import Messages, Said
from prefdata.formats.qa import answer_forms
from prefdata.formats.ranked import Ranked


class RlvrRow(msgspec.Struct, gc=False):
    """A question with its checkable answer."""

    messages: list[Said]
    ground_truth: str | int | float | list[str]


class Rlvr(Ranked):
    """Rows for reinforcement learning with verifiable rewards."""

    id = "rlvr"
    title = "questions as messages with `ground_truth`"
    kinds: ClassVar[tuple[Kind, ...]] = ("question",)
    row: ClassVar[type[msgspec.Struct]] = RlvrRow
    holds = Holds(turns=True, system=True, literal="always")
    content_keys = frozenset({"messages", "ground_truth"})
    sample = '{"messages":[{"role":"user","content":"What is 1 + 2?"}],"ground_truth":"3","dataset":"test"}'

    def view(self, row: dict[str, Any]) -> View:
        """The row with places."""
        media: list[Found] = []
        turns = Messages(media).turns(row.get("messages"), "messages")
        answer = tuple(answer_forms(row.get("ground_truth")))
        return View(kind="question", prompt=turns, media=media, answer=answer)


class EvalRow(msgspec.Struct, gc=False):
    """A question about an image."""

    text: str
    image: str
    question_id: int | str


class LlavaEval(Ranked):
    """LLaVA question files."""

    id = "llava-eval"
    title = "LLaVA evaluation questions, without answers"
    kinds: ClassVar[tuple[Kind, ...]] = ("question",)
    row: ClassVar[type[msgspec.Struct]] = EvalRow
    holds = Holds(turns=False, system=False, images="one", literal="always")
    content_keys = frozenset({"text", "image"})
    sample = '{"question_id":0,"image":"a.jpg","text":"What color is it?","category":"conv"}'

    def view(self, row: dict[str, Any]) -> View:
        """The row with places."""
        return View(
            kind="question",
            prompt=plain_turn(row, "text", "user"),
            media=media_of(row, "image"),
            blank_media=blank_media(row, "image"),
            front=True,
        )
