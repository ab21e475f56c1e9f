"""`prefdata mix write`: one epoch of a mixture as files, in training order, the same bytes for the same seed.

Rows are copied as they stand. Two things can change them: paths of media are rewritten where sources have different
roots, so that one root serves the whole output; and rows of different formats go through the record to one of them,
which is counted like a conversion: what a row loses is told.
Memory is bounded by the order (eight bytes a row) and one block of rows, which is read in file order and written in
epoch order.
"""

import os
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import xxhash

from prefdata.atomic import atomic_writer
from prefdata.containers import as_row
from prefdata.errors import PrefdataError
from prefdata.formats import BadRow, Format, get
from prefdata.formats.base import CannotHold
from prefdata.jsonl import encode_row
from prefdata.mixtures.draw import MASK, SHIFT, Epoch, names
from prefdata.mixtures.index import Index
from prefdata.mixtures.model import Mixture, Source
from prefdata.mixtures.moving import move, moved_record
from prefdata.mixtures.outputs import Written, finish, staging
from prefdata.mixtures.plan import Plan
from prefdata.outcome import Count, note
from prefdata.progress import progress
from prefdata.records import Record

_BLOCK_ROWS = 65536
_BLOCK_BYTES = 32 * 1024 * 1024


def write_epoch(
    folder: Path, mixture: Mixture, indexes: Sequence[Index], drawn: Epoch, plan: Plan, *, shards: int = 1,
    to: str | None = None,
) -> Written:  # fmt: skip
    """Write the epoch into `folder`: shards, meta.json to train on them, mix.json. Raises PrefdataError."""
    target = _target(mixture, to)
    root, prefixes = common_root(mixture)
    changes = [
        _Change(name, source, prefix, target if source.format != target else None)
        for name, source, prefix in zip(names(mixture), mixture.sources, prefixes, strict=True)
    ]
    files: dict[str, dict[str, Any]] = {}
    size = 0
    with (
        staging(folder) as staged,
        progress("mix write", len(drawn)) as bar,
        closing(_Reader(indexes, changes)) as reader,
    ):
        block = reader.block_rows()
        for shard in range(shards):
            name = f"part-{shard:05d}-of-{shards:05d}.jsonl"
            first, last = len(drawn) * shard // shards, len(drawn) * (shard + 1) // shards
            digest = xxhash.xxh3_128()
            with atomic_writer(staged / name) as out:
                for begin in range(first, last, block):
                    codes = drawn.packed[begin : min(begin + block, last)]
                    data = b"".join(reader.rows(codes))
                    out.write(data)
                    digest.update(data)
                    size += len(data)
                    bar.advance(len(codes))
            files[name] = {"rows": last - first, "hash": digest.hexdigest()}
        finish(folder, staged, files, plan, target, root)
    return Written(
        folder=str(folder), files=list(files), rows=len(drawn), bytes=size, root=str(root),
        rewritten=sum(change.rewritten for change in changes),
        lost={name: count for change in changes for name, count in change.lost.items()},
        ignored={name: count for change in changes for name, count in change.ignored.items()},
    )  # fmt: skip


def common_root(mixture: Mixture) -> tuple[Path, list[str]]:
    """The folder that holds every source's image root, and what comes before each source's image paths."""
    roots = [
        os.path.abspath(source.root if source.root is not None else source.annotation.parent)
        for source in mixture.sources
    ]
    common = os.path.commonpath(roots)
    prefixes = [os.path.relpath(root, common) for root in roots]
    return Path(common), ["" if prefix == "." else prefix for prefix in prefixes]


class _Change:
    """What is done to the rows of one source; nothing, for most."""

    def __init__(self, name: str, source: Source, prefix: str, to: str | None) -> None:
        self.name, self.source, self.prefix = name, source, prefix
        self._reader = get(str(source.format))
        self._writer = get(to) if to is not None else None
        self.plain = not prefix and to is None
        self.rewritten = 0
        self.lost: dict[str, Count] = {}
        self.ignored: dict[str, Count] = {}

    def apply(self, data: bytes, line: int) -> bytes:
        """The row as it is written; `line` is its number in the source."""
        place = f"{self.source.annotation}: row {line}"
        try:
            row = as_row(msgspec.json.decode(data))
            if self._writer is not None:
                return encode_row(self._written(self._reader.to_record(row), self._writer, line))
            self.rewritten += move(row, self._reader, self.prefix)
        except (BadRow, CannotHold) as error:
            what = f"written as `{self._writer.id}`" if self._writer else "moved to the sources' common root"
            remedy = "" if self._writer else "; give all sources one root with --image-root"
            raise PrefdataError(f"{place} cannot be {what}: {error}{remedy}.") from error
        return encode_row(row)

    def _written(self, record: Record, writer: Format, line: int) -> dict[str, Any]:
        if self.prefix:
            record = moved_record(record, self.prefix)
            self.rewritten += len(record.media)
        written = writer.from_record(record)
        for name in written.lost:
            note(self.lost, f"{self.name}: {name}", line)
        for name in written.ignored:
            note(self.ignored, f"{self.name}: {name}", line)
        return written.row


def _target(mixture: Mixture, to: str | None) -> str:
    formats = {str(source.format) for source in mixture.sources}
    if to is not None:
        return get(to).id
    if len(formats) > 1:
        raise PrefdataError(
            f"the sources have different formats ({', '.join(sorted(formats))}); name the one to write with --to."
        )
    return formats.pop()


class _Reader:
    """Rows of all sources, a block at a time.

    Plain reads, not mapped files: rows far apart would each map their surroundings, and memory with them.
    """

    def __init__(self, indexes: Sequence[Index], changes: Sequence[_Change]) -> None:
        self.indexes, self.changes = indexes, changes
        self._opened: dict[int, int] = {}

    def block_rows(self) -> int:
        """How many rows a block holds so that it stays small even if all come from the source of the longest rows."""
        longest = max(index.path.stat().st_size // max(len(index), 1) for index in self.indexes)
        return max(64, min(_BLOCK_ROWS, _BLOCK_BYTES // (longest + 1)))

    def rows(self, codes: Sequence[int]) -> list[bytes]:
        """The rows of packed codes in their own order, read in the order of the files."""
        rows = [b""] * len(codes)
        current, pread = -1, os.pread
        for place in sorted(range(len(codes)), key=codes.__getitem__):
            code = codes[place]
            source = code >> SHIFT
            if source != current:
                current = source
                starts, lengths = self.indexes[source].starts, self.indexes[source].lengths
                opened, change = self._file(source), self.changes[source]
                plain = change.plain
            row = code & MASK
            data = pread(opened, lengths[row] + 1, starts[row])
            if not plain:
                data = change.apply(data, row + 1)
            # Only the last line of a file can be without one.
            rows[place] = data if data.endswith(b"\n") else data + b"\n"
        return rows

    def close(self) -> None:
        """Close the files."""
        while self._opened:
            os.close(self._opened.popitem()[1])

    def _file(self, source: int) -> int:
        if source not in self._opened:
            self._opened[source] = os.open(self.indexes[source].path, os.O_RDONLY | os.O_CLOEXEC)
        return self._opened[source]
