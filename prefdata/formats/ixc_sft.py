"""`ixc-sft-2.0` and `ixc-sft-2.5`: XComposer's fine-tuning rows; two formats in one file, as they share all but habits.

2.0: `image` is a list (a text would be read letter by letter) and every image has its `<ImageHere>`; user, assistant.
2.5: one image is a text without a placeholder, several are labelled as in `ixc-reward`; human, bot. Neither has a
system turn: the loader would train on it as the assistant's, so such a conversation is refused.
"""

from collections.abc import Iterator
from typing import Any, ClassVar

import msgspec

from prefdata.formats.base import Format, Holds, Kind, Signature, View, Written
from prefdata.formats.dialect import IXC, Splitter, in_reading_order, join
from prefdata.formats.fields import FROM_VALUE, blank_media, extras, media_of, spoken, turns_of, uris
from prefdata.records import Conversation, Role

ROLES: dict[str, Role] = {
    "human": "user",
    "user": "user",
    "bot": "assistant",
    "assistant": "assistant",
    "gpt": "assistant",
    "system": "system",
}


class Line(msgspec.Struct, rename={"said": "from"}, gc=False):
    """One turn."""

    said: str
    value: str


class Row(msgspec.Struct, gc=False):
    """A conversation with its image or images."""

    conversations: list[Line]
    image: str | list[str] | None = None


class IxcSft25(Format):
    """XComposer2.5 conversations."""

    id = "ixc-sft-2.5"
    title = "XComposer2.5 fine-tuning conversations"
    kinds: ClassVar[tuple[Kind, ...]] = ("conversation",)
    row = Row
    marker = IXC
    one_modality = True
    container = "json"
    uniform = True
    holds = Holds(turns=True, system=False, literal="never", literal_in_answer=False, turn_keys=FROM_VALUE)
    content_keys = frozenset({"conversations", "image"})
    misspelt: ClassVar[dict[str, str]] = {
        "conversation": "conversations",
        "text": "value",
        "content": "value",
        "role": "from",
        "images": "image",
    }
    sample = (
        '[{"id":"2","image":"a.jpg","conversations":[{"from":"human","value":"Color?"},'
        '{"from":"bot","value":"Red."}]}]'
    )
    names: ClassVar[dict[Role, str]] = {"user": "human", "assistant": "bot"}
    # One image is written as a text, without a placeholder.
    bare_single: ClassVar[bool] = True

    def view(self, row: dict[str, Any]) -> View:
        """The row with places."""
        media = media_of(row, "image")
        splitter = Splitter([found.media for found in media], {"image": IXC})
        turns = turns_of(row.get("conversations"), "conversations", ROLES, splitter)
        return View(
            kind="conversation",
            prompt=turns,
            media=media,
            blank_media=blank_media(row, "image"),
            front=self.bare_single and len(media) == 1,
            slots=splitter.found,
        )

    def write(self, record: Conversation) -> Written:
        """The row of a conversation."""
        messages, media = in_reading_order(record.messages, record.media, leave_single=self.bare_single)
        row: dict[str, Any] = {}
        if media:
            row["image"] = uris(media)[0] if len(media) == 1 and self.bare_single else uris(media)
        row["conversations"] = [
            spoken(turn, self.names[turn.role], join(turn, media, {"image": IXC})) for turn in messages
        ]
        added, lost, carried = extras(record, row)
        identity = {"id": added.pop("id")} if "id" in added else {}
        return Written(identity | row | added, tuple(lost), tuple(name for name in carried if name != "id"))

    def signature(self, row: Row) -> Signature:
        """Image(s) and all turns."""
        media = row.image if isinstance(row.image, str) else "\0".join(row.image or ())
        return media, "\0".join(f"{turn.said}\1{turn.value}" for turn in row.conversations), "", ""


class IxcSft20(IxcSft25):
    """XComposer2 conversations."""

    id = "ixc-sft-2.0"
    title = "XComposer2 fine-tuning conversations"
    sample = (
        '[{"id":"1","image":["a.jpg"],"conversations":[{"from":"user","value":"<ImageHere>Color?"},'
        '{"from":"assistant","value":"Red."}]}]'
    )
    names: ClassVar[dict[Role, str]] = {"user": "user", "assistant": "assistant"}
    bare_single: ClassVar[bool] = False

    def shape(self, row: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
        """`image` as a text is read letter by letter by the original loader."""
        if isinstance(row.get("image"), str):
            yield "PD025", "image", "a text where the 2.0 loader needs a list"
