"""The canonical records: what every format is read into and written from.

Where it stands: `formats/*` turn rows into these records and back; rules, generation and training see nothing
else. The decision to question: an image's place in the text is a *part* of the message (`MediaRef`), never a
magic string, so `<image>` written by a user as plain text survives every conversion. Media that no part refers
to are *unplaced*: the row listed them without a placeholder, and consumers put them before the first user turn.
What a row holds and its record does not is named in `unread`, so that no conversion can lose it in silence.
"""

from typing import Any, Literal, get_args

import msgspec
import xxhash

Role = Literal["system", "user", "assistant", "tool"]
ROLES: tuple[str, ...] = get_args(Role)
MediaKind = Literal["image", "video", "audio"]


class Media(msgspec.Struct, frozen=True, omit_defaults=True):
    """One image, video or audio of a record: a path or URL, or the bytes themselves.

    `extra` holds what a typed part says beside it (`image_wh`, frame rates), for the formats that can write it.
    """

    uri: str | None = None
    data: bytes | None = None
    kind: MediaKind = "image"
    extra: dict[str, Any] = {}


class Text(msgspec.Struct, frozen=True, tag="text"):
    """A run of text inside a message."""

    text: str


class MediaRef(msgspec.Struct, frozen=True, tag="media"):
    """The place of `record.media[index]` inside a message."""

    index: int


Part = Text | MediaRef


class ToolCall(msgspec.Struct, frozen=True, omit_defaults=True):
    """A call that the assistant makes. `arguments` is JSON text, compact where it can be read as JSON."""

    name: str
    arguments: str
    id: str | None = None


# Defaults stay out of the encoding, so that the ids of plain turns are what they were before calls had a place.
class Message(msgspec.Struct, frozen=True, omit_defaults=True):
    """One turn. `content` alternates text and media in reading order; it may be empty.

    `reasoning` is thought written before the content; `call_id` says which call a tool turn answers. `extra` holds the
    other keys of the turn (`loss`, `weight`, `score`), for the formats that have turns to write them into.
    """

    role: Role
    content: tuple[Part, ...]
    calls: tuple[ToolCall, ...] = ()
    reasoning: str | None = None
    call_id: str | None = None
    name: str | None = None
    extra: dict[str, Any] = {}

    def __hash__(self) -> int:
        """Of what is said alone: a dictionary has no hash."""
        return hash((self.role, self.content))

    @property
    def text(self) -> str:
        """The text of the turn with media left out."""
        return "".join(part.text for part in self.content if isinstance(part, Text))

    @property
    def media_indexes(self) -> tuple[int, ...]:
        """Indexes into `record.media`, in reading order."""
        content = self.content
        # Most turns are one text, and this is asked for every turn of every row several times.
        if not content or (len(content) == 1 and content[0].__class__ is Text):
            return ()
        return tuple(part.index for part in content if isinstance(part, MediaRef))


class Conversation(msgspec.Struct, frozen=True, kw_only=True):
    """A supervised conversation: no rejected side."""

    messages: tuple[Message, ...]
    media: tuple[Media, ...] = ()
    id: str | None = None
    meta: dict[str, Any] = {}
    unread: tuple[str, ...] = ()


class PreferencePair(msgspec.Struct, frozen=True, kw_only=True):
    """A prompt with a better and a worse continuation. `chosen` and `rejected` are the turns after the prompt.

    `rejected_media`, where given, are seen with the rejected side at the places of `media`: as many, of the same kinds.
    """

    prompt: tuple[Message, ...]
    chosen: tuple[Message, ...]
    rejected: tuple[Message, ...]
    media: tuple[Media, ...] = ()
    rejected_media: tuple[Media, ...] | None = None
    margin: float | None = None
    id: str | None = None
    meta: dict[str, Any] = {}
    unread: tuple[str, ...] = ()


class LabelledAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """An answer that is wanted (`label`) or not, without another one to compare with (KTO, BCO)."""

    prompt: tuple[Message, ...]
    answer: tuple[Message, ...]
    label: bool
    media: tuple[Media, ...] = ()
    id: str | None = None
    meta: dict[str, Any] = {}
    unread: tuple[str, ...] = ()


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """One of several answers: a higher score or a lower rank is better. `meta` keeps its model, ratings and so on."""

    messages: tuple[Message, ...]
    score: float | None = None
    rank: float | None = None
    meta: dict[str, Any] = {}


class RankedCandidates(msgspec.Struct, frozen=True, kw_only=True):
    """A prompt with several rated answers, in the source's order; `formats/pairing.py` makes pairs of it."""

    prompt: tuple[Message, ...]
    candidates: tuple[Candidate, ...]
    media: tuple[Media, ...] = ()
    id: str | None = None
    meta: dict[str, Any] = {}
    unread: tuple[str, ...] = ()


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
    unread: tuple[str, ...] = ()


Record = Conversation | PreferencePair | Question | LabelledAnswer | RankedCandidates


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
            turn = msgspec.structs.replace(turn, content=merge_text((*front, *turn.content)))
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
    """The id of a record: a hash of media, prompt and answers. An id that the source gave may stand there twice."""
    media = [m.uri if m.uri is not None else xxhash.xxh3_128_hexdigest(m.data or b"") for m in record.media]
    if isinstance(record, Conversation):
        return content_id(media, bare(record.messages))
    prompt = bare(record.prompt)
    if isinstance(record, PreferencePair):
        return content_id(media, prompt, bare(record.chosen))
    if isinstance(record, LabelledAnswer):
        return content_id(media, prompt, bare(record.answer))
    if isinstance(record, RankedCandidates):
        return content_id(media, prompt, [bare(candidate.messages) for candidate in record.candidates])
    return content_id(media, prompt, record.chosen, record.answer)


def bare(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """The turns without their extra keys: what is said, and nothing about it."""
    return tuple(msgspec.structs.replace(turn, extra={}) if turn.extra else turn for turn in messages)
