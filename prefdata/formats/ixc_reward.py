"""`ixc-reward`: InternLM-XComposer2.5-Reward training rows: two whole conversations, the chosen one under `_a`.

One JSON array per file, all rows with images or none. One image needs no placeholder (it is put before the whole
chat); several are marked `Image 1 <ImageHere>; `. The original loader takes every unknown role as the assistant's;
here an unknown role is an error.
"""

from typing import Any, ClassVar

import msgspec

from prefdata.formats.base import Format, Holds, Kind, Signature, Turn, View, Written
from prefdata.formats.dialect import IXC, Splitter, in_reading_order, join
from prefdata.formats.fields import blank_media, extras, media_of, turns_of, uris
from prefdata.records import Message, PreferencePair, Role

ROLES: dict[str, Role] = {
    "system": "system",
    "human": "user",
    "user": "user",
    "bot": "assistant",
    "assistant": "assistant",
    "gpt": "assistant",
}
NAMES: dict[Role, str] = {"system": "system", "user": "human", "assistant": "bot"}


class Said(msgspec.Struct, rename={"said": "from"}, gc=False):
    """One turn."""

    said: str
    value: str


class Row(msgspec.Struct, gc=False):
    """A pair as two conversations."""

    conversations_a: list[Said]
    conversations_b: list[Said]
    image: str | list[str] | None = None


class IxcReward(Format):
    """IXC-2.5-Reward pairs."""

    id = "ixc-reward"
    title = "InternLM-XComposer2.5-Reward preference pairs"
    kinds: ClassVar[tuple[Kind, ...]] = ("pair",)
    row = Row
    marker = IXC
    container = "json"
    holds = Holds(turns=True, system=True, literal="never", literal_in_answer=False)
    content_keys = frozenset({"conversations_a", "conversations_b", "image"})
    misspelt: ClassVar[dict[str, str]] = {
        "text": "value",
        "role": "from",
        "content": "value",
        "images": "image",
    }
    sample = (
        '[{"id":7,"image":"imgs/cat.jpg","conversations_a":[{"from":"human","value":"How many cats?"},'
        '{"from":"bot","value":"Two cats."}],"conversations_b":[{"from":"human","value":"How many cats?"},'
        '{"from":"bot","value":"Five dogs."}]}]'
    )

    def view(self, row: dict[str, Any]) -> View:
        """The row with places; everything before the last turn is the prompt."""
        media = media_of(row, "image")
        items = [found.media for found in media]
        splitter = Splitter(items, {"image": IXC})
        prompt, chosen = _cut(turns_of(row.get("conversations_a"), "conversations_a", ROLES, splitter))
        other, rejected = _cut(
            turns_of(row.get("conversations_b"), "conversations_b", ROLES, Splitter(items, {"image": IXC}))
        )
        return View(
            kind="pair",
            prompt=prompt,
            chosen=chosen,
            rejected=rejected,
            rejected_prompt=other,
            media=media,
            blank_media=blank_media(row, "image"),
            front=len(media) == 1,
            slots=splitter.found,
        )

    def write(self, record: PreferencePair) -> Written:
        """The row of a pair."""
        prompt, media = in_reading_order(record.prompt, record.media, leave_single=True)
        row: dict[str, Any] = {}
        if media:
            row["image"] = uris(media)[0] if len(media) == 1 else uris(media)
        for key, side in (("conversations_a", record.chosen), ("conversations_b", record.rejected)):
            turns: tuple[Message, ...] = (*prompt, *side)
            row[key] = [
                {"from": NAMES[turn.role], "value": join(turn, media, {"image": IXC})} for turn in turns
            ]
        added, lost, carried = extras(record, row)
        identity = {"id": added.pop("id")} if "id" in added else {}
        return Written(identity | row | added, tuple(lost), tuple(carried))

    def signature(self, row: Row) -> Signature:
        """Image(s), the chosen side's prompt, both last turns."""
        media = row.image if isinstance(row.image, str) else "\0".join(row.image or ())
        a, b = row.conversations_a, row.conversations_b
        prompt = "\0".join(f"{turn.said}\1{turn.value}" for turn in a[:-1])
        return media, prompt, a[-1].value if a else "", b[-1].value if b else ""


def _cut(turns: list[Turn]) -> tuple[list[Turn], list[Turn]]:
    if turns and turns[-1].role in ("assistant", None):
        return turns[:-1], turns[-1:]
    return turns, []
