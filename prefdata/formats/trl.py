"""`trl`: TRL's preference rows: explicit (prompt + completions) or implicit (full conversations), with images.

Texts are plain strings or message lists, contents plain or typed parts, so nothing in a text is magic. An implicit
row's prompt is the longest common beginning of both sides, as TRL itself takes it. Rows are written explicit and as
messages. `images` without any image part means "in front of the first user turn", which TRL does by itself.
"""

from collections.abc import Iterator
from typing import Any, ClassVar

import msgspec

from prefdata.formats.base import BadRow, Format, Holds, Kind, Signature, Turn, View, Written
from prefdata.formats.dialect import in_reading_order
from prefdata.formats.fields import blank_media, extras, media_of, uris
from prefdata.records import MediaRef, Message, Part, PreferencePair, Record, Role, Text

ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
}


class ContentPart(msgspec.Struct, gc=False):
    """{"type": "text", "text": ...} or {"type": "image"}; "image_url" of OpenAI's dialect is another format."""

    type: str
    text: str | None = None


class TrlMessage(msgspec.Struct, gc=False):
    """One turn."""

    role: str
    content: str | list[ContentPart] | None = None


class Picture(msgspec.Struct, rename={"data": "bytes"}, gc=False):
    """An image as `datasets` stores it."""

    data: bytes | None = None
    path: str | None = None


class Row(msgspec.Struct, gc=False):
    """Explicit or implicit preference."""

    chosen: str | list[TrlMessage]
    rejected: str | list[TrlMessage]
    prompt: str | list[TrlMessage] | None = None
    images: list[str | Picture] | None = None
    image: str | Picture | None = None
    margin: float | None = None


