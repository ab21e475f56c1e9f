"""Blocks of whole lines out of a byte range of a file: what one process checks at a time.

A range owns the lines that *begin* in it, so neighbouring ranges share no line and miss none, wherever they were cut.
"""

import io
from collections.abc import Iterator
from typing import BinaryIO

import msgspec

from prefdata.containers import BOM, MAX_ROW_BYTES

# Small enough to stay in the processor's cache between reading and checking.
_BLOCK_BYTES = 128 * 1024


class Block(msgspec.Struct, frozen=True):
    """The bytes of some whole lines.

    A line longer than MAX_ROW_BYTES comes alone, with its beginning only, as `cut`.
    """

    data: bytes
    cut: bool = False


def blocks(stream: BinaryIO, start: int = 0, stop: int | None = None) -> Iterator[Block]:
    """Blocks of the lines that begin in [start, stop). `stream` stands at its beginning."""
    at = _first_line(stream, start)
    while stop is None or at < stop:
        data = stream.read(_BLOCK_BYTES if stop is None else min(_BLOCK_BYTES, stop - at))
        if not data:
            return
        if not data.endswith(b"\n"):
            data += stream.readline(MAX_ROW_BYTES)
        skipped = 0
        last = data.rfind(b"\n", 0, len(data) - 1) + 1
        if len(data) - last >= MAX_ROW_BYTES:
            if last:
                yield Block(_without_bom(data[:last], at))
            skipped = _skip_line(stream, data)
            yield Block(data[last : last + 200], cut=True)
        else:
            yield Block(_without_bom(data, at))
        at += len(data) + skipped


def _first_line(stream: BinaryIO, start: int) -> int:
    if not start:
        return 0
    # The line before belongs to the range before; one that begins exactly here is ours.
    stream.seek(start - 1)
    at = start - 1
    while piece := stream.readline(MAX_ROW_BYTES):
        at += len(piece)
        if piece.endswith(b"\n"):
            break
    return at


def _skip_line(stream: BinaryIO, data: bytes) -> int:
    skipped = 0
    while data and not data.endswith(b"\n"):
        data = stream.readline(MAX_ROW_BYTES)
        skipped += len(data)
    return skipped


def _without_bom(data: bytes, at: int) -> bytes:
    return data.removeprefix(BOM) if at == 0 else data


def lines_of(data: bytes) -> Iterator[bytes]:
    """The lines of a block with their newlines (bytes.splitlines would also cut at other characters)."""
    return iter(io.BytesIO(data))
