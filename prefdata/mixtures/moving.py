"""Image paths of a row, moved to another root: in place where the row's format says it at the top, else part by part.

Formats differ in where they name media (`image`, `videos`, `rejected_images`, typed parts of messages), so the places
come from the format's own reading. The decision to question: a row whose media stand inside its messages is read again
after the change, and a row that then says something else than it should is refused; wrong paths would be silent.
"""

import re
from collections.abc import Callable
from typing import Any

import msgspec

from prefdata.formats import BadRow, Format
from prefdata.formats.messages import ALL_PARTS
from prefdata.images import is_url
from prefdata.records import Media, PreferencePair, Record

_TOP = re.compile(r"(\w+)(?:\[(\d+)\])?")
_PARTS = ALL_PARTS - {"text", "reasoning", "tool_call"}
_FILE = "file://"


def moved_uri(uri: str, prefix: str) -> str:
    """A path as it is written for a root that lies above the old one by `prefix`; absolute paths and URLs stay."""
    scheme = _FILE if uri.startswith(_FILE) else ""
    path = uri.removeprefix(scheme)
    return uri if path.startswith("/") or is_url(uri) else f"{scheme}{prefix}/{path}"


def moved_record(record: Record, prefix: str) -> Record:
    """The record with all its media moved."""
    record = msgspec.structs.replace(record, media=_media(record.media, prefix))
    if isinstance(record, PreferencePair) and record.rejected_media is not None:
        record = msgspec.structs.replace(record, rejected_media=_media(record.rejected_media, prefix))
    return record


def _media(media: tuple[Media, ...], prefix: str) -> tuple[Media, ...]:
    return tuple(
        msgspec.structs.replace(one, uri=moved_uri(one.uri, prefix)) if one.uri and one.data is None else one
        for one in media
    )


def move(row: dict[str, Any], fmt: Format, prefix: str) -> int:
    """Move the row's media in place; returns how many there are. Raises BadRow where that cannot be done safely."""
    view = fmt.view(row)
    found = [one for one in (*view.media, *(view.rejected_media or ())) if one.media.data is None]
    if not found:
        return 0
    places = [_TOP.fullmatch(one.field) for one in found]
    wanted = None if all(places) else moved_record(fmt.to_record(row), prefix)
    for one, place in zip(found, places, strict=True):
        if place is not None:
            _set(row, place, moved_uri(str(one.media.uri), prefix))
    if wanted is not None:
        _walk(row, lambda uri: moved_uri(uri, prefix))
        if fmt.to_record(row) != wanted:
            raise BadRow(found[0].field, "a path that cannot be moved to the common root of all sources")
    return len(found)


def _set(row: dict[str, Any], place: re.Match[str], uri: str) -> None:
    holder: Any = row
    key: str | int = place[1]
    # A text beside "key[0]" would be a list of one; formats name the place as it stands.
    if place[2] is not None:
        holder, key = row[place[1]], int(place[2])
    if isinstance(holder[key], dict):
        holder, key = holder[key], "path"
    holder[key] = uri


def _walk(value: Any, change: Callable[[str], str]) -> None:
    """Change the references of all typed parts, also in a second copy of a prompt."""
    if isinstance(value, list):
        for item in value:
            _walk(item, change)
    elif isinstance(value, dict):
        kind = value.get("type")
        if kind not in _PARTS:
            for item in value.values():
                _walk(item, change)
            return
        for key in (kind, "value", "url", "path"):
            source = value.get(key)
            if isinstance(source, str) and source:
                value[key] = change(source)
                return
            if isinstance(source, dict) and isinstance(source.get("url"), str):
                source["url"] = change(source["url"])
                return
