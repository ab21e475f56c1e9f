"""Where each row of a source begins, kept in a file: plans of millions of rows in seconds, rows read in any order.

    header (one JSON line: file, size, mtime, hash, rows, images, unplaced)
    starts [rows] u64      lengths [rows] u32      places [rows] u16      images [rows] u8

`places` says at which byte of a row its image path begins, so that a path can be moved to another root without the row
being decoded again. The arrays are mapped, not read. An index is valid while size and modification time are those of
the file; with another time the content's hash decides. Rows of JSON arrays, packed and parquet files are copied once to
JSON lines beside the index, since only lines can be read in any order.
"""

import functools
import mmap
import os
import re
from array import array
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import xxhash

from prefdata.arrays import BrokenArray
from prefdata.atomic import atomic_writer
from prefdata.compressed import compression
from prefdata.containers import BOM, MAX_ROW_BYTES, parquet_rows, probe, raw_rows
from prefdata.errors import PrefdataError
from prefdata.images import is_url
from prefdata.jsonl import encode_row
from prefdata.progress import progress

_VERSION = 2
_CHUNK = 1 << 20
_BUFFER = 256 * 1024


# In `places`: no path at the top of the row; one (or several) that only the row's format can tell.
NOWHERE, LOOK = 0, 0xFFFF
_ESCAPE = ord("\\")
_PATH = re.compile(rb'"image"\s*:\s*"')


class _Media(msgspec.Struct, gc=False):
    """The keys that hold media; decoding them also proves that the row is JSON."""

    image: Any = None
    images: Any = None
    img_path: Any = None
    image_name: Any = None
    video: Any = None
    videos: Any = None
    audios: Any = None


class Header(msgspec.Struct, kw_only=True):
    """What an index is of."""

    version: int = _VERSION
    path: str
    size: int
    mtime_ns: int
    hash: str
    rows: int
    images: int
    unplaced: int = 0
    """Rows whose place is LOOK."""


class Index:
    """The rows of one source. `path` is the file of lines they are read from."""

    def __init__(self, header: Header, path: Path, mapped: memoryview) -> None:
        self.header, self.path = header, path
        count = header.rows
        self.starts = mapped[: 8 * count].cast("Q")
        self.lengths = mapped[8 * count : 12 * count].cast("I")
        self.places = mapped[12 * count : 14 * count].cast("H")
        self.images = mapped[14 * count :]

    def __len__(self) -> int:
        return self.header.rows


def open_index(annotation: Path, folder: Path) -> Index:
    """The index of a file, made where there is no valid one. Raises PrefdataError where a row is no JSON object."""
    status = annotation.stat()
    place = folder / f"{xxhash.xxh3_64_hexdigest(os.fsencode(os.path.abspath(annotation)))}.index"
    spooled = place.with_suffix(".jsonl")
    header = _header(place)
    if header is not None and header.size == status.st_size and header.version == _VERSION:
        if header.mtime_ns == status.st_mtime_ns:
            return _mapped(place, annotation, spooled)
        if header.hash == file_hash(annotation):
            _touch(place, msgspec.structs.replace(header, mtime_ns=status.st_mtime_ns))
            return _mapped(place, annotation, spooled)
    lines = annotation
    spooled.unlink(missing_ok=True)
    if probe(annotation).container != "jsonl" or compression(annotation) is not None:
        _spool(annotation, spooled)
        lines = spooled
    _build(place, annotation, lines, status)
    return _mapped(place, annotation, spooled)


def _build(place: Path, annotation: Path, lines: Path, status: os.stat_result) -> None:
    starts, lengths, places, images = array("Q"), array("I"), array("H"), bytearray()
    digest, offset = xxhash.xxh3_128(), 0
    decode = msgspec.json.Decoder(_Media).decode
    with progress(f"index {annotation.name}") as bar, open(lines, "rb", buffering=_BUFFER) as stream:
        for number, line in enumerate(iter(functools.partial(stream.readline, MAX_ROW_BYTES), b""), start=1):
            digest.update(line)
            skipped = len(BOM) if number == 1 and line.startswith(BOM) else 0
            if not line.isspace():
                try:
                    media = decode(line[skipped:] if skipped else line)
                except msgspec.ValidationError as error:
                    # A row may be a bare list of messages, without images; anything else is none.
                    if not line.lstrip().startswith(b"["):
                        raise PrefdataError(f"{annotation}:{number}: not a row ({error}).") from error
                    media = _Media()
                except (msgspec.DecodeError, RecursionError, ValueError) as error:
                    raise PrefdataError(
                        f"{annotation}:{number}: not a row ({error}); run `prefdata validate` for all problems."
                    ) from error
                starts.append(offset + skipped)
                lengths.append(len(line) - skipped - line.endswith(b"\n"))
                begins = _place(line[skipped:] if skipped else line, media, decode)
                places.append(begins)
                images.append(_count(media) if begins == LOOK else begins != NOWHERE)
            offset += len(line)
            if number % 65536 == 0:
                bar.advance(65536)
        bar.advance(len(starts) - bar.done)
    header = Header(
        path=os.path.abspath(annotation), size=status.st_size, mtime_ns=status.st_mtime_ns,
        hash=digest.hexdigest() if lines == annotation else file_hash(annotation), rows=len(starts), images=sum(images),
        unplaced=places.count(LOOK),
    )  # fmt: skip
    with atomic_writer(place) as out:
        out.write(_line(header))
        for part in (starts, lengths, places, images):
            out.write(part)


