"""A process that checks byte ranges of files: ranges in, tallies out, until its input ends.

Started by `workers.py`, by a fork or as `python -m prefdata.rangeworker`; a module of its own, with few imports,
because of the latter. Both directions carry msgpack with a length in front, so nothing is unpickled.
"""

import signal
import sys
from pathlib import Path
from typing import IO

import msgspec

from prefdata.blocks import blocks
from prefdata.checkfile import FileCheck, Tally
from prefdata.errors import PrefdataError, from_os_error
from prefdata.findings import Chosen, Hit
from prefdata.formats import get
from prefdata.images import Tier
from prefdata.rules.image import ImageChecker, References
from prefdata.rules.length import Lengths, Ratio
from prefdata.rules.tokens import TokenCheck, TokenLimit, token_check


class Range(msgspec.Struct, frozen=True, kw_only=True):
    """One piece of work: the lines of a file that begin in [start, stop), and how to check them."""

    path: str
    format: str
    root: str | None
    tier: Tier
    select: tuple[str, ...]
    ignore: tuple[str, ...]
    keep: int
    start: int
    stop: int
    tokens: TokenLimit | None = None
    ratio: Ratio | None = None


Checkers = tuple[ImageChecker, TokenCheck | None]


class Answer(msgspec.Struct, kw_only=True):
    """A tally as it travels; or the sentence of what went wrong."""

    rows: int = 0
    lines: int = 0
    counts: dict[str, int] = {}
    hits: list[tuple[int, Hit]] = []
    lengths: Lengths = msgspec.field(default_factory=Lengths)
    keys: bytes = b""
    places: bytes = b""
    firsts: dict[str, int] = {}
    references: References = msgspec.field(default_factory=References)
    error: str = ""


def check(work: Range, checker: ImageChecker, tokens: TokenCheck | None = None) -> Tally:
    """The tally of one range."""
    tally = Tally()
    checking = FileCheck(
        get(work.format), checker, tally, Chosen(work.select, work.ignore), work.keep, tokens, work.ratio
    )
    with open(work.path, "rb") as stream:
        for block in blocks(stream, work.start, work.stop):
            checking.block(block)
    return tally


def send(pipe: IO[bytes], data: bytes) -> None:
    """Write a message: its length in 8 bytes, then itself."""
    pipe.write(len(data).to_bytes(8, "little") + data)
    pipe.flush()


def receive(pipe: IO[bytes]) -> bytes | None:
    """The next message; None at the end, also in the middle of a message."""
    head = pipe.read(8)
    size = int.from_bytes(head, "little") if len(head) == 8 else 0
    data = pipe.read(size)
    return data if size and len(data) == size else None


Place = tuple[str | None, str, Tier]


def _answer(work: Range, checkers: dict[Place, Checkers]) -> Answer:
    # Kept between ranges, so that an image is looked at once by each worker.
    place = (work.root, str(Path(work.path).parent), work.tier)
    if place not in checkers:
        root = Path(work.root) if work.root is not None else None
        base = Path(work.path).parent
        checkers[place] = ImageChecker(root, base, work.tier), token_check(work.tokens, root, base)
    try:
        tally = check(work, *checkers[place])
    except PrefdataError as error:
        return Answer(error=str(error))
    except OSError as error:
        return Answer(error=str(from_os_error(error)))
    return Answer(
        rows=tally.rows,
        lines=tally.lines,
        counts=tally.counts,
        hits=tally.hits,
        lengths=tally.lengths,
        keys=tally.duplicates.keys.tobytes(),
        places=tally.duplicates.lines.tobytes(),
        firsts=tally.firsts,
        references=tally.references,
    )


def serve(ranges: IO[bytes], answers: IO[bytes]) -> None:
    """A worker: ranges in, tallies out, until its input ends."""
    # Ctrl-C reaches all processes of the terminal; only the parent speaks.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    checkers: dict[Place, Checkers] = {}
    while (packed := receive(ranges)) is not None:
        answer = _answer(msgspec.msgpack.decode(packed, type=Range), checkers)
        send(answers, msgspec.msgpack.encode(answer))


if __name__ == "__main__":
    serve(sys.stdin.buffer, sys.stdout.buffer)
