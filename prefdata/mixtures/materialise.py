"""`prefdata mix write`: one epoch of a mixture as files, in training order, the same bytes for the same seed.

Rows are copied as they stand. Two things can change them: paths of media are rewritten where sources have different
roots, so that one root serves the whole output; and rows of different formats go through the record to one of them,
which is counted like a conversion: what a row loses is told. A row with one image path keeps all its other bytes: the
index says where the path begins.
Memory is bounded by the order (twelve bytes for a row of the epoch, four for one of a source) and by blocks of rows.
"""

import os
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec

from prefdata.containers import as_row
from prefdata.errors import PrefdataError
from prefdata.formats import BadRow, Format, get, writable
from prefdata.formats.base import CannotHold
from prefdata.jsonl import encode_row
from prefdata.mixtures.draw import Epoch, names
from prefdata.mixtures.gather import Gatherer, Treatment, gather
from prefdata.mixtures.index import Index
from prefdata.mixtures.model import Mixture, Source
from prefdata.mixtures.moving import move, moved_record
from prefdata.mixtures.outputs import Written, cut, finish, staging
from prefdata.mixtures.plan import Plan
from prefdata.mixtures.scatter import possible, scatter
from prefdata.outcome import Count, note
from prefdata.progress import progress
from prefdata.records import Record

# Formats whose media stand in `image` at the top of the row, or in keys for which the index has no place.
_PLACED = frozenset(
    {
        "mmpr",
        "qa",
        "internvl-sft",
        "llava",
        "ixc-reward",
        "ixc-sft-2.0",
        "ixc-sft-2.5",
        "povid",
        "rlaifv",
        "spavl",
    }
)


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
    parts = cut(len(drawn), shards, "jsonl")
    with (
        staging(folder) as staged,
        progress("mix write", len(drawn)) as bar,
        closing(Gatherer(indexes, [change.treatment() for change in changes])) as reader,
    ):
        copy = scatter if possible(reader) else gather
        copy(reader, drawn.packed, staged, parts, bar.advance)
        files = {part.name: {"rows": part.last - part.first, "hash": part.hash} for part in parts}
        finish(folder, staged, files, plan, target, root)
    return Written(
        folder=str(folder), files=list(files), rows=len(drawn), bytes=sum(part.bytes for part in parts), root=str(root),
        rewritten=reader.moved + sum(change.rewritten for change in changes),
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
        self.rewritten = 0
        self.lost: dict[str, Count] = {}
        self.ignored: dict[str, Count] = {}

    def treatment(self) -> Treatment:
        """Whether the rows are copied, given a prefix, or changed one by one."""
        if self._writer is not None or (self.prefix and self.source.format not in _PLACED):
            return Treatment(None, self._changed)
        return Treatment(msgspec.json.encode(f"{self.prefix}/")[1:-1] if self.prefix else b"", self._changed)

    def _changed(self, data: bytes, line: int) -> bytes:
        """The row as a line; `line` is its number in the source."""
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
    if to is not None and not get(to).writes:
        raise PrefdataError(f"--to {to}: is only read; choose one of {', '.join(writable())}.")
    if to is not None:
        return get(to).id
    if len(formats) > 1:
        raise PrefdataError(
            f"the sources have different formats ({', '.join(sorted(formats))}); name the one to write with --to."
        )
    return formats.pop()
