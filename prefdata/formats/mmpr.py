"""`mmpr`: InternVL's MMPR rows, the form in which prefdata's own generation writes pairs.

A flat question and two flat answers. One image as a string (the trainer puts `<image>` in front when the question has
none), several as a list with one `<image>` each, or no `image` key. `system_prompt` is read by InternVL 3.5 only.
"""

from typing import Any, ClassVar

import msgspec

from prefdata.formats.base import Format, Holds, Kind, Signature, View, Written
from prefdata.formats.dialect import IMAGE, Splitter, in_reading_order, join
from prefdata.formats.fields import (
    answer_turn,
    blank_media,
    extras,
    media_of,
    plain_turn,
    system_and_rest,
    uris,
    user_turn,
)
from prefdata.formats.othernames import ASKED, BETTER, WORSE
from prefdata.records import PreferencePair

# Also finds <image1> and the like, which the rules look at.
_MARKER_START = "<image"


class Row(msgspec.Struct, gc=False):
    """A row as MMPR documents it; other keys are ignored by its readers."""

    question: str
    chosen: str
    rejected: str
    image: str | list[str] | None = None
    video: str | list[str] | None = None
    system_prompt: str | None = None


class Mmpr(Format):
    """MMPR JSON lines."""

    id = "mmpr"
    title = "InternVL MMPR preference pairs"
    kinds: ClassVar[tuple[Kind, ...]] = ("pair",)
    row = Row
    marker = IMAGE
    uniform = True
    holds = Holds(turns=False, system=True)
    content_keys = frozenset({"image", "video", "question", "chosen", "rejected", "system_prompt"})
    misspelt: ClassVar[dict[str, str]] = {
        "images": "image",
        **dict.fromkeys((key for key in ASKED if key != "question"), "question"),
        **dict.fromkeys((key for key in BETTER if key != "chosen"), "chosen"),
        **dict.fromkeys((key for key in WORSE if key != "rejected"), "rejected"),
    }
    sample = (
        '{"image":"geo/3.png","question":"<image>\\nArea?","chosen":"...Final answer: 6",'
        '"rejected":"...Final answer: 8"}'
    )

    def view(self, row: dict[str, Any]) -> View:
        """The row with places."""
        media = media_of(row, "image") + media_of(row, "video", "video")
        splitter = Splitter([found.media for found in media], {"image": IMAGE})
        prompt = plain_turn(row, "system_prompt", "system") + user_turn(row, "question", splitter)
        return View(
            kind="pair",
            prompt=prompt,
            chosen=answer_turn(row, "chosen"),
            rejected=answer_turn(row, "rejected"),
            media=media,
            blank_media=blank_media(row, "image", "video"),
            front=isinstance(row.get("image"), str),
            slots=splitter.found,
        )

    def write(self, record: PreferencePair) -> Written:
        """The row of a pair with one question."""
        prompt, media = in_reading_order(record.prompt, record.media, leave_single=True)
        system, (question,) = system_and_rest(prompt)
        row: dict[str, Any] = {}
        if media:
            row["image"] = uris(media)[0] if len(media) == 1 else uris(media)
        row["question"] = join(question, media, {"image": IMAGE})
        row["chosen"] = record.chosen[0].text
        row["rejected"] = record.rejected[0].text
        few: tuple[str, ...] = ()
        if system is not None:
            row["system_prompt"] = system
            few = ("system_prompt (InternVL 3.5 alone reads it)",)
        added, lost, carried = extras(record, row)
        return Written(row | added, tuple(lost), (*few, *carried))

    def signature(self, row: Row) -> Signature:
        """Image(s), question and both answers."""
        image = row.image
        media = image if isinstance(image, str) else "\0".join(image) if image else ""
        question = row.question if row.system_prompt is None else f"{row.system_prompt}\0{row.question}"
        return media, question, row.chosen, row.rejected

    def clean(self, row: Row) -> bool:
        """One image with at most one marker, answers that are not blank and clearly differ."""
        chosen, rejected, question, image = row.chosen, row.rejected, row.question, row.image
        markers = question.count(IMAGE)
        if image.__class__ is str:
            fits = bool(image) and markers <= 1
        elif image:
            fits = markers == len(image) and all(image)
        else:
            fits = markers == 0 and image is None
        return (
            fits
            and question.count(_MARKER_START) == markers
            and _MARKER_START not in chosen
            and _MARKER_START not in rejected
            and row.video is None
            and row.system_prompt is None
            and not question.isspace()
            and question != IMAGE
            and question != ""
            and differ(chosen, rejected)
        )


def differ(chosen: str, rejected: str) -> bool:
    """Whether two answers surely pass the rules on blank and near-equal sides (False: look closer)."""
    if not chosen or not rejected or chosen.isspace() or rejected.isspace():
        return False
    if chosen == rejected:
        return False
    # Near-equal sides have the same letters and digits; different last ones settle it for most rows.
    a, b = chosen[-1], rejected[-1]
    if a != b and a.isalnum() and b.isalnum() and a.lower() != b.lower():
        return True
    left, right = squeezed(chosen[-_TAIL:]), squeezed(rejected[-_TAIL:])
    common = min(len(left), len(right))
    if left[-common:] != right[-common:] and left[:1].isalnum() and right[:1].isalnum():
        return True
    left, right = squeezed(chosen), squeezed(rejected)
    # Of texts without letters nothing is squeezed out, spaces neither.
    return left != right and left[:1].isalnum() and right[:1].isalnum()


# So many last characters hold the difference of most sides that end with the same mark.
_TAIL = 24


def squeezed(text: str) -> str:
    """Letters and digits only, in lower case: equal for texts that differ in case, spaces and marks alone."""
    return "".join(filter(str.isalnum, text.casefold())) or text
