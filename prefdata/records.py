"""The canonical records: what every format is read into and written from.

Where it stands: `formats/*` turn rows into these records and back; rules, generation and training see nothing
else. The decision to question: an image's place in the text is a *part* of the message (`MediaRef`), never a
magic string, so `<image>` written by a user as plain text survives every conversion. Media that no part refers
to are *unplaced*: the row listed them without a placeholder, and consumers put them before the first user turn.
"""

from typing import Any, Literal, get_args

import msgspec
import xxhash

Role = Literal["system", "user", "assistant", "tool"]
ROLES: tuple[str, ...] = get_args(Role)
MediaKind = Literal["image", "video", "audio"]


class Media(msgspec.Struct, frozen=True):
    """One image, video or audio of a record: a path or URL, or the bytes themselves."""

    uri: str | None = None
    data: bytes | None = None
    kind: MediaKind = "image"


class Text(msgspec.Struct, frozen=True, tag="text"):
    """A run of text inside a message."""

    text: str


class MediaRef(msgspec.Struct, frozen=True, tag="media"):
    """The place of `record.media[index]` inside a message."""

    index: int


Part = Text | MediaRef


class Message(msgspec.Struct, frozen=True):
    """One turn. `content` alternates text and media in reading order; it may be empty."""

    role: Role
    content: tuple[Part, ...]

    @property
    def text(self) -> str:
        """The text of the turn with media left out."""
        return "".join(part.text for part in self.content if isinstance(part, Text))

    @property
    def media_indexes(self) -> tuple[int, ...]:
        """Indexes into `record.media`, in reading order."""
        return tuple(part.index for part in self.content if isinstance(part, MediaRef))


class Conversation(msgspec.Struct, frozen=True, kw_only=True):
    """A supervised conversation: no rejected side."""

    messages: tuple[Message, ...]
    media: tuple[Media, ...] = ()
    id: str | None = None
    meta: dict[str, Any] = {}


class PreferencePair(msgspec.Struct, frozen=True, kw_only=True):
    """A prompt with a better and a worse continuation. `chosen` and `rejected` are the turns after the prompt."""

    prompt: tuple[Message, ...]
    chosen: tuple[Message, ...]
    rejected: tuple[Message, ...]
    media: tuple[Media, ...] = ()
    margin: float | None = None
    id: str | None = None
    meta: dict[str, Any] = {}


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """A row that asks. `answer` holds every valid reference form; `chosen` is a good answer to be continued."""

    prompt: tuple[Message, ...]
    answer: tuple[str, ...] = ()
    chosen: str | None = None
    answer_type: str | None = None
    options: tuple[str, ...] = ()
    media: tuple[Media, ...] = ()
    id: str | None = None
    meta: dict[str, Any] = {}


Record = Conversation | PreferencePair | Question


def message(role: Role, text: str) -> Message:
    """A turn of plain text."""
    return Message(role=role, content=(Text(text),) if text else ())


def unplaced(messages: tuple[Message, ...], media: tuple[Media, ...]) -> tuple[int, ...]:
    """Indexes of media that no message refers to."""
    placed = {index for turn in messages for index in turn.media_indexes}
    return tuple(index for index in range(len(media)) if index not in placed)


def place_media(
    messages: tuple[Message, ...], media: tuple[Media, ...], separator: str = "\n"
) -> tuple[Message, ...]:
    """Put unplaced media, each followed by `separator`, at the front of the first user turn, as consumers do."""
    missing = unplaced(messages, media)
    if not missing:
        return messages
    front: list[Part] = []
    for index in missing:
        front += [MediaRef(index), Text(separator)] if separator else [MediaRef(index)]
    placed: list[Message] = []
    done = False
    for turn in messages:
        if not done and turn.role == "user":
            turn = Message(turn.role, merge_text((*front, *turn.content)))
            done = True
        placed.append(turn)
    return tuple(placed)


def merge_text(parts: tuple[Part, ...]) -> tuple[Part, ...]:
    """Join neighbouring text parts and drop empty ones, so that equal content has one form."""
    merged: list[Part] = []
    for part in parts:
        if isinstance(part, Text):
            if not part.text:
                continue
            if merged and isinstance(merged[-1], Text):
                merged[-1] = Text(merged[-1].text + part.text)
                continue
        merged.append(part)
    return tuple(merged)


def content_id(*pieces: object) -> str:
    """A stable id (32 hex digits, XXH3-128) of JSON-like pieces: the same content has the same id everywhere."""
    return xxhash.xxh3_128_hexdigest(msgspec.json.encode(pieces, order="sorted"))


def record_id(record: Record) -> str:
    """The id of a record: its own when the source gave one, else a hash of media, prompt and answers."""
    if record.id is not None:
        return record.id
    media = [m.uri if m.uri is not None else xxhash.xxh3_128_hexdigest(m.data or b"") for m in record.media]
    if isinstance(record, Conversation):
        return content_id(media, record.messages)
    if isinstance(record, PreferencePair):
        return content_id(media, record.prompt, record.chosen)
    return content_id(media, record.prompt, record.chosen, record.answer)
