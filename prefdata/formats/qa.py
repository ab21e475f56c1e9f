"""`qa`: a question with its reference `answer` (to be sampled and judged), or with a `chosen` to be continued.

`answer` is one text or a list of equally valid forms; a number is taken as its text. Rows without any answer may be
sampled but not judged. The same image conventions as `mmpr`;
`<image1>` and so on, by which some sets name their images, are read and written as `<image>`.
"""

from typing import Any, ClassVar

import msgspec

from prefdata.formats.base import Format, Holds, Kind, Signature, View, Written
from prefdata.formats.dialect import IMAGE, Splitter, in_reading_order, join, numbered
from prefdata.formats.fields import (
    blank_media,
    extras,
    media_of,
    plain_turn,
    system_and_rest,
    uris,
    user_turn,
)
from prefdata.records import Question


class Row(msgspec.Struct, gc=False):
    """A question; other keys are carried along."""

    question: str
    answer: str | int | float | list[str] | None = None
    answer_type: str | None = None
    options: list[str] | None = None
    chosen: str | None = None
    image: str | list[str] | None = None
    system_prompt: str | None = None


class Qa(Format):
    """Questions as JSON lines."""

    id = "qa"
    title = "questions with reference answers, or with an answer to be continued"
    kinds: ClassVar[tuple[Kind, ...]] = ("question",)
    row = Row
    marker = IMAGE
    holds = Holds(turns=False, system=True)
    content_keys = frozenset(
        {"image", "question", "answer", "answer_type", "options", "chosen", "system_prompt"}
    )
    misspelt: ClassVar[dict[str, str]] = {"images": "image", "answers": "answer", "prompt": "question"}
    sample = '{"image":"plots/1.png","question":"Which bar is highest?","answer":["B","bar B"],"options":["A","B"]}'

    def view(self, row: dict[str, Any]) -> View:
        """The row with places."""
        media = media_of(row, "image")
        splitter = Splitter([found.media for found in media], {"image": IMAGE})
        asked = user_turn(row, "question", splitter)
        slots = splitter.found
        if asked and (parts := numbered(asked[0].text, len(media))) is not None:
            asked = [msgspec.structs.replace(asked[0], parts=parts)]
            slots = {"image": len(media)}
        answer, chosen, kind, options = (
            row.get("answer"),
            row.get("chosen"),
            row.get("answer_type"),
            row.get("options"),
        )
        return View(
            kind="question",
            prompt=plain_turn(row, "system_prompt", "system") + asked,
            media=media,
            blank_media=blank_media(row, "image"),
            front=len(media) == 1,
            slots=slots,
            answer=tuple(answer_forms(answer)),
            answer_type=kind if isinstance(kind, str) else None,
            options=tuple(item for item in options if isinstance(item, str))
            if isinstance(options, list)
            else (),
            continued=chosen if isinstance(chosen, str) else None,
        )

    def write(self, record: Question) -> Written:
        """The row of a question."""
        prompt, media = in_reading_order(record.prompt, record.media, leave_single=True)
        system, (question,) = system_and_rest(prompt)
        row: dict[str, Any] = {}
        if media:
            row["image"] = uris(media)[0] if len(media) == 1 else uris(media)
        row["question"] = join(question, media, {"image": IMAGE})
        if record.answer:
            row["answer"] = record.answer[0] if len(record.answer) == 1 else list(record.answer)
        if record.answer_type is not None:
            row["answer_type"] = record.answer_type
        if record.options:
            row["options"] = list(record.options)
        if record.chosen is not None:
            row["chosen"] = record.chosen
        if system is not None:
            row["system_prompt"] = system
        added, lost, carried = extras(record, row)
        return Written(row | added, tuple(lost), tuple(carried))

    def signature(self, row: Row) -> Signature:
        """Image(s), question, answer and the answer to be continued."""
        media = row.image if isinstance(row.image, str) else "\0".join(row.image or ())
        return media, f"{row.system_prompt or ''}\0{row.question}", f"{row.answer}\0{row.chosen}", ""

    def clean(self, row: Row) -> bool:
        """A question that is not blank, with an answer, and one image with at most one marker."""
        image, question, answer, continued = row.image, row.question, row.answer, row.chosen
        markers = question.count("<image")
        fits = bool(image) and markers <= 1 if isinstance(image, str) else image is None and markers == 0
        answered = (
            isinstance(answer, str) and bool(answer.strip()) if continued is None else bool(continued.strip())
        )
        return (
            fits
            and markers == question.count(IMAGE)
            and answered
            and bool(question.replace(IMAGE, "").strip())
            and row.system_prompt is None
        )


def answer_forms(answer: Any) -> list[str]:
    """Every valid form of a reference answer; a number is taken as its text."""
    if isinstance(answer, str):
        return [answer] if answer else []
    if isinstance(answer, bool):
        return []
    if isinstance(answer, int | float):
        return [str(answer)]
    return [item for item in answer if isinstance(item, str)] if isinstance(answer, list) else []
