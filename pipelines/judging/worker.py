"""The inside of a worker process (`workers.py`): one task a line in, one answer a line out, nothing else.

Bounded from outside by its parent. Should the parent be gone, it bounds itself: an alarm ends a task that takes too
long, the end of stdin ends the rest. Memory is limited, so that an answer that explodes costs only this process.
"""

import importlib
import os
import signal
import sys
from collections.abc import Callable
from typing import Final

import msgspec

from pipelines.judging.workers import Found

_MEMORY: Final = 3 << 30
_LOOKS: Final = {
    "symbolic": "pipelines.judging.algebra",
    "regex": "pipelines.judging.pattern",
}


def main(kind: str, limit: float) -> None:
    """Serve tasks until stdin ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's business
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # what a library prints must not look like an answer
    _limit_memory()
    try:
        look: Callable[[str, str], Found] = importlib.import_module(_LOOKS.get(kind, kind)).look
    except Exception as error:  # noqa: BLE001 - told to the parent, which raises it
        answers.write(msgspec.json.encode(f"{type(error).__name__}: {error}") + b"\n")
        return
    answers.write(msgspec.json.encode("ready") + b"\n")
    for line in sys.stdin.buffer:
        answer, gold = msgspec.json.decode(line, type=tuple[str, str])
        signal.setitimer(signal.ITIMER_REAL, limit + 1.0)
        try:
            found = look(answer, gold)
        except (MemoryError, RecursionError, Exception):  # noqa: BLE001 - whatever a library does to hostile text
            found = Found("failed")
        signal.setitimer(signal.ITIMER_REAL, 0)
        answers.write(msgspec.json.encode(found) + b"\n")


def _limit_memory() -> None:
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    except (ImportError, ValueError, OSError):
        pass  # a system without this limit, or with a lower one already


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