def _count(media: _Media) -> int:
    count = 0
    for value in (media.image, media.images, media.img_path, media.image_name):
        count += len(value) if isinstance(value, list) else bool(value)
    return min(count, 255)


def _place(line: bytes, media: _Media, decode: Callable[[bytes], _Media]) -> int:
    """At which byte of the row its one image path begins; LOOK where that is not certain."""
    image = media.image
    more = media.images or media.img_path or media.image_name or media.video or media.videos or media.audios
    if not image or more:
        return LOOK if image or more else NOWHERE
    found = _PATH.search(line) if isinstance(image, str) else None
    if found is None or image[0] == "/" or (":" in image and (is_url(image) or image.startswith("file:"))):
        return LOOK
    place = found.end()
    if place >= LOOK or line[place] == _ESCAPE or line.find(b'"image"', place) != -1:
        return LOOK
    # The first key of a row stands at its top. Any other is proven to by what a change does.
    if found.start() != 1 and decode(line[:place] + b"?" + line[place:]).image != f"?{image}":
        return LOOK
    return place


# The header has a fixed size, so that the arrays behind it are aligned and can be mapped.
_HEADER = 4096


def _line(header: Header) -> bytes:
    line = msgspec.json.encode(header)
    if len(line) >= _HEADER:
        line = msgspec.json.encode(msgspec.structs.replace(header, path=""))
    return line.ljust(_HEADER - 1) + b"\n"


def _header(place: Path) -> Header | None:
    try:
        with open(place, "rb") as stream:
            return msgspec.json.decode(stream.read(_HEADER), type=Header)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def _touch(place: Path, header: Header) -> None:
    with open(place, "r+b") as stream:
        stream.write(_line(header))


def _mapped(place: Path, annotation: Path, spooled: Path) -> Index:
    header = _header(place)
    assert header is not None
    with open(place, "rb") as stream:
        whole = memoryview(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ))
    return Index(header, spooled if spooled.exists() else annotation, whole[_HEADER:])


def file_hash(path: Path) -> str:
    """The content of a file as 32 hex digits."""
    digest = xxhash.xxh3_128()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _spool(annotation: Path, spooled: Path) -> None:
    """Rows of an array or a parquet file as lines."""
    with atomic_writer(spooled) as out:
        for row in _rows(annotation):
            out.write(row)


def _rows(annotation: Path) -> Iterator[bytes]:
    container = probe(annotation).container
    if container == "parquet":
        for number, row in parquet_rows(annotation):
            if _holds_bytes(row):
                raise PrefdataError(
                    f"{annotation}:{number}: holds image bytes; write rows with image files first (`prefdata convert`)."
                )
            yield encode_row(row)
        return
    try:
        for raw in raw_rows(annotation, container):
            if container == "jsonl":
                yield raw.data.rstrip(b"\r\n") + b"\n"
            else:
                # Tokens stay as they are, only the space between them goes.
                yield msgspec.json.format(raw.data, indent=-1) + b"\n"
    except BrokenArray as error:
        if not error.harmless:
            raise PrefdataError(f"{annotation}:{error.line}: {error.problem}.") from error
    except msgspec.DecodeError as error:
        raise PrefdataError(f"{annotation}: not valid JSON ({error}).") from error


def _holds_bytes(value: Any) -> bool:
    if isinstance(value, dict):
        return any(_holds_bytes(part) for part in value.values())
    if isinstance(value, list):
        return any(_holds_bytes(part) for part in value)
    return isinstance(value, bytes)
