"""`prefdata mix write`: one epoch of a mixture as files, in training order, the same bytes for the same seed.

Rows are copied as they stand. Two things can change them: image paths are rewritten where sources have different
roots, so that one root serves the whole output; and rows of different formats go through the record to one of them.
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

from prefdata.errors import PrefdataError
from prefdata.formats import BadRow, get
from prefdata.formats.base import CannotHold
from prefdata.images import is_url
from prefdata.jsonl import atomic_writer, encode_row, write_json
from prefdata.mixtures.draw import MASK, SHIFT, Epoch
from prefdata.mixtures.index import Index
from prefdata.mixtures.meta import write_meta
from prefdata.mixtures.model import Mixture, Source
from prefdata.mixtures.plan import Plan
from prefdata.progress import progress

MANIFEST = "mix.json"
_BLOCK_ROWS = 65536
_BLOCK_BYTES = 32 * 1024 * 1024
_IMAGE_KEYS = ("image", "images", "img_path", "image_name")


class Written(msgspec.Struct, kw_only=True):
    """The result of a write."""

    folder: str
    files: list[str]
    rows: int
    bytes: int
    root: str
    rewritten: int


def write_epoch(
    folder: Path, mixture: Mixture, indexes: Sequence[Index], drawn: Epoch, plan: Plan, *, shards: int = 1,
    to: str | None = None,
) -> Written:  # fmt: skip
    """Write the epoch into `folder`: shards, meta.json to train on them, mix.json. Raises PrefdataError."""
    clear(folder)
    target = _target(mixture, to)
    root, prefixes = common_root(mixture)
    changes = [
        _Change(source, prefix, target if source.format != target else None)
        for source, prefix in zip(mixture.sources, prefixes, strict=True)
    ]
    files: list[str] = []
    hashes: dict[str, Any] = {}
    size = 0
    with progress("mix write", len(drawn)) as bar, closing(_Reader(indexes, changes)) as reader:
        block = reader.block_rows()
        for shard in range(shards):
            name = f"part-{shard:05d}-of-{shards:05d}.jsonl"
            first, last = len(drawn) * shard // shards, len(drawn) * (shard + 1) // shards
            digest = xxhash.xxh3_128()
            with atomic_writer(folder / name) as out:
                for begin in range(first, last, block):
                    codes = drawn.packed[begin : min(begin + block, last)]
                    data = b"".join(reader.rows(codes))
                    out.write(data)
                    digest.update(data)
                    size += len(data)
                    bar.advance(len(codes))
            files.append(name)
            hashes[name] = {"rows": last - first, "hash": digest.hexdigest()}
    outputs = [
        Source(
            name=name.removesuffix(".jsonl"), annotation=folder / name, root=root, length=hashes[name]["rows"],
            format=target,
        )
        for name in files
    ]  # fmt: skip
    write_meta(folder / "meta.json", Mixture(tuple(outputs)))
    document = {"plan": msgspec.to_builtins(plan), "files": hashes, "format": target}
    write_json(folder / MANIFEST, document)
    rewritten = sum(change.rewritten for change in changes)
    return Written(
        folder=str(folder), files=files, rows=len(drawn), bytes=size, root=str(root), rewritten=rewritten
    )


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

    def __init__(self, source: Source, prefix: str, to: str | None) -> None:
        self.source, self.prefix, self.to = source, prefix, to
        self.plain = not prefix and to is None
        self.rewritten = 0

    def apply(self, data: bytes) -> bytes:
        """The row as it is written."""
        row = msgspec.json.decode(data)
        if self.to is not None:
            try:
                row = get(self.to).from_record(get(str(self.source.format)).to_record(row)).row
            except (BadRow, CannotHold) as error:
                raise PrefdataError(
                    f"{self.source.annotation}: a row cannot be written as `{self.to}`: {error}."
                ) from error
        for key in _IMAGE_KEYS:
            if self.prefix and row.get(key):
                row[key] = self._moved(row[key])
                self.rewritten += 1
        return encode_row(row)

    def _moved(self, value: Any) -> Any:
        if isinstance(value, str):
            return value if value.startswith("/") or is_url(value) else f"{self.prefix}/{value}"
        if isinstance(value, list):
            return [self._moved(part) for part in value]
        if isinstance(value, dict) and isinstance(value.get("path"), str):
            return value | {"path": self._moved(value["path"])}
        return value


def _target(mixture: Mixture, to: str | None) -> str:
    formats = {str(source.format) for source in mixture.sources}
    if to is not None:
        return get(to).id
    if len(formats) > 1:
        raise PrefdataError(
            f"the sources have different formats ({', '.join(sorted(formats))}); name the one to write with --to."
        )
    return formats.pop()


def clear(folder: Path) -> None:
    """Make room: only files that an earlier write named in its manifest are replaced."""
    folder.mkdir(parents=True, exist_ok=True)
    manifest = folder / MANIFEST
    if manifest.exists():
        try:
            named = msgspec.json.decode(manifest.read_bytes())["files"]
        except (msgspec.DecodeError, KeyError, TypeError) as error:
            raise PrefdataError(
                f"{manifest}: not written by `prefdata mix write`; name an empty folder."
            ) from error
        manifest.unlink()
        for name in named:
            if os.path.basename(name) == name:
                (folder / name).unlink(missing_ok=True)
    foreign = [entry.name for entry in folder.iterdir() if entry.name.startswith("part-")]
    if foreign:
        raise PrefdataError(f"{folder}: holds {sorted(foreign)[0]} of something else; name an empty folder.")


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
                data = change.apply(data)
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
