"""Thumbnails, bounded in number, edge length and bytes, so that a report of large pictures still opens at once.

Rows are served in turns - every row's first image before any row's second - and each distinct image is stored once.
"""

import base64
import io
import warnings
from pathlib import Path
from typing import Any

import msgspec
import xxhash

from prefdata.errors import PrefdataError
from prefdata.images import load_rgb, resolve
from prefdata.records import Media, PreferencePair, Record

_QUALITY = 72
_MAX_NAME = 200


class Thumbs:
    """The page's pictures as data URLs."""

    def __init__(self, count: int, edge: int, total_bytes: int) -> None:
        self.count, self.edge, self.room = count, edge, total_bytes
        self.urls: list[str] = []
        self._known: dict[str, tuple[int | None, str]] = {}

    def take(self, media: Media, root: Path | None, base: Path) -> dict[str, Any]:
        """{"thumb": number or None, "name", "note"} of one medium."""
        name = (media.uri or "inside the row")[:_MAX_NAME]
        if media.kind != "image":
            return {"thumb": None, "name": name, "note": f"a {media.kind}, not shown"}
        try:
            source = media.data if media.data is not None else resolve(str(media.uri), root, base)
            key = xxhash.xxh3_128_hexdigest(source) if isinstance(source, bytes) else str(source)
            if key not in self._known:
                self._known[key] = self._make(source)
            place, note = self._known[key]
        except (PrefdataError, OSError, ValueError) as error:
            return {"thumb": None, "name": name, "note": str(error)[:_MAX_NAME]}
        return {"thumb": place, "name": name, "note": note}

    def _make(self, source: Path | bytes) -> tuple[int | None, str]:
        if len(self.urls) >= self.count or self.room <= 0:
            return None, "no thumbnail: the report's limit is reached"
        if isinstance(source, bytes):  # made small by `shrink` when the row was chosen
            small, note = source, ""
        else:
            small, note = _small(source, self.edge)
        self.room -= len(small)
        self.urls.append("data:image/jpeg;base64," + base64.b64encode(small).decode())
        return len(self.urls) - 1, note


def shrink(record: Record, edge: int) -> Record:
    """The record with images inside the row made small: two thousand photographs do not fit into memory."""
    changed: dict[str, Any] = {"media": tuple(_shrunk(media, edge) for media in record.media)}
    if isinstance(record, PreferencePair) and record.rejected_media:
        changed["rejected_media"] = tuple(_shrunk(media, edge) for media in record.rejected_media)
    return msgspec.structs.replace(record, **changed) if record.media else record


def _shrunk(media: Media, edge: int) -> Media:
    if media.data is None or media.kind != "image":
        return media
    try:
        small, size = _small(media.data, edge)
    except PrefdataError as error:
        return Media(uri=f"inside the row: {error}", kind=media.kind)
    return Media(uri=f"{media.uri or 'inside the row'} ({size})", data=small)


def _small(source: Path | bytes, edge: int) -> tuple[bytes, str]:
    """JPEG bytes of at most `edge` pixels a side, and the original's size."""
    # What Pillow warns of is a finding of `validate`, or nothing that a thumbnail shows.
    with warnings.catch_warnings(action="ignore"):
        image = load_rgb(source)
        size = f"{image.width}×{image.height}"
        image.thumbnail((edge, edge))
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=_QUALITY)
    return buffer.getvalue(), size
