"""Turns of {role, content}, with the typed parts of every dialect met: TRL, OpenAI, XTuner, LLaMA-Factory v1.

Where it stands: the formats with such turns read through `Messages` and write through `message_row`. Media come either
from a list beside the turns ({"type": "image"} takes the next of it) or from the part itself, which then adds one.
XTuner writes its parts first and marks their places in the text by `<IMG_CONTEXT>`; that is taken only where the
markers of a turn are as many as its images, as its own loader demands.
"""

import re
from collections.abc import Iterator
from typing import Any

import msgspec

from prefdata.formats.base import Found, Turn
from prefdata.formats.calls import call_rows, parse_calls, read_calls, unread_in_calls, unread_in_text
from prefdata.formats.dialect import Splitter
from prefdata.records import Media, MediaKind, MediaRef, Message, Part, Role, Text, ToolCall

ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
}
_CONTEXT: dict[str, MediaKind] = {"<IMG_CONTEXT>": "image", "<VIDEO_CONTEXT>": "video"}
_CONTEXTS = re.compile("|".join(_CONTEXT))
_OWN: dict[str, MediaKind] = {
    "image_url": "image",
    "video_url": "video",
    "audio_url": "audio",
    "image": "image",
    "video": "video",
    "audio": "audio",
}
# Where parts of other dialects than OpenAI's have their reference.
_SOURCES = ("value", "url", "path")
PARTS = frozenset({"text", "image"})
TURN_KEYS = frozenset({"role", "content", "tool_calls", "tool_call_id", "name", "reasoning_content"})
ALL_PARTS = frozenset({"text", "reasoning", "tool_call", *_OWN})


class Said(msgspec.Struct, gc=False):
    """One turn; what its parts may be is checked by `part_problems`."""

    role: str
    content: str | list[dict[str, Any]] | None = None


class Messages:
    """Reads the turns of one row. `media` is the row's list and grows by what parts bring themselves."""

    def __init__(
        self, media: list[Found], splitter: Splitter | None = None, roles: dict[str, Role] = ROLES
    ) -> None:
        self.media, self._splitter, self._roles = media, splitter, roles
        self.listed = [index for index, found in enumerate(media) if found.media.kind == "image"]
        self.used = 0

    def turns(self, value: Any, field: str) -> list[Turn]:
        """The turns of a list; what is no turn is not here."""
        items = value if isinstance(value, list) else []
        return [
            turn
            for index, item in enumerate(items)
            if (turn := self.turn(item, f"{field}[{index}].content")) is not None
        ]

    def turn(self, item: Any, place: str) -> Turn | None:
        """One turn."""
        if not isinstance(item, dict) or not isinstance(item.get("role"), str):
            return None
        said, content = item["role"], item.get("content")
        role = self._roles.get(said)
        if len(item) == 2 and isinstance(content, str):
            return Turn(role, said, self._plain(role, content), place)
        calls, reasoning, unread = _calls(item), _thought(item.get("reasoning_content")), _Names()
        if calls:
            unread.add(*unread_in_calls(item["tool_calls"]))
        elif item.get("tool_calls") not in (None, []):
            unread.add("`tool_calls` of a turn")
        if isinstance(content, str):
            parts = self._plain(role, content)
        else:
            parts, more, thought = self._parts(content if isinstance(content, list) else [], place, unread)
            if thought and reasoning:
                unread.add("`reasoning_content` beside reasoning parts")
            calls, reasoning = calls + more, thought or reasoning
        name, identity = item.get("name"), item.get("tool_call_id")
        return Turn(
            role,
            said,
            parts,
            place,
            calls=calls,
            reasoning=reasoning,
            call_id=identity if isinstance(identity, str) else None,
            name=name if isinstance(name, str) else None,
            extra={key: value for key, value in item.items() if not _read(key, value)},
            unread=tuple(unread),
        )

    def _plain(self, role: Role | None, content: str) -> tuple[Part, ...]:
        split = self._splitter is not None and role in ("user", None)
        return self._splitter.split(content) if split and self._splitter else _text(content)

    def _parts(
        self, content: list[Any], place: str, unread: "_Names"
    ) -> tuple[tuple[Part, ...], tuple[ToolCall, ...], str | None]:
        parts: list[Part] = []
        calls: tuple[ToolCall, ...] = ()
        thoughts: list[str] = []
        for number, item in enumerate(content):
            if not isinstance(item, dict):
                continue
            kind, key = str(item.get("type")), "text" if "text" in item else "value"
            text = item.get(key)
            known: tuple[str, ...] = ("type", key)
            if kind == "reasoning" and isinstance(text, str):
                thoughts.append(text)
            elif kind == "tool_call" and isinstance(text, str):
                calls += parse_calls(text) or ()
                unread.add(*unread_in_text(text))
            elif kind in _OWN:
                medium = list(self._medium(item, kind, f"{place}[{number}]"))
                parts += medium
                source = next((name for name in (kind, *_SOURCES) if item.get(name) is not None), "")
                where = item.get(source)
                uri = where.get("url") if isinstance(where, dict) else where
                known = ("type", source) if isinstance(uri, str) else ("type",)
                if not medium:
                    unread.add(f"a part of the type `{kind}` without a reference")
            elif isinstance(text, str):
                parts += _text(text)
            else:
                known = ()
            unread.add(*(f"`{key}` of a part" for key in item if key not in known and item[key] is not None))
        return self._by_context(parts), calls, "".join(thoughts) or None

    def _medium(self, item: dict[str, Any], name: str, place: str) -> Iterator[Part]:
        kind, source = (
            _OWN[name],
            next((item[key] for key in (name, *_SOURCES) if item.get(key) is not None), None),
        )
        if isinstance(source, dict):
            uri = source.get("url")
            extra = {key: value for key, value in source.items() if key != "url"}
        else:
            uri, extra = source, {}
        if isinstance(uri, str) and uri:
            self.media.append(Found(Media(uri=uri, kind=kind, extra=extra), place))
            yield MediaRef(len(self.media) - 1)
        elif kind == "image":
            # A place beyond the list keeps its number, so that building the record names it.
            number = self.used
            yield MediaRef(self.listed[number] if number < len(self.listed) else len(self.media) + number)
            self.used += 1

    def _by_context(self, parts: list[Part]) -> tuple[Part, ...]:
        """XTuner: media stand where the text marks them."""
        marks = [mark for part in parts if isinstance(part, Text) for mark in _CONTEXTS.findall(part.text)]
        if not marks:
            return tuple(parts)
        refs: dict[MediaKind, list[MediaRef]] = {"image": [], "video": [], "audio": []}
        for part in parts:
            if isinstance(part, MediaRef) and part.index < len(self.media):
                refs[self.media[part.index].media.kind].append(part)
        if any(marks.count(mark) != len(refs[kind]) for mark, kind in _CONTEXT.items()):
            return tuple(parts)
        placed: list[Part] = list(refs["audio"])
        for part in parts:
            if not isinstance(part, Text):
                continue
            end = 0
            for match in _CONTEXTS.finditer(part.text):
                placed += [Text(part.text[end : match.start()]), refs[_CONTEXT[match[0]]].pop(0)]
                end = match.end()
            placed.append(Text(part.text[end:]))
        return tuple(part for part in placed if not isinstance(part, Text) or part.text)


