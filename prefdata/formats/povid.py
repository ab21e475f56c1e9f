"""`povid`: POVID: a LLaVA conversation and a second, rejected one, on one image. Read only."""

from typing import Any, ClassVar

import msgspec

from prefdata.formats.base import Format, Holds, Kind, Signature, Turn, View, Written
from prefdata.formats.chat import ROLES
from prefdata.formats.chat import Turn as Line
from prefdata.formats.dialect import IMAGE, Splitter
from prefdata.formats.fields import blank_media, media_of, turns_of
from prefdata.records import Record


class Row(msgspec.Struct, gc=False):
    """A pair as two conversations."""

    conversations: list[Line]
    rejected_conversations: list[Line]
    image: str | None = None


class Povid(Format):
    """POVID rows."""

    id = "povid"
    title = "POVID pairs of conversations"
    kinds: ClassVar[tuple[Kind, ...]] = ("pair",)
    row = Row
    marker = IMAGE
    writes = False
    container = "json"
    holds = Holds(turns=True, system=False, images="one")
    content_keys = frozenset({"conversations", "rejected_conversations", "image"})
    misspelt: ClassVar[dict[str, str]] = {
        "text": "value",
        "content": "value",
        "role": "from",
        "images": "image",
    }
    sample = (
        '[{"id":"c1","image":"a.jpg","conversations":[{"from":"human","value":"<image>\\nWhat?"},'
        '{"from":"gpt","value":"Cup"}],"rejected_conversations":[{"from":"human","value":"<image>\\nWhat?"},'
        '{"from":"gpt","value":"Hat"}]}]'
    )

    def view(self, row: dict[str, Any]) -> View:
        """The row with places; everything before the last turn is the prompt."""
        media = media_of(row, "image")
        kept = [found.media for found in media]
        splitter = Splitter(kept, {"image": IMAGE})
        prompt, chosen = _cut(turns_of(row.get("conversations"), "conversations", ROLES, splitter))
        key = "rejected_conversations"
        other, rejected = _cut(turns_of(row.get(key), key, ROLES, Splitter(kept, {"image": IMAGE})))
        return View(
            kind="pair",
            prompt=prompt,
            chosen=chosen,
            rejected=rejected,
            rejected_prompt=other,
            media=media,
            blank_media=blank_media(row, "image"),
            front=True,
            slots=splitter.found,
        )

    def write(self, record: Record) -> Written:
        """Never called."""
        raise NotImplementedError

    def signature(self, row: Row) -> Signature:
        """Image, prompt and both last turns."""
        a, b = row.conversations, row.rejected_conversations
        prompt = "\0".join(f"{turn.said}\1{turn.value}" for turn in a[:-1])
        return row.image or "", prompt, a[-1].value if a else "", b[-1].value if b else ""


def _cut(turns: list[Turn]) -> tuple[list[Turn], list[Turn]]:
    return (turns[:-1], turns[-1:]) if turns and turns[-1].role in ("assistant", None) else (turns, [])
