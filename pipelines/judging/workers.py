"""Processes that can be killed: what may run for ever (computer algebra, regular expressions) runs in them.

    symbolic.py, pattern.py -> Workers.run(tasks) -> worker.py (a process) -> answers

Nothing inside a process bounds a computation for sure (a signal waits for the end of a long multiplication), so the
bound is outside: a task that is not answered in time costs its worker, which is killed and replaced, while the other
workers go on. Plain pipes and one line of JSON each way; nothing is pickled, and a worker ends with its stdin.
"""

import atexit
import os
import selectors
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import Final, Literal, NamedTuple

import msgspec

from prefdata.errors import PrefdataError

LIMIT_SECONDS: Final = 2.0
_START_SECONDS: Final = 120.0  # importing computer algebra from a cold disk, on a busy machine
_STILLBORN: Final = 3
_MOST: Final = 4

Kind = str
"""`symbolic`, `regex`, or the dotted name of a module with a `look` of its own."""


class Task(NamedTuple):
    """One question to a worker: the extracted answer against the reference (or pattern)."""

    kind: Kind
    answer: str
    gold: str


class Found(msgspec.Struct, frozen=True, gc=False):
    """A worker's answer; `timeout` and `failed` (it died, for instance out of memory) are said in its place."""

    what: Literal["equal", "different", "open", "conflict", "gold", "timeout", "failed"]
    shown: str = ""


class _Worker:
    def __init__(self, kind: Kind, limit: float) -> None:
        path = os.pathsep.join(entry for entry in sys.path if entry)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "pipelines.judging.worker", kind, str(limit)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=os.environ | {"PYTHONPATH": path},
        )
        self.ready = False
        self.task: int | None = None
        self.deadline = time.monotonic() + _START_SECONDS
        self.read = b""

    @property
    def output(self) -> int:
        assert self.process.stdout is not None
        return self.process.stdout.fileno()

    def give(self, number: int, task: Task, limit: float) -> None:
        assert self.process.stdin is not None
        self.task, self.deadline = number, time.monotonic() + limit
        with suppress(OSError):  # it has died: its output ends, and that is where it is noticed
            self.process.stdin.write(msgspec.json.encode((task.answer, task.gold)) + b"\n")
            self.process.stdin.flush()

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with suppress(OSError):  # what was not flushed belonged to a process that is gone
                    pipe.close()


class Workers:
    """A team of workers of one kind; started when first needed, kept between calls."""

    def __init__(self, kind: Kind, limit: float = LIMIT_SECONDS, most: int | None = None) -> None:
        self.kind: Kind = kind
        self.limit = limit
        # At least two: where one stalls, another goes on.
        self.most = most or max(2, min(_MOST, os.cpu_count() or 1))
        self.killed = 0
        self._stillborn = 0
        self._team: list[_Worker] = []
        self._owner = os.getpid()
        self._lock = threading.Lock()

    def run(self, tasks: Sequence[Task]) -> list[Found]:
        """The answers to all tasks, in their order. Takes about `limit` for each round of tasks that never end."""
        with self._lock:
            if self._owner != os.getpid():  # a forked child: the workers are its parent's
                self._team, self._owner = [], os.getpid()
            todo = deque(range(len(tasks)))
            answers: dict[int, Found] = {}
            try:
                while len(answers) < len(tasks):
                    while len(self._team) < min(self.most, len(tasks) - len(answers)):
                        self._team.append(_Worker(self.kind, self.limit))
                    for worker in self._team:
                        if worker.ready and worker.task is None and todo:
                            number = todo.popleft()
                            worker.give(number, tasks[number], self.limit)
                    self._listen(answers)
            except BaseException:
                self._end()  # nobody will read what they still answer
                raise
            return [answers[number] for number in range(len(tasks))]

    def close(self) -> None:
        """End all workers; a later `run` starts new ones."""
        with self._lock:
            self._end()

    def _end(self) -> None:
        if self._owner == os.getpid():
            for worker in self._team:
                worker.end()
        self._team = []

    def _listen(self, answers: dict[int, Found]) -> None:
        """Wait until a worker says something or has used up its time."""
        waiting = [worker for worker in self._team if worker.task is not None or not worker.ready]
        with selectors.DefaultSelector() as selector:
            for worker in waiting:
                selector.register(worker.output, selectors.EVENT_READ, worker)
            nearest = min(worker.deadline for worker in waiting)
            said = {key.data for key, _ in selector.select(max(0.0, nearest - time.monotonic()))}
        for worker in waiting:
            if worker in said:
                self._hear(worker, answers)
            elif worker.deadline <= time.monotonic():
                if worker.task is None:
                    raise PrefdataError(f"A process for judging did not start within {_START_SECONDS:g} s.")
                answers[worker.task] = Found("timeout")
                self._dismiss(worker)

    def _hear(self, worker: _Worker, answers: dict[int, Found]) -> None:
        read = os.read(worker.output, 65536)
        if not read:
            self._dismiss(worker)
            if worker.task is not None:
                answers[worker.task] = Found("failed")
                return
            self._stillborn += 1
            if self._stillborn > _STILLBORN:
                raise PrefdataError(
                    f"Processes for judging end with exit code {worker.process.wait()} before their first task; "
                    "is the memory full?"
                )
            return
        worker.read += read
        if not worker.read.endswith(b"\n"):
            return
        line, worker.read = worker.read, b""
        if worker.ready and worker.task is not None:
            answers[worker.task] = msgspec.json.decode(line, type=Found)
            worker.task = None
        elif (problem := msgspec.json.decode(line, type=str)) != "ready":
            raise PrefdataError(f"A process for judging could not start: {problem}.")
        else:
            worker.ready = True
            self._stillborn = 0

    def _dismiss(self, worker: _Worker) -> None:
        self.killed += 1
        self._team.remove(worker)
        worker.end()


_shared: dict[Kind, Workers] = {}


def shared(kind: Kind) -> Workers:
    """The workers of this process."""
    if kind not in _shared:
        _shared[kind] = Workers(kind)
        atexit.register(_shared[kind].close)
    return _shared[kind]
