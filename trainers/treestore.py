"""Trees on disk: written once while rows are tokenised, read one by one while they are trained on.

Where it stands: `grow.py` writes and opens them; everything else sees a sequence of trees. Only their measures stay in
memory (about 200 bytes a tree), so that hundreds of thousands of rows and their embedded images need no room there.

The decision to question: one file in a form of its own - compressed records, then an index - instead of JSONL. Token
ids as JSON are several times as large, and thousands of equal image tokens in a row compress to nothing. A file without
its index (a run that was killed) has another name (`prefdata.atomic`), and one of another version or key is not opened.
"""

import os
import zlib
from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from prefdata.jsonl import atomic_writer
from trainers.trees import Branch, LazyTrees, Measure, Tree

_MAGIC = b"prefdata-trees-1\n"
_TAIL = 8 + len(_MAGIC)


class _Branch(msgspec.Struct, array_like=True):
    ids: bytes
    supervised: bytes
    liked: int
    whole: bool


class _Tree(msgspec.Struct, array_like=True):
    place: str
    trunk: bytes
    branches: list[_Branch]
    pairs: list[tuple[int, int]]
    images: list[tuple[str, bytes]]
    """Path, or no path and the bytes themselves."""
    margins: list[float]


class Index(msgspec.Struct, array_like=True):
    """What stands behind the trees of a file."""

    about: dict[str, Any]
    """What the writer wants to know again."""
    offsets: list[int]
    """Where each record starts, and where the last one ends."""
    measures: list[Measure]


def encode(tree: Tree) -> bytes:
    """A tree as a record."""
    kept = _Tree(
        tree.place,
        _tokens(tree.trunk),
        [_Branch(_tokens(b.ids), bytes(b.supervised), b.liked, b.whole) for b in tree.branches],
        list(tree.pairs),
        [(str(image), b"") if isinstance(image, Path) else ("", image) for image in tree.images],
        list(tree.margins),
    )
    return zlib.compress(msgspec.msgpack.encode(kept), 1)


def decode(record: bytes) -> Tree:
    """A tree from its record."""
    kept = msgspec.msgpack.decode(zlib.decompress(record), type=_Tree)
    return Tree(
        kept.place,
        _ids(kept.trunk),
        tuple(Branch(_ids(b.ids), tuple(map(bool, b.supervised)), b.liked, b.whole) for b in kept.branches),
        tuple(kept.pairs),
        tuple(Path(path) if path else data for path, data in kept.images),
        tuple(kept.margins),
    )


class TreeWriter:
    """Appends records to a file that appears when all are there."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._stream.write(_MAGIC)
        self.index = Index({}, [len(_MAGIC)], [])

    def add(self, record: bytes, measure: Measure) -> None:
        """The next tree."""
        self._stream.write(record)
        self.index.offsets.append(self.index.offsets[-1] + len(record))
        self.index.measures.append(measure)

    def finish(self, about: dict[str, Any]) -> None:
        """Write the index."""
        self.index.about = about
        self._stream.write(zlib.compress(msgspec.msgpack.encode(self.index), 1))
        self._stream.write(self.index.offsets[-1].to_bytes(8, "little") + _MAGIC)


@contextmanager
def writing(path: Path) -> Iterator[TreeWriter]:
    """A writer of `path`, which appears whole or not at all."""
    with atomic_writer(path) as stream:
        yield TreeWriter(stream)


class TreeStore(LazyTrees):
    """The trees of a file, read from it each time they are asked for."""

    def __init__(self, path: Path) -> None:
        """Raises ValueError for a file that is not whole or of another version."""
        self.path = path
        self._stream = open(path, "rb", buffering=0)  # noqa: SIM115 - open as long as its trees are asked for
        size = path.stat().st_size
        tail = self._read(max(0, size - _TAIL), _TAIL)
        if len(tail) < _TAIL or not tail.endswith(_MAGIC):
            raise ValueError("not a whole file of trees")
        start = int.from_bytes(tail[:8], "little")
        try:
            index = msgspec.msgpack.decode(
                zlib.decompress(self._read(start, size - _TAIL - start)), type=Index
            )
        except (zlib.error, msgspec.DecodeError, OSError) as error:
            raise ValueError(str(error)) from error
        self.about = index.about
        self.measures: Sequence[Measure] = index.measures
        self._offsets = array("Q", index.offsets)

    def __len__(self) -> int:
        return len(self.measures)

    def tree(self, number: int) -> Tree:
        """Read and decoded."""
        start = self._offsets[number]
        return decode(self._read(start, self._offsets[number + 1] - start))

    def _read(self, start: int, size: int) -> bytes:
        """Without a position that processes would share."""
        return os.pread(self._stream.fileno(), size, start)


def _tokens(ids: Sequence[int]) -> bytes:
    return array("i", ids).tobytes()


def _ids(data: bytes) -> tuple[int, ...]:
    found = array("i")
    found.frombytes(data)
    return tuple(found)
