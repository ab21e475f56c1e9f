"""Small readers and writers shared by the formats: media lists, turns under `from`/`value`, extra keys."""

import math
from typing import Any

import msgspec

from prefdata.formats.base import Found, Turn
from prefdata.formats.dialect import Splitter
from prefdata.records import Media, MediaKind, Message, PreferencePair, Record, Role, Text

# The keys of a turn in the formats of the ShareGPT family.
FROM_VALUE = frozenset({"from", "value"})


class Picture(msgspec.Struct, rename={"data": "bytes"}, gc=False):
    """An image as `datasets` stores it."""

    data: bytes | None = None
    path: str | None = None


def media_of(row: dict[str, Any], key: str, kind: MediaKind = "image") -> list[Found]:
    """The media under one key: a path or URL, a list of them, or structs {bytes, path} as parquet holds them."""
    value = row.get(key)
    if isinstance(value, list):
        return [found for index, item in enumerate(value) for found in _one(item, f"{key}[{index}]", kind)]
    return _one(value, key, kind)


def _one(value: Any, field: str, kind: MediaKind) -> list[Found]:
    if isinstance(value, str) and value:
        return [Found(Media(uri=value, kind=kind), field)]
    if isinstance(value, dict):
        data, path = value.get("bytes"), value.get("path")
        extra = {key: one for key, one in value.items() if key not in ("bytes", "path") and one is not None}
        if isinstance(data, bytes | bytearray):
            uri = path if isinstance(path, str) else None
            return [Found(Media(uri=uri, data=bytes(data), kind=kind, extra=extra), field)]
        if isinstance(path, str) and path:
            return [Found(Media(uri=path, kind=kind, extra=extra), field)]
    return []


def paths_in(images: list[str | Picture]) -> list[str]:
    """References only; bytes need no file."""
    return [item for item in images if isinstance(item, str)]


def blank_media(row: dict[str, Any], *keys: str) -> list[str]:
    """Places of references that are empty texts."""
    places = []
    for key in keys:
        value = row.get(key)
        if value == "":
            places.append(key)
        elif isinstance(value, list):
            places += [f"{key}[{index}]" for index, item in enumerate(value) if item == ""]
    return places


def turns_of(
    value: Any,
    field: str,
    roles: dict[str, Role],
    splitter: Splitter | None,
    keys: tuple[str, str] = ("from", "value"),
) -> list[Turn]:
    """Turns written as {from, value} (or other keys). Markers are read in user turns only: elsewhere they are text."""
    turns: list[Turn] = []
    for index, item in enumerate(value if isinstance(value, list) else []):
        if not isinstance(item, dict):
            continue
        said, text = item.get(keys[0]), item.get(keys[1])
        if not isinstance(said, str) or not isinstance(text, str):
            continue
        role = roles.get(said)
        parts = (
            splitter.split(text) if splitter and role in ("user", None) else ((Text(text),) if text else ())
        )
        turns.append(Turn(role, said, parts, f"{field}[{index}].{keys[1]}", extra=others(item, *keys)))
    return turns


def others(item: dict[str, Any], *known: str) -> dict[str, Any]:
    """The keys of a turn that are not read."""
    if len(item) == len(known):
        return {}
    return {key: value for key, value in item.items() if key not in known}


def spoken(turn: Message, said: str, text: str) -> dict[str, Any]:
    """A turn as {from, value}, with its other keys."""
    return {"from": said, "value": text, **turn.extra}


def user_turn(row: dict[str, Any], key: str, splitter: Splitter) -> list[Turn]:
    """A flat question as one user turn."""
    value = row.get(key)
    return [Turn("user", "user", splitter.split(value), key)] if isinstance(value, str) else []


def answer_turn(row: dict[str, Any], key: str) -> list[Turn]:
    """A flat answer as one assistant turn; markers in it are text."""
    value = row.get(key)
    return (
        [Turn("assistant", "assistant", (Text(value),) if value else (), key)]
        if isinstance(value, str)
        else []
    )


def plain_turn(row: dict[str, Any], key: str, role: Role) -> list[Turn]:
    """A flat text as one turn of the given role; nothing when the key is absent or empty."""
    value = row.get(key)
    return [Turn(role, role, (Text(value),), key)] if isinstance(value, str) and value else []


def system_and_rest(messages: tuple[Message, ...]) -> tuple[str | None, tuple[Message, ...]]:
    """A leading system turn's text, and the other turns."""
    if messages and messages[0].role == "system":
        return messages[0].text, messages[1:]
    return None, messages


def extras(
    record: Record, taken: dict[str, Any], *, reads_margin: bool = False
) -> tuple[dict[str, Any], list[str], list[str]]:
    """(extra keys to add, names that are lost, names that are carried but ignored by the target's readers)."""
    added: dict[str, Any] = {}
    lost: list[str] = []
    carried: list[str] = []
    if record.id is not None:
        added["id"] = record.id
        carried.append("id")
    if isinstance(record, PreferencePair) and record.margin is not None:
        added["margin"] = record.margin
        if not reads_margin:
            lost.append("margin (carried as an extra key)")
    for key, value in record.meta.items():
        if key in taken or key in added:
            lost.append(key)
        else:
            added[key] = value
            carried.append(key)
    return added, lost, carried


def uris(media: tuple[Media, ...], kind: MediaKind = "image") -> list[Any]:
    """References of the media of one kind; bytes as the struct that `datasets` reads (parquet only)."""
    return [
        item.uri if item.data is None else {"bytes": item.data, "path": item.uri}
        for item in media
        if item.kind == kind
    ]


def number(value: Any) -> float | None:
    """A number, also when written as text; None for anything else ("N/A" among ratings)."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, str):
        try:
            found = float(value)
        except ValueError:
            return None
        return found if math.isfinite(found) else None
    return None


def said(text: str, field: str, role: Role = "assistant") -> Turn:
    """A plain text as one turn."""
    return Turn(role, role, (Text(text),) if text else (), field)
