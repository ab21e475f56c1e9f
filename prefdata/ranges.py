"""Byte ranges of one large file over processes: cut, checked apart, joined in file order.

Workers (`workers.py`, `rangeworker.py`) take a range through a pipe and answer with its tally, both as msgpack with a
length in front. The decision to question: no `multiprocessing`. A pipe per worker makes a worker that was killed (out
of memory, most often) visible as the end of its pipe, and nothing is unpickled.
"""

import os
import signal
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from queue import SimpleQueue

import msgspec

from prefdata.checkfile import Tally
from prefdata.errors import EXIT_DATA, PrefdataError
from prefdata.rangeworker import Answer, Checkers, Range, check, receive, send
from prefdata.workers import Worker, begin

# A file below this is checked sooner by one process than a second one starts.
_LARGE = 48 * 1024 * 1024
_RANGE = 16 * 1024 * 1024


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


def over_processes(whole: Range, workers: int, own: Checkers) -> Iterator[tuple[Range, Tally]]:
    """Every range with its tally, in file order. This process works too: it has begun before the others have started.

    Raises PrefdataError when a worker fails.
    """
    ranges = cut(whole, workers)
    todo = deque(enumerate(ranges))
    answers: SimpleQueue[tuple[int, Tally | Exception]] = SimpleQueue()
    team: list[Worker] = []

    def serve(worker: Worker) -> None:
        while todo:
            with suppress(IndexError):  # another took the last one
                number, work = todo.popleft()
                try:
                    answers.put((number, _checked(worker, work)))
                except (PrefdataError, OSError) as error:
                    answers.put((number, error))

    threads: list[threading.Thread] = []
    done: dict[int, Tally] = {}
    try:
        # All processes before the first thread: see `workers.py`.
        for _ in range(min(workers, len(ranges)) - 1):
            team.append(begin(fork=whole.tokens is None, others=team))
        for worker in team:
            threads.append(threading.Thread(target=serve, args=(worker,), daemon=True))
            threads[-1].start()
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
        for worker in team:
            worker.end()
        for thread in threads:
            thread.join()


def _checked(worker: Worker, work: Range) -> Tally:
    """Have a range checked by a worker."""
    place = f"{work.path}: bytes {work.start} to {work.stop}"
    try:
        send(worker.down, msgspec.msgpack.encode(work))
        packed = receive(worker.up)
    except BrokenPipeError:
        packed = None
    if packed is None:
        code = worker.wait()
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        raise PrefdataError(
            f"{place}: the process that checked them {how}; is the memory full? Try again with --workers 1.",
            exit_code=EXIT_DATA,
        )
    answer = msgspec.msgpack.decode(packed, type=Answer)
    if answer.error:
        raise PrefdataError(answer.error)
    return _unpacked(answer)


def _unpacked(answer: Answer) -> Tally:
    tally = Tally()
    tally.rows, tally.lines, tally.counts = answer.rows, answer.lines, answer.counts
    tally.hits, tally.lengths, tally.firsts = answer.hits, answer.lengths, answer.firsts
    tally.references = answer.references
    tally.duplicates.add_packed(answer.keys, answer.places)
    return tally
