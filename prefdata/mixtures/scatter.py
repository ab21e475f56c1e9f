"""Rows of all sources to their places in the shards, with every file read and written from front to back.

Where it stands: `mix write` copies rows with it wherever none has to be looked at; `gather.py` does the same row by
row. Each source is read once (for every 64 shards) and each row goes to the block of output it belongs to; then every
block is read again and its rows are put in order where they lie. The decision to question: the output is written twice,
so that no row costs a read at a place of its own, which among gigabytes takes longer than all the copying
(docs/decisions.md).
"""

import os
from array import array
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path
from typing import Any

import xxhash

from prefdata.atomic import atomic_writer
from prefdata.mixtures.gather import Gatherer
from prefdata.mixtures.outputs import Shard
from prefdata.progress import progress

# A block that fits a processor's cache is ordered fastest; the more blocks, the less of each waits to be written.
_LEAST_BLOCK, _MOST_BLOCK, _BLOCKS = 2 * 1024 * 1024, 16 * 1024 * 1024, 2048
# What waits to be written, of one block and of all together.
_WAITING, _ALL_WAITING, _PAGE = 256 * 1024, 32 * 1024 * 1024, 4096
# Rows between two signs of life, and shards that are open at the same time.
_ROWS, _SHARDS = 65536, 64
_ENDLESS = 1 << 62

try:
    _order: Any = import_module("prefdata._order")
    _compiled: Any = import_module("prefdata._scatter")
except ImportError:
    _compiled = None


def possible(reader: Gatherer) -> bool:
    """Whether the compiled parts are there and no row has to be looked at."""
    return _compiled is not None and all(
        treatment.insert == b"" or (treatment.insert is not None and not index.header.unplaced)
        for index, treatment in zip(reader.indexes, reader.treatments, strict=True)
    )


def scatter(
    reader: Gatherer, codes: "array[int]", folder: Path, shards: Sequence[Shard], advance: Callable[[int], None]
) -> None:  # fmt: skip
    """Write the rows of packed codes into shards in `folder`, and note their bytes and hashes. Raises PrefdataError."""
    for first in range(0, len(shards), _SHARDS):
        with ExitStack() as stack:
            some = shards[first : first + _SHARDS]
            streams = [stack.enter_context(atomic_writer(folder / shard.name)) for shard in some]
            # A second handle: those of `atomic_writer` only write.
            files = [stack.enter_context(open(stream.name, "r+b")) for stream in streams]
            blocks = _Blocks(reader, codes, some, [file.fileno() for file in files])
            _distribute(reader, memoryview(codes)[some[0].first : some[-1].last], blocks)
            for shard, file, parts in zip(some, files, blocks.shards, strict=True):
                _put_in_order(reader, codes, shard, file, parts, advance)


class _Blocks:
    """Where the rows of each block wait, and where they go. `shards`: (end, bytes) of the blocks of each shard."""

    def __init__(
        self, reader: Gatherer, codes: "array[int]", shards: Sequence[Shard], files: list[int]
    ) -> None:
        packed = [memoryview(codes)[shard.first : shard.last] for shard in shards]
        whole = sum(size for part in packed for _, size in _order.blocks(part, reader.sources, _ENDLESS))
        most = min(_MOST_BLOCK, max(_LEAST_BLOCK, whole // _BLOCKS))
        self.shards = [_order.blocks(part, reader.sources, most) for part in packed]
        self.borders, self.files, self.cursors = array("Q"), array("i"), array("Q")
        for shard, file, parts in zip(shards, files, self.shards, strict=True):
            begin = 0
            for end, size in parts:
                self.borders.append(shard.first - shards[0].first + end)
                self.files.append(file)
                self.cursors.append(begin)
                begin += size
        count = max(len(self.files), 1)
        self.room = min(_WAITING, max(_PAGE, _ALL_WAITING // count // _PAGE * _PAGE))
        self.filled, self.waiting = array("I", [0]) * count, bytearray(count * self.room)

    def flush(self) -> None:
        """Write what still waits; nothing can wait afterwards."""
        with memoryview(self.waiting) as waiting:
            for number, (file, cursor) in enumerate(zip(self.files, self.cursors, strict=True)):
                begin = number * self.room
                left = waiting[begin : begin + self.filled[number]]
                while left:
                    done = os.pwrite(file, left, cursor)
                    left, cursor = left[done:], cursor + done
                left.release()
        self.waiting.clear()


def _distribute(reader: Gatherer, codes: memoryview, blocks: _Blocks) -> None:
    """Every row into its block, in the order of the files."""
    # Not of `bytes`, which would stand in memory beside the array.
    ends = array("I", [0]) * sum(len(index) for index in reader.indexes)
    where = array("I", [0]) * len(codes)
    _order.invert(codes, reader.sources, blocks.borders, ends, where)
    with progress("mix write, rows read", sum(len(index) for index in reader.indexes)) as bar:
        for number, index in enumerate(reader.indexes):
            for first in range(0, len(index), _ROWS):
                last = min(first + _ROWS, len(index))
                moved, failed = _compiled.scatter(
                    reader.sources, number, first, last, ends, where, blocks.files, blocks.cursors, blocks.filled,
                    blocks.waiting,
                )  # fmt: skip
                if failed >= 0:
                    raise reader.other(number)
                reader.moved += moved
                bar.advance(last - first)
    blocks.flush()


def _put_in_order(
    reader: Gatherer, codes: "array[int]", shard: Shard, file: Any, parts: list[tuple[int, int]],
    advance: Callable[[int], None],
) -> None:  # fmt: skip
    """The rows of each block of a shard in the order of the epoch."""
    digest, begin, at = xxhash.xxh3_128(), shard.first, 0
    ordered = bytearray(max((size for _, size in parts), default=0))
    for end, size in parts:
        file.seek(at)
        block = codes[begin : shard.first + end]
        _order.arrange(block, reader.sources, file.read(size), ordered)
        with memoryview(ordered)[:size] as data:
            file.seek(at)
            file.write(data)
            digest.update(data)
        at += size
        begin = shard.first + end
        advance(len(block))
    shard.bytes, shard.hash = at, digest.hexdigest()
