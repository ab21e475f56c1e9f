"""Where converted rows go: JSON lines, one JSON array (both packed where the name ends in .gz or .zst), or parquet.

Parquet needs the type of every column before its first row is written, so rows are put aside in a temporary file while
the schema grows, and written in a second pass: memory holds one batch. A column whose values have no common type is an
error with its name; only images, which formats write as a path or as {bytes, path}, are brought to one form.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Literal, Protocol

import msgspec

from prefdata.compressed import bare_suffix, packing, wanted
from prefdata.errors import EXIT_DATA, PrefdataError
from prefdata.jsonl import encode_row

Kind = Literal["jsonl", "json", "parquet"]
_SUFFIXES: dict[str, Kind] = {".jsonl": "jsonl", ".json": "json", ".parquet": "parquet"}
_BATCH = 1024
_PICTURES = ("image", "images", "rejected_images")


def kind_of(path: Path, asked: Kind | None, usual: Kind) -> Kind:
    """The container to write: the one asked for, else the one that the name says, else the format's usual one."""
    return asked or _SUFFIXES.get(bare_suffix(path), usual)


class Sink(Protocol):
    """What takes the rows of a file."""

    def add(self, row: dict[str, Any]) -> None:
        """Take a row."""


@contextmanager
def sink(path: Path, stream: BinaryIO, kind: Kind) -> Iterator[Sink]:
    """What takes the rows of the file at `path`, which is being written to `stream`."""
    if kind == "parquet":
        if wanted(path):
            raise PrefdataError(f"{path}: parquet compresses itself; name a .parquet file.")
        columns = _Columns(path)
        with columns.spool:
            yield columns
            columns.write(stream)
        return
    with packing(stream, wanted(path)) as target:
        lines = Lines(target) if kind == "jsonl" else _Array(target)
        yield lines
        lines.finish()


class Lines:
    """JSON lines, which also takes rows that are encoded already, each followed by `end`."""

    end = b"\n"

    def __init__(self, stream: BinaryIO) -> None:
        self._write = stream.write

    def add(self, row: dict[str, Any]) -> None:
        """Write a row."""
        self._write(encode_row(row))

    def copy(self, rows: bytes) -> None:
        """Write encoded rows as they are."""
        self._write(rows)

    def finish(self) -> None:
        """Lines need no end."""


class _Array(Lines):
    """One JSON array with a row on each line."""

    end = b",\n"
    _before = b"[\n"

    def add(self, row: dict[str, Any]) -> None:
        """Write a row."""
        self._write(self._before + msgspec.json.encode(row))
        self._before = b",\n"

    def copy(self, rows: bytes) -> None:
        """Write encoded rows; the comma behind the last one waits for the next."""
        self._write(self._before)
        self._write(rows[: -len(self.end)])
        self._before = b",\n"

    def finish(self) -> None:
        """Close the array."""
        self._write(b"[]\n" if self._before == b"[\n" else b"\n]\n")


class _Columns:
    """Rows put aside while their common schema is found."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.spool = tempfile.TemporaryFile()  # noqa: SIM115
        self._batch: list[dict[str, Any]] = []
        self._fields: dict[str, Any] = {}
        self._structs: set[str] = set()

    def add(self, row: dict[str, Any]) -> None:
        """Take a row."""
        for key in _PICTURES:
            if _has_struct(row.get(key)):
                self._structs.add(key)
        self._batch.append(row)
        if len(self._batch) == _BATCH:
            self._put_aside()

    def _put_aside(self) -> None:
        import pyarrow

        for key in dict.fromkeys(key for row in self._batch for key in row):
            values = [_as_struct(row.get(key)) if key in _PICTURES else row.get(key) for row in self._batch]
            try:
                field = pyarrow.field(key, pyarrow.array(values).type)
                if key in self._fields:
                    schemas = [pyarrow.schema([one]) for one in (self._fields[key], field)]
                    field = pyarrow.unify_schemas(schemas, promote_options="permissive").field(0)
            except (pyarrow.ArrowException, OverflowError) as error:
                raise self._refused(key, error) from error
            self._fields[key] = field
        data = msgspec.msgpack.encode(self._batch)
        try:
            self.spool.write(len(data).to_bytes(8, "little") + data)
            self.spool.flush()
        except OSError as error:
            # Of a file without a name; by default the target, on another disk perhaps, would be blamed.
            error.filename = tempfile.gettempdir()
            raise
        self._batch = []

    def write(self, stream: BinaryIO) -> None:
        """Write everything that was put aside."""
        import pyarrow
        import pyarrow.parquet

        if self._batch:
            self._put_aside()
        for key in set(_PICTURES) & self._fields.keys() - self._structs:
            self._fields[key] = _paths_only(self._fields[key])
        schema = pyarrow.schema(list(self._fields.values()))
        self.spool.seek(0)
        try:
            with pyarrow.parquet.ParquetWriter(stream, schema) as writer:
                while size := self.spool.read(8):
                    rows = msgspec.msgpack.decode(self.spool.read(int.from_bytes(size, "little")))
                    for row in rows:
                        for key in self._structs & row.keys():
                            row[key] = _as_struct(row[key])
                    writer.write_table(pyarrow.Table.from_pylist(rows, schema))
        except pyarrow.ArrowException as error:
            raise self._refused(None, error) from error

    def _refused(self, key: str | None, error: Exception) -> PrefdataError:
        what = "a column" if key is None else f"the column `{key}`"
        reason = " ".join(str(error).split())[:160]
        return PrefdataError(
            f"{self._path}: parquet cannot hold {what} ({reason}); write JSON lines instead.",
            exit_code=EXIT_DATA,
        )


def _has_struct(value: Any) -> bool:
    return isinstance(value, dict) or (isinstance(value, list) and any(isinstance(v, dict) for v in value))


def _as_struct(value: Any) -> Any:
    if isinstance(value, list):
        return [_as_struct(item) for item in value]
    return {"bytes": None, "path": value} if isinstance(value, str) else value


def _paths_only(field: Any) -> Any:
    """The field of a picture column without any bytes in it: texts, as they are written."""
    import pyarrow

    kind = pyarrow.list_(pyarrow.string()) if pyarrow.types.is_list(field.type) else pyarrow.string()
    return pyarrow.field(field.name, kind)