def part_problems(
    turns: Any, field: str, known: frozenset[str] = ALL_PARTS
) -> Iterator[tuple[str, str, str]]:
    """(code, field, detail) of parts of another dialect and of calls that cannot be read."""
    for index, turn in enumerate(turns if isinstance(turns, list) else []):
        if not isinstance(turn, dict):
            continue
        if turn.get("tool_calls") not in (None, []) and read_calls(turn["tool_calls"]) is None:
            yield (
                "PD022",
                f"{field}[{index}].tool_calls",
                "a call has a `function` with `name` and `arguments`",
            )
        content = turn.get("content")
        for number, part in enumerate(content if isinstance(content, list) else []):
            place = f"{field}[{index}].content[{number}]"
            said = part.get("type") if isinstance(part, dict) else None
            if not isinstance(said, str) or said not in known:
                names = " or ".join(f"`{name}`" for name in sorted(known))
                yield "PD022", f"{place}.type", f"a part is {names}, not {said!r}"
            elif said == "text" and not isinstance(part.get("text", part.get("value")), str):
                yield "PD021", f"{place}.text", ""
            elif said == "tool_call" and parse_calls(str(part.get("value"))) is None:
                yield "PD022", f"{place}.value", "a call is JSON text with `name` and `arguments`"


def message_row(turn: Message, content: Any, *, calls_as_text: bool) -> dict[str, Any]:
    """A turn as {role, content} with whatever else it has."""
    row: dict[str, Any] = {"role": turn.role, "content": content}
    if turn.reasoning:
        row["reasoning_content"] = turn.reasoning
    if turn.calls:
        row["tool_calls"] = call_rows(turn.calls, as_text=calls_as_text)
    if turn.call_id is not None:
        row["tool_call_id"] = turn.call_id
    if turn.name is not None:
        row["name"] = turn.name
    for key, value in turn.extra.items():
        row.setdefault(key, value)
    return row


def common_beginning(a: list[Any], b: list[Any]) -> int:
    """How many turns both sides share, leaving each at least one as its answer."""
    shared = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
    return max(0, min(shared, len(a) - 1, len(b) - 1))


class _Names(dict[str, None]):
    """Names in order, each once."""

    def add(self, *names: str) -> None:
        self.update(dict.fromkeys(names))


def _calls(item: dict[str, Any]) -> tuple[ToolCall, ...]:
    return read_calls(item["tool_calls"]) or () if item.get("tool_calls") else ()


def _thought(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _read(key: str, value: Any) -> bool:
    """Whether a key of a turn has its place in the record."""
    return key in ("role", "content", "tool_calls") or (
        key in TURN_KEYS and (isinstance(value, str) or value is None)
    )


def _text(text: str) -> tuple[Part, ...]:
    return (Text(text),) if text else ()
