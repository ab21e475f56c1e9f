"""How rows lie in a file: JSON lines, one JSON array, parquet, or a mixture's `meta.json`; told by content.

`raw_rows` gives every row as bytes with its line, without judging it: what is wrong with a row is found later, so that
one bad row never hides the others. Only a broken *array* ends the reading, since nothing says where its next row
begins. Memory is bounded by the largest row, and rows above `MAX_ROW_BYTES` are refused.
"""

import functools
import gzip
import re
import stat
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Literal

import msgspec

from prefdata.archives import UNPACK, kind_of_head
from prefdata.arrays import BrokenArray, iter_array
from prefdata.compressed import compression, open_data
from prefdata.errors import NoRows, PrefdataError
from prefdata.rowbytes import too_deep

Container = Literal["jsonl", "json", "parquet", "meta"]

# Ten times the largest rows met; above it a "row" is a file that lost its newlines.
MAX_ROW_BYTES = 64 * 1024 * 1024
_PROBE_BYTES = 1024 * 1024
_MAX_META_BYTES = 256 * 1024 * 1024
BOM = b"\xef\xbb\xbf"
_EMPTY_ARRAY = re.compile(rb"\s*\[\s*\]\s*")
# Beginnings of JSON in other encodings, with and without a mark; of two that begin alike the longer comes first.
_OTHER_TEXT = (
    (b"\xff\xfe\0\0", "utf-32"), (b"\0\0\xfe\xff", "utf-32"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"),
    (b"\0\0\0{", "utf-32be"), (b"\0\0\0[", "utf-32be"), (b"{\0\0\0", "utf-32le"), (b"[\0\0\0", "utf-32le"),
    (b"\0{", "utf-16be"), (b"\0[", "utf-16be"), (b"{\0", "utf-16le"), (b"[\0", "utf-16le"),
)  # fmt: skip


class Raw(msgspec.Struct, frozen=True):
    """One row as it stands: its line (from 1; for parquet the row's number), and its bytes."""

    line: int
    data: bytes
    # The line is longer than MAX_ROW_BYTES; `data` is only its beginning.
    cut: bool = False
    # The line ends with a newline (rows of arrays always count as ended).
    ended: bool = True


class Probed(msgspec.Struct, frozen=True):
    """A file's container."""

    container: Container
    bom: bool = False
    # Compressed files are read from their beginning only; byte ranges make no sense in them.
    compressed: bool = False


def probe(path: Path) -> Probed:
    """Tell the container of a file. Raises PrefdataError when it holds no rows at all."""
    status = path.stat()
    if stat.S_ISDIR(status.st_mode):
        raise PrefdataError(f"{path}: is a folder, a data file is needed here.")
    if not stat.S_ISREG(status.st_mode):
        raise PrefdataError(f"{path}: is not a regular file; a data file on a disk is needed here.")
    packed = compression(path) is not None
    with reading(path) as stream:
        head = stream.read(_PROBE_BYTES)
        # Blanks, however many, are no rows and do not hide those behind them.
        while head and not head.removeprefix(BOM).strip() and (more := stream.read(_PROBE_BYTES)):
            head = head[: len(BOM)] + more
    if head.startswith(b"PAR1"):
        if packed:
            raise PrefdataError(
                f"{path}: a compressed parquet file; unpack it first (parquet compresses itself)."
            )
        return Probed("parquet")
    bom = head.startswith(BOM)
    text = head[3:] if bom else head
    _refuse(path, text)
    stripped = text.lstrip()
    if _EMPTY_ARRAY.fullmatch(text):
        raise NoRows(f"{path}: an empty array; there is no row in it.")
    if stripped.startswith(b"["):
        return Probed("jsonl" if _lists_per_line(stripped) else "json", bom, packed)
    if stripped.startswith(b"{") and not _first_line_is_row(stripped):
        # One object over several lines: a mixture, or a single row written for people.
        return Probed("meta" if not packed and _is_meta(path, status.st_size) else "json", bom, packed)
    if stripped.startswith(b"{") and b"\n" not in stripped.strip() and not packed:
        return Probed("meta" if _is_meta(path, status.st_size) else "jsonl", bom)
    return Probed("jsonl", bom, packed)


@contextmanager
def reading(path: Path) -> Iterator[BinaryIO]:
    """The bytes of a file, unpacked. Raises PrefdataError where packed data is damaged."""
    with open_data(path) as stream:
        try:
            yield stream
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise PrefdataError(f"{path}: damaged gzip data ({error}); fetch it again.") from error
        except OSError as error:
            # pyarrow's word for damaged zstd data is an OSError without a number.
            if error.errno is not None:
                raise
            raise PrefdataError(f"{path}: damaged zstd data ({error}); fetch it again.") from error


def _refuse(path: Path, text: bytes) -> None:
    """Say clearly what a file is that holds no rows."""
    if not text.strip():
        raise NoRows(f"{path}: empty; there is no row in it.")
    for beginning, name in _OTHER_TEXT:
        if text.startswith(beginning):
            raise PrefdataError(
                f"{path}: {name.upper()} text; save it as UTF-8 (`iconv -f {name} -t utf-8`)."
            )
    if text.startswith(b"\0"):
        count = len(text) - len(text.lstrip(b"\0"))
        raise PrefdataError(f"{path}: starts with {count} NUL bytes; the file is damaged, fetch it again.")
    if text.startswith(b"version https://git-lfs"):
        raise PrefdataError(f"{path}: a git-LFS pointer, not the data; run `git lfs pull`.")
    if (archive := kind_of_head(text)) is not None:
        raise PrefdataError(f"{path}: a {archive} archive; {UNPACK}")
    if text.startswith((b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"BZh", b"\xfd7zXZ")):
        raise PrefdataError(
            f"{path}: a compressed file; unpack it first (.gz and .zst are read as they are)."
        )
    if text.lstrip()[:1] not in (b"{", b"["):
        start = text.lstrip()[:40].decode("utf-8", "replace")
        raise PrefdataError(
            f"{path}: neither JSON lines, a JSON array nor parquet; it starts with {start!r}."
        )


def _first_line_is_row(text: bytes) -> bool:
    first, _, rest = text.partition(b"\n")
    try:
        msgspec.json.decode(first)
    except (msgspec.DecodeError, RecursionError, ValueError):
        # A row cut in the middle, or the beginning of an object written over several lines?
        return len(first.strip()) > 1 and (not rest.strip() or rest.lstrip().startswith(b'{"'))
    return True


def _lists_per_line(text: bytes) -> bool:
    first, _, rest = text.partition(b"\n")
    try:
        return isinstance(msgspec.json.decode(first), list) and rest.lstrip().startswith(b"[")
    except (msgspec.DecodeError, RecursionError, ValueError):
        return False


def _is_meta(path: Path, size: int) -> bool:
    from prefdata.mixtures.meta import looks_like_meta

    return size <= _MAX_META_BYTES and looks_like_meta(path.read_bytes())


def raw_rows(path: Path, container: Container) -> Iterator[Raw]:
    """Every row's bytes. Raises BrokenArray where an array cannot be followed any further."""
    if container == "json":
        with reading(path) as stream:
            for line, data in iter_array(stream, MAX_ROW_BYTES):
                yield Raw(line, data)
        return
    if container != "jsonl":
        raise PrefdataError(f"{path}: rows of a {container} file are not text.")
    yield from _lines(path)


def _lines(path: Path) -> Iterator[Raw]:
    with reading(path) as stream:
        for number, line in enumerate(iter(functools.partial(stream.readline, MAX_ROW_BYTES), b""), start=1):
            if number == 1 and line.startswith(BOM):
                line = line[3:]
            if line.endswith(b"\n"):
                yield Raw(number, line)
            elif len(line) < MAX_ROW_BYTES:
                yield Raw(number, line, ended=False)
            else:
                yield Raw(number, line[:200], cut=True)
                while line and not line.endswith(b"\n"):
                    line = stream.readline(MAX_ROW_BYTES)


def parquet_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Rows of a parquet file, numbered from 1, read in batches."""
    import pyarrow
    import pyarrow.parquet

    try:
        number = 0
        for batch in pyarrow.parquet.ParquetFile(path).iter_batches(batch_size=256):
            for row in batch.to_pylist():
                number += 1
                yield number, without_none(row)
    except (pyarrow.ArrowException, OSError) as error:
        # pyarrow's word for a damaged end of the file is an OSError without a number.
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise PrefdataError(
            f"{path}: a damaged parquet file ({' '.join(str(error).split())[:200]})."
        ) from error


def without_none(value: Any) -> Any:
    """Parquet fills every key that any row has; a null there means that the key is absent."""
    if isinstance(value, dict):
        return {key: without_none(item) for key, item in value.items() if item is not None}
    return [without_none(item) for item in value] if isinstance(value, list) else value


def as_row(value: Any) -> Any:
    """A bare list of messages (a habit of XTuner's text files) as the row {"messages": ...}; all else unchanged."""
    if isinstance(value, list) and value and all(isinstance(item, dict) and "role" in item for item in value):
        return {"messages": value}
    return value


def head_rows(path: Path, container: Container, limit: int = 32) -> list[dict[str, Any]]:
    """The first readable rows, for sniffing."""
    if container == "parquet":
        return [row for _, row in zip(range(limit), (row for _, row in parquet_rows(path)), strict=False)]
    rows: list[dict[str, Any]] = []
    try:
        for _, raw in zip(range(4 * limit), raw_rows(path, container), strict=False):
            try:
                row = msgspec.json.decode(raw.data)
            except (msgspec.DecodeError, RecursionError, ValueError):
                continue
            row = as_row(row)
            if isinstance(row, dict) and not too_deep(raw.data):
                rows.append(row)
            if len(rows) == limit:
                break
    except BrokenArray:
        pass  # what was read before the break is enough to tell the format
    return rows
