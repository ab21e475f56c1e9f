"""What `internvl-sft` and `llava` share: conversations of {from, value} with `<image>` in the text."""

from typing import Any, ClassVar

import msgspec

from prefdata.formats.base import Format, Kind, Signature, View, Written
from prefdata.formats.dialect import IMAGE, Splitter, in_reading_order, join
from prefdata.formats.fields import blank_media, extras, media_of, spoken, turns_of, uris
from prefdata.records import Conversation, Role

ROLES: dict[str, Role] = {"human": "user", "gpt": "assistant", "system": "system"}
NAMES: dict[Role, str] = {"user": "human", "assistant": "gpt", "system": "system"}


class Turn(msgspec.Struct, rename={"said": "from"}, gc=False):
    """One turn."""

    said: str
    value: str


class Row(msgspec.Struct, gc=False):
    """A conversation with its image or images."""

    conversations: list[Turn]
    image: str | list[str] | None = None
    video: str | list[str] | None = None


class Chat(Format):
    """Base of the two formats; they differ in container, in images and in what their loaders refuse."""

    kinds: ClassVar[tuple[Kind, ...]] = ("conversation",)
    row = Row
    marker = IMAGE
    content_keys = frozenset({"conversations", "image", "video"})
    misspelt: ClassVar[dict[str, str]] = {
        "conversation": "conversations",
        "text": "value",
        "content": "value",
        "role": "from",
        "images": "image",
    }

    def view(self, row: dict[str, Any]) -> View:
        """The row with places."""
        media = media_of(row, "image") + media_of(row, "video", "video")
        splitter = Splitter([found.media for found in media], {"image": IMAGE})
        turns = turns_of(row.get("conversations"), "conversations", ROLES, splitter)
        return View(
            kind="conversation",
            prompt=turns,
            media=media,
            slots=splitter.found,
            blank_media=blank_media(row, "image", "video"),
            front=isinstance(row.get("image"), str),
        )

    def write(self, record: Conversation) -> Written:
        """The row of a conversation."""
        messages, media = in_reading_order(record.messages, record.media, leave_single=True)
        row: dict[str, Any] = {}
        if media:
            row["image"] = uris(media)[0] if len(media) == 1 else uris(media)
        row["conversations"] = [
            spoken(turn, NAMES[turn.role], join(turn, media, {"image": IMAGE})) for turn in messages
        ]
        added, lost, carried = extras(record, row)
        identity = {"id": added.pop("id")} if "id" in added else {}
        return Written(identity | row | added, tuple(lost), tuple(name for name in carried if name != "id"))

    def signature(self, row: Row) -> Signature:
        """Image(s) and all turns."""
        media = row.image if isinstance(row.image, str) else "\0".join(row.image or ())
        return media, "\0".join(f"{turn.said}\1{turn.value}" for turn in row.conversations), "", ""

    def clean(self, row: Row) -> bool:
        """Human and gpt in turn, none blank, markers only where humans speak and as many as images."""
        turns, image = row.conversations, row.image
        if not turns or len(turns) % 2 or row.video is not None:
            return False
        markers = 0
        expected = "human"
        for turn in turns:
            value = turn.value
            if turn.said != expected or not value or value.isspace() or value == IMAGE:
                return False
            if "<image" in value:
                count = value.count(IMAGE)
                if expected == "gpt" or value.count("<image") != count:
                    return False
                markers += count
            expected = "gpt" if expected == "human" else "human"
        if image is None:
            return markers == 0
        if isinstance(image, str):
            return bool(image) and markers <= 1
        return markers == len(image) and all(image) and bool(image)
