"""Rows of all sources, a block at a time: read in the order of the files, given in the order of the epoch.

Where it stands: `mix write` copies what this gives where rows have to be looked at one by one, or where prefdata was
installed without a C compiler; else `scatter.py` does the same without a Python object per row. Every row is read with
the bytes beside it: an index that is not of this content shows, since a row is exactly one line that opens an object.
The decision to question: plain reads, not mapped files; rows far apart would each map their surroundings, and memory
with them.
"""

import os
from array import array
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import xxhash

from prefdata.atomic import atomic_writer
from prefdata.containers import BOM
from prefdata.errors import PrefdataError
from prefdata.mixtures.draw import MASK, SHIFT
from prefdata.mixtures.index import LOOK, NOWHERE, Index
from prefdata.mixtures.outputs import Shard

_BLOCK_ROWS = 65536
_BLOCK_BYTES = 16 * 1024 * 1024
_NEWLINE = ord("\n")


class Treatment(msgspec.Struct, frozen=True):
    """What is done to the rows of a source.

    insert: bytes before the image path where the index has its place; None has every row changed. change: the row as it
    is written, from (bytes, number), where the index has no place.
    """

    insert: bytes | None
    change: Callable[[bytes, int], bytes]


COPIED = Treatment(b"", lambda data, number: data)


class Gatherer:
    """Reads rows of all sources. `moved` counts the paths that got a prefix.

    sources: (descriptor, starts, lengths, places, prefix) of each.
    """

    def __init__(self, indexes: Sequence[Index], treatments: Sequence[Treatment]) -> None:
        self.indexes, self.treatments = indexes, treatments
        self.moved = 0
        self._files: list[int] = []
        try:
            for index in indexes:
                self._files.append(index.open())
        except BaseException:
            self.close()
            raise
        self.sources = [
            (file, index.starts, index.lengths, index.places, treatment.insert)
            for file, index, treatment in zip(self._files, indexes, treatments, strict=True)
        ]

    def block_rows(self) -> int:
        """How many rows a block holds so that it stays small even if all come from the source of the longest rows."""
        longest = max(index.path.stat().st_size // max(len(index), 1) for index in self.indexes)
        return max(64, min(_BLOCK_ROWS, _BLOCK_BYTES // (longest + 1)))

    def rows(self, codes: "array[int]") -> bytes:
        """The rows of packed codes as lines. Raises PrefdataError."""
        return b"".join(self.lines(codes))

    def close(self) -> None:
        """Close the files."""
        while self._files:
            os.close(self._files.pop())

    def lines(self, codes: "array[int]") -> list[bytes]:
        """The rows of packed codes, each a line. Raises PrefdataError."""
        rows = [b""] * len(codes)
        current, pread = -1, os.pread
        for place in sorted(range(len(codes)), key=codes.__getitem__):
            code = codes[place]
            if code >> SHIFT != current:
                current = code >> SHIFT
                file, starts, lengths, places = self.sources[current][:4]
                insert, change = self.treatments[current].insert, self.treatments[current].change
            row = code & MASK
            start, length = starts[row], lengths[row]
            around = pread(file, length + 2, start - 1) if start else b"\n" + pread(file, length + 1, 0)
            data = around[1 : length + 1]
            at = places[row] if insert else NOWHERE
            if (
                len(data) != length
                or (around[0] != _NEWLINE and not (start == len(BOM) and around[0] == BOM[-1]))
                or around[length + 1 :] not in (b"", b"\n")
                or b"\n" in data
                or not data.lstrip(b" \t\r").startswith((b"{", b"["))
                or (at not in (NOWHERE, LOOK) and data[at - 1 : at] != b'"')
            ):
                raise self.other(current)
            if insert is None or at == LOOK:
                try:
                    rows[place] = change(data, row + 1)
                except msgspec.DecodeError as error:
                    raise self.other(current) from error
            elif at != NOWHERE:
                rows[place] = b"%b%b%b\n" % (data[:at], insert, data[at:])
                self.moved += 1
            else:
                rows[place] = data + b"\n"
        return rows

    def other(self, source: int) -> PrefdataError:
        """What to raise where a file is not the one that was indexed."""
        index = self.indexes[source]
        if not index.is_of(os.fstat(self._files[source])):
            return PrefdataError(f"{index.path}: changed while it was read; run the command again.")
        return PrefdataError(
            f"{index.path}: changed since its index was made although size and time are the same; "
            f"delete {index.place} and run again."
        )


def gather(
    reader: Gatherer, codes: "array[int]", folder: Path, shards: Sequence[Shard], advance: Callable[[int], None]
) -> None:  # fmt: skip
    """Write the rows of packed codes into shards in `folder`, and note their bytes and hashes. Raises PrefdataError."""
    block = reader.block_rows()
    for shard in shards:
        digest = xxhash.xxh3_128()
        with atomic_writer(folder / shard.name) as out:
            for begin in range(shard.first, shard.last, block):
                some = codes[begin : min(begin + block, shard.last)]
                data = reader.rows(some)
                out.write(data)
                digest.update(data)
                shard.bytes += len(data)
                advance(len(some))
        shard.hash = digest.hexdigest()
