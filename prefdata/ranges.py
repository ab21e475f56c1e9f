"""Byte ranges of one large file over processes: cut, checked apart, joined in file order.

Workers are plain child processes (`python -m prefdata.ranges`) that take a range on standard input and answer with its
tally, both as msgpack with a length in front. The decision to question: no `multiprocessing`. A pipe per worker makes a
worker that was killed (out of memory, most often) visible as the end of its pipe, and nothing is unpickled.
"""

import os
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from typing import IO, TYPE_CHECKING

import msgspec

from prefdata.blocks import blocks
from prefdata.checkfile import FileCheck, Tally
from prefdata.errors import EXIT_DATA, PrefdataError, from_os_error
from prefdata.findings import Chosen, Hit
from prefdata.formats import get
from prefdata.images import Tier
from prefdata.rules.image import ImageChecker
from prefdata.rules.length import Lengths

if TYPE_CHECKING:
    from prefdata.rules.tokens import TokenCheck

# A file below this is checked sooner by one process than a second one starts.
_LARGE = 48 * 1024 * 1024
_RANGE = 16 * 1024 * 1024


class TokenLimit(msgspec.Struct, frozen=True, kw_only=True):
    """Rows may have so many tokens of a tokenizer, with images of so many tiles at most."""

    tokenizer: str
    limit: int
    tiles: int = 12


def token_check(limit: TokenLimit | None, root: Path | None, base: Path) -> "TokenCheck | None":
    """The rule for a limit; the tokenizer is loaded only where one was given."""
    if limit is None:
        return None
    from prefdata.rules.tokens import TokenCheck

    return TokenCheck(limit.tokenizer, limit.limit, limit.tiles, root, base)


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


Checkers = tuple[ImageChecker, "TokenCheck | None"]


class Answer(msgspec.Struct, kw_only=True):
    """A tally as it travels; or the sentence of what went wrong."""

    rows: int = 0
    lines: int = 0
    counts: dict[str, int] = {}
    hits: list[tuple[int, Hit]] = []
    lengths: Lengths = msgspec.field(default_factory=Lengths)
    keys: bytes = b""
    places: bytes = b""
    image_types: dict[str, int] = {}
    error: str = ""


def how_many(asked: int | None, size: int) -> int:
    """Processes for a file of this size: what was asked for, else all cores for a large one."""
    if asked is not None:
        return asked
    return len(os.sched_getaffinity(0)) if size >= _LARGE else 1


def cut(whole: Range, workers: int) -> list[Range]:
    """Ranges of a file: enough for all workers to end at about the same time."""
    size = whole.stop - whole.start
    step = max(1, min(_RANGE, -(-size // (workers * 4))))
    starts = range(whole.start, whole.stop, step)
    return [
        msgspec.structs.replace(whole, start=start, stop=min(start + step, whole.stop)) for start in starts
    ]


def check(work: Range, checker: ImageChecker, tokens: "TokenCheck | None" = None) -> Tally:
    """The tally of one range."""
    tally = Tally()
    checking = FileCheck(
        get(work.format), checker, tally, Chosen(work.select, work.ignore), work.keep, tokens
    )
    with open(work.path, "rb") as stream:
        for block in blocks(stream, work.start, work.stop):
            checking.block(block)
    return tally


def over_processes(whole: Range, workers: int, own: Checkers) -> Iterator[tuple[Range, Tally]]:
    """Every range with its tally, in file order. This process works too: it has begun before the others have started.

    Raises PrefdataError when a worker fails.
    """
    ranges = cut(whole, workers)
    todo = deque(enumerate(ranges))
    answers: SimpleQueue[tuple[int, Tally | Exception]] = SimpleQueue()
    team = _Team()

    def serve() -> None:
        while todo:
            with suppress(IndexError):  # another took the last one
                number, work = todo.popleft()
                try:
                    answers.put((number, team.check(work)))
                except (PrefdataError, OSError) as error:
                    answers.put((number, error))

    threads = [threading.Thread(target=serve, daemon=True) for _ in range(workers - 1)]
    done: dict[int, Tally] = {}
    try:
        for thread in threads:
            thread.start()
        for number, work in enumerate(ranges):
            while number not in done:
                with suppress(IndexError):
                    mine, piece = todo.popleft()
                    done[mine] = check(piece, *own)
                while not answers.empty() or (not todo and number not in done):
                    other, answer = answers.get()
                    if isinstance(answer, Exception):
                        raise answer
                    done[other] = answer
            yield work, done.pop(number)
    finally:
        todo.clear()
        team.end()
        for thread in threads:
            thread.join()


class _Team:
    """One child process per thread."""

    def __init__(self) -> None:
        self._mine = threading.local()
        self._all: list[subprocess.Popen[bytes]] = []

    def check(self, work: Range) -> Tally:
        """Have a range checked by this thread's worker."""
        worker = getattr(self._mine, "worker", None)
        if worker is None:
            worker = self._mine.worker = subprocess.Popen(
                [sys.executable, "-m", "prefdata.ranges"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
            self._all.append(worker)
        place = f"{work.path}: bytes {work.start} to {work.stop}"
        try:
            _send(worker.stdin, msgspec.msgpack.encode(work))
            packed = _receive(worker.stdout)
        except BrokenPipeError:
            packed = None
        if packed is None:
            code = worker.wait()
            how = (
                f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
            )
            raise PrefdataError(
                f"{place}: the process that checked them {how}; "
                "is the memory full? Try again with --workers 1.",
                exit_code=EXIT_DATA,
            )
        answer = msgspec.msgpack.decode(packed, type=Answer)
        if answer.error:
            raise PrefdataError(answer.error)
        return _unpacked(answer)

    def end(self) -> None:
        """Stop all workers; those that wait for work end by themselves."""
        for worker in self._all:
            worker.kill()
            worker.wait()
            for pipe in (worker.stdin, worker.stdout):
                if pipe is not None:
                    # What was not flushed belongs to a worker that is gone.
                    with suppress(OSError):
                        pipe.close()


def _unpacked(answer: Answer) -> Tally:
    tally = Tally()
    tally.rows, tally.lines, tally.counts = answer.rows, answer.lines, answer.counts
    tally.hits, tally.lengths, tally.image_types = answer.hits, answer.lengths, answer.image_types
    tally.duplicates.add_packed(answer.keys, answer.places)
    return tally


def _send(pipe: IO[bytes] | None, data: bytes) -> None:
    assert pipe is not None
    pipe.write(len(data).to_bytes(8, "little") + data)
    pipe.flush()


def _receive(pipe: IO[bytes] | None) -> bytes | None:
    """The next message; None at the end, also in the middle of a message."""
    assert pipe is not None
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
        image_types=tally.image_types,
    )


def main() -> None:
    """A worker: ranges in, tallies out, until its input ends."""
    # Ctrl-C reaches all processes of the terminal; only the parent speaks.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    checkers: dict[Place, tuple[ImageChecker, TokenCheck | None]] = {}
    while (packed := _receive(sys.stdin.buffer)) is not None:
        answer = _answer(msgspec.msgpack.decode(packed, type=Range), checkers)
        _send(sys.stdout.buffer, msgspec.msgpack.encode(answer))


if __name__ == "__main__":
    main()
