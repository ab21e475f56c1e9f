"""Where each row of a source begins, kept in a file: plans of millions of rows in seconds, rows read in any order.

    header (one JSON line: file, size, mtime, hash, rows, images, unplaced, spool, check)
    starts [rows] u64      lengths [rows] u32      places [rows] u16      images [rows] u8

`places` says at which byte of a row its image path begins, so that a path can be moved to another root without the row
being decoded again. The arrays are mapped. An index is valid while size and modification time are those of the file;
with another time the content's hash decides. Where rows are no lines of the file (`spool.py`), size and time of the
copy beside the index count as well. An index that is damaged in any way is made anew, under a lock: of two processes
the second waits and takes what the first made.
"""

import fcntl
import functools
import mmap
import os
import re
import stat
from array import array
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec
import xxhash

from prefdata.atomic import atomic_writer
from prefdata.containers import BOM, MAX_ROW_BYTES
from prefdata.errors import PrefdataError
from prefdata.images import is_url
from prefdata.mixtures.spool import needs_spool, write_spool
from prefdata.progress import progress, say

_VERSION = 3
_CHUNK = 1 << 20
_BUFFER = 256 * 1024


# In `places`: no path at the top of the row; one (or several) that only the row's format can tell.
NOWHERE, LOOK = 0, 0xFFFF
_ESCAPE = ord("\\")
# How a letter of "image" may also be written.
_ESCAPED = b"\\u006"
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
    spool: tuple[int, int] | None = None
    """Size and time of the copy that rows are read from; None where they are lines of the file itself."""
    check: str = ""
    """A hash of the arrays and their counts."""


class Index:
    """The rows of one source. `path` is the file of lines they are read from, `place` the index itself."""

    def __init__(self, header: Header, path: Path, place: Path, mapped: memoryview) -> None:
        self.header, self.path, self.place = header, path, place
        count = header.rows
        self.starts = mapped[: 8 * count].cast("Q")
        self.lengths = mapped[8 * count : 12 * count].cast("I")
        self.places = mapped[12 * count : 14 * count].cast("H")
        self.images = mapped[14 * count :]

    def __len__(self) -> int:
        return self.header.rows

    def is_of(self, status: os.stat_result) -> bool:
        """Whether a file of lines is, by size and time, the one that was indexed."""
        wanted = self.header.spool or (self.header.size, self.header.mtime_ns)
        return wanted == (status.st_size, status.st_mtime_ns)

    def open(self) -> int:
        """A descriptor of the file of lines. Raises PrefdataError where it is no longer the one that was indexed."""
        descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        if not self.is_of(os.fstat(descriptor)):
            os.close(descriptor)
            raise PrefdataError(f"{self.path}: changed while it was read; run the command again.")
        return descriptor


def open_index(annotation: Path, folder: Path) -> Index:
    """The index of a file, made where there is no valid one. Raises PrefdataError where a row is no JSON object."""
    place = folder / f"{xxhash.xxh3_64_hexdigest(os.fsencode(os.path.abspath(annotation)))}.index"
    index = _opened(place, annotation)
    if index is None:
        with _locked(place, annotation):
            index = _opened(place, annotation, touch=True)
            if index is None:
                _make(place, annotation)
                index = _opened(place, annotation)
    if index is None:
        raise PrefdataError(f"{annotation}: changed while its index was made; run the command again.")
    return index


def _opened(place: Path, annotation: Path, *, touch: bool = False) -> Index | None:
    """The index where it is valid. touch: also where nothing but the file's time is another, which is then noted."""
    status, loaded = annotation.stat(), _loaded(place)
    if loaded is None or loaded[0].size != status.st_size:
        return None
    header, arrays = loaded
    if header.mtime_ns != status.st_mtime_ns:
        if not touch or header.hash != file_hash(annotation):
            return None
        header = msgspec.structs.replace(header, mtime_ns=status.st_mtime_ns)
        with open(place, "r+b") as stream:
            stream.write(_line(header))
    index = Index(header, annotation if header.spool is None else _spooled(place), place, arrays)
    with suppress(FileNotFoundError):
        return index if index.is_of(index.path.stat()) else None
    return None


def _spooled(place: Path) -> Path:
    return place.with_suffix(".jsonl")