class Trl(Format):
    """TRL preference rows."""

    id = "trl"
    title = "TRL preference pairs, explicit or implicit, with images"
    kinds: ClassVar[tuple[Kind, ...]] = ("pair",)
    row = Row
    marker = None
    holds = Holds(turns=True, system=True, tools=True, literal="always", margin=True, many_answers=True)
    content_keys = frozenset({"prompt", "chosen", "rejected", "images", "image"})
    misspelt: ClassVar[dict[str, str]] = {"reject": "rejected", "from": "role", "value": "content"}
    sample = (
        '{"prompt":[{"role":"user","content":"2+2?"}],"chosen":[{"role":"assistant","content":"4"}],'
        '"rejected":[{"role":"assistant","content":"5"}]}'
    )

    def view(self, row: dict[str, Any]) -> View:
        """The row with places."""
        media = media_of(row, "images") or media_of(row, "image")
        counter = _Counter()
        if "prompt" in row and row["prompt"] is not None:
            prompt = _turns(row["prompt"], "prompt", "user", counter)
            chosen = _turns(row.get("chosen"), "chosen", "assistant", counter)
            rejected = _turns(row.get("rejected"), "rejected", "assistant", counter)
        else:
            prompt, chosen, rejected = _implicit(row.get("chosen"), row.get("rejected"), counter)
        return View(
            kind="pair",
            prompt=prompt,
            chosen=chosen,
            rejected=rejected,
            media=media,
            blank_media=blank_media(row, "image", "images"),
            implicit=row.get("prompt") is None,
            slots={"image": counter.count} if counter.count else None,
        )

    def shape(self, row: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
        """Content parts of another dialect."""
        for key in ("prompt", "chosen", "rejected"):
            turns = row.get(key)
            for index, turn in enumerate(turns if isinstance(turns, list) else []):
                content = turn.get("content") if isinstance(turn, dict) else None
                for number, part in enumerate(content if isinstance(content, list) else []):
                    place = f"{key}[{index}].content[{number}]"
                    said = part.get("type") if isinstance(part, dict) else None
                    if isinstance(said, str) and said not in ("image", "text"):
                        yield "PD022", f"{place}.type", f"a part is `text` or `image`, not {said!r}"
                    elif said == "text" and not isinstance(part.get("text"), str):
                        yield "PD021", f"{place}.text", ""

    def to_record(self, row: dict[str, Any]) -> Record:
        """The record; rows with structured tool calls are refused, records have no place for them."""
        for key in ("prompt", "chosen", "rejected"):
            turns = row.get(key)
            for turn in turns if isinstance(turns, list) else []:
                if isinstance(turn, dict) and turn.get("tool_calls"):
                    raise BadRow(key, "structured `tool_calls` have no place in a record")
        return super().to_record(row)

    def write(self, record: PreferencePair) -> Written:
        """An explicit row of messages."""
        record = _place_all(record)
        # One content type per row: Arrow, which TRL loads through, refuses a column of texts and lists.
        typed = any(turn.media_indexes for turn in record.prompt)
        row: dict[str, Any] = {
            "prompt": _messages(record.prompt, typed),
            "chosen": _messages(record.chosen, typed),
            "rejected": _messages(record.rejected, typed),
        }
        if record.media:
            row["images"] = uris(record.media)
        added, lost, carried = extras(record, row, reads_margin=True)
        return Written(row | added, tuple(lost), tuple(carried))

    def images(self, row: Row) -> str | list[str] | None:
        """References only; inline bytes need no file."""
        if isinstance(row.image, str):
            return row.image
        return [item for item in row.images or () if isinstance(item, str)]

    def signature(self, row: Row) -> Signature:
        """Everything, as JSON text."""
        pieces = (row.images or row.image, row.prompt, row.chosen, row.rejected)
        media, prompt, chosen, rejected = (msgspec.json.encode(piece).decode() for piece in pieces)
        return media, prompt, chosen, rejected


class _Counter:
    """Counts image parts over a row."""

    def __init__(self) -> None:
        self.count = 0

    def next(self) -> int:
        self.count += 1
        return self.count - 1


def _turns(value: Any, field: str, role: Role, counter: _Counter) -> list[Turn]:
    if isinstance(value, str):
        return [Turn(role, role, (Text(value),) if value else (), field)]
    turns = []
    for index, item in enumerate(value if isinstance(value, list) else []):
        if not isinstance(item, dict) or not isinstance(item.get("role"), str):
            continue
        said, place = item["role"], f"{field}[{index}].content"
        turns.append(Turn(ROLES.get(said), said, _parts(item.get("content"), counter), place))
    return turns


def _parts(content: Any, counter: _Counter) -> tuple[Part, ...]:
    if isinstance(content, str):
        return (Text(content),) if content else ()
    parts: list[Part] = []
    for item in content if isinstance(content, list) else []:
        if not isinstance(item, dict):
            continue
        if item.get("type") == "image":
            parts.append(MediaRef(counter.next()))
        elif isinstance(item.get("text"), str) and item["text"]:
            parts.append(Text(item["text"]))
    return tuple(parts)


def _implicit(chosen: Any, rejected: Any, counter: _Counter) -> tuple[list[Turn], list[Turn], list[Turn]]:
    """Split both sides after their longest common beginning; two strings the same way, by characters."""
    if isinstance(chosen, str) and isinstance(rejected, str):
        common = _common(chosen, rejected)
        if 0 < common < min(len(chosen), len(rejected)) and chosen[common - 1] == " ":
            common -= 1
        prompt = _turns(chosen[:common], "chosen", "user", counter) if common else []
        return (
            prompt,
            _turns(chosen[common:], "chosen", "assistant", counter),
            _turns(rejected[common:], "rejected", "assistant", counter),
        )
    if not isinstance(chosen, list) or not isinstance(rejected, list):
        return [], [], []
    common = _common(chosen, rejected)
    # One side equal to, or a beginning of, the other leaves no answer: keep the last turn as the answer.
    common = max(0, min(common, len(chosen) - 1, len(rejected) - 1))
    prompt = _turns(chosen[:common], "chosen", "user", counter)
    better = _turns(chosen, "chosen", "assistant", _Counter())[common:]
    return prompt, better, _turns(rejected, "rejected", "assistant", _Counter())[common:]


def _common(a: Any, b: Any) -> int:
    return next(
        (index for index, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b))
    )


def _messages(messages: tuple[Message, ...], typed: bool) -> list[dict[str, Any]]:
    return [{"role": turn.role, "content": _content(turn) if typed else turn.text} for turn in messages]


def _content(turn: Message) -> list[dict[str, str]]:
    return [
        {"type": "text", "text": part.text} if isinstance(part, Text) else {"type": "image"}
        for part in turn.content
    ]


def _place_all(record: PreferencePair) -> PreferencePair:
    """Image parts do not say which image they mean, so images are listed in reading order.

    Images without any part stay so; if only some have a part, the others get one in front of the first user turn.
    """
    turns = (*record.prompt, *record.chosen, *record.rejected)
    if not any(turn.media_indexes for turn in turns):
        return record
    turns, media = in_reading_order(turns, record.media, leave_single=False)
    first, second = len(record.prompt), len(record.prompt) + len(record.chosen)
    return msgspec.structs.replace(
        record, prompt=turns[:first], chosen=turns[first:second], rejected=turns[second:], media=media
    )