@contextmanager
def _locked(place: Path, annotation: Path) -> Iterator[None]:
    place.parent.mkdir(parents=True, exist_ok=True)
    lock = os.open(place.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        with suppress(
            OSError
        ):  # a file system without locks: the rows are looked at again when they are read
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                say(f"{annotation}: waiting for another process that makes its index.")
                fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _make(place: Path, annotation: Path) -> None:
    status, lines = annotation.stat(), annotation
    for path in (place, _spooled(place)):
        if path.exists() and not (path.is_file() or path.is_dir()):  # a pipe that somebody put there
            path.unlink()
    if needs_spool(annotation):
        lines = _spooled(place)
        write_spool(annotation, lines)
    else:
        _spooled(place).unlink(missing_ok=True)
    _build(place, annotation, lines, status)


def _build(place: Path, annotation: Path, lines: Path, status: os.stat_result) -> None:
    starts, lengths, places, images = array("Q"), array("I"), array("H"), bytearray()
    digest, offset = xxhash.xxh3_128(), 0
    decode = msgspec.json.Decoder(_Media).decode
    with progress(f"index {annotation.name}") as bar, open(lines, "rb", buffering=_BUFFER) as stream:
        for number, line in enumerate(iter(functools.partial(stream.readline, MAX_ROW_BYTES), b""), start=1):
            digest.update(line)
            skipped = len(BOM) if number == 1 and line.startswith(BOM) else 0
            if skipped:
                offset, line = skipped, line[skipped:]
            if line and not line.isspace():
                try:
                    media = decode(line)
                except msgspec.ValidationError as error:
                    # A row may be a bare list of messages, without images; anything else is none.
                    if not line.lstrip().startswith(b"["):
                        raise PrefdataError(f"{annotation}:{number}: not a row ({error}).") from error
                    media = _Media()
                except (msgspec.DecodeError, RecursionError, ValueError) as error:
                    raise PrefdataError(
                        f"{annotation}:{number}: not a row ({error}); run `prefdata validate` for all problems."
                    ) from error
                starts.append(offset)
                lengths.append(len(line) - line.endswith(b"\n"))
                begins = _place(line, media, decode)
                places.append(begins)
                images.append(_count(media) if begins == LOOK else begins != NOWHERE)
            offset += len(line)
            if number % 65536 == 0:
                bar.advance(65536)
        bar.advance(len(starts) - bar.done)
    spool = None
    if lines != annotation:
        copy = lines.stat()
        spool = copy.st_size, copy.st_mtime_ns
    header = Header(
        path=os.path.abspath(annotation), size=status.st_size, mtime_ns=status.st_mtime_ns,
        hash=digest.hexdigest() if spool is None else file_hash(annotation), rows=len(starts), images=sum(images),
        unplaced=places.count(LOOK), spool=spool,
    )  # fmt: skip
    header.check = _check(header, (starts, lengths, places, images))
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
    # The first key of a row stands at its top, and counts if no other spelling of it follows. Any other place is proven
    # by what a change does.
    if (found.start() != 1 or _ESCAPED in line) and decode(
        line[:place] + b"?" + line[place:]
    ).image != f"?{image}":
        return LOOK
    return place


# The header has a fixed size, so that the arrays behind it are aligned and can be mapped.
_HEADER = 4096
_ROW = 8 + 4 + 2 + 1


def _line(header: Header) -> bytes:
    line = msgspec.json.encode(header)
    if len(line) >= _HEADER:
        line = msgspec.json.encode(msgspec.structs.replace(header, path=""))
    return line.ljust(_HEADER - 1) + b"\n"


def _loaded(place: Path) -> tuple[Header, memoryview] | None:
    """Header and arrays; None where there is no index, or where anything about it is wrong."""
    try:
        descriptor = os.open(place, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            return None
        header = msgspec.json.decode(os.pread(descriptor, _HEADER, 0), type=Header)
        if header.version != _VERSION or header.rows < 0 or status.st_size != _HEADER + _ROW * header.rows:
            return None
        arrays = memoryview(mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ))[_HEADER:]
    except (msgspec.DecodeError, ValueError, RecursionError):
        return None
    finally:
        os.close(descriptor)
    return (header, arrays) if header.check == _check(header, (arrays,)) else None


def _check(header: Header, parts: Iterable[Any]) -> str:
    digest = xxhash.xxh3_64(f"{header.rows} {header.images} {header.unplaced}".encode())
    for part in parts:
        digest.update(part)
    return digest.hexdigest()


def file_hash(path: Path) -> str:
    """The content of a file as 32 hex digits."""
    digest = xxhash.xxh3_128()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
