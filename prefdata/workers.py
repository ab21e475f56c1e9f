"""Child processes that check byte ranges, and the pipes to them.

A worker is forked where that is safe, since a forked one has nothing to import: 0.1 s of its own is what keeps two
processes from being twice as fast as one on a file of a second. Safe means Linux, and no other thread that could hold a
lock: none of Python's, and none of a tokenizer's. Elsewhere a fresh interpreter is started (`python -m
prefdata.rangeworker`), with the same conversation over the same pipes.
"""

import os
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import BinaryIO

from prefdata.rangeworker import serve


class Worker:
    """A process that reads ranges from `down` and writes answers to `up`."""

    def __init__(self, pid: int, down: BinaryIO, up: BinaryIO, wait: Callable[[], int]) -> None:
        self.pid, self.down, self.up = pid, down, up
        # The exit code, or the number of the signal that ended it below zero; waits for the end.
        self.wait = wait

    def end(self) -> None:
        """Stop it, whatever it does."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        self.wait()
        for pipe in (self.down, self.up):
            # What was not flushed belongs to a worker that is gone.
            with suppress(OSError):
                pipe.close()


def begin(*, fork: bool, others: Sequence[Worker]) -> Worker:
    """Start a worker. `fork`: nothing but Python's threads speaks against it; `others`: those started before."""
    if fork and sys.platform == "linux" and threading.active_count() == 1:
        return _forked(others)
    process = subprocess.Popen(
        [sys.executable, "-m", "prefdata.rangeworker"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    return Worker(process.pid, process.stdin, process.stdout, process.wait)  # type: ignore[arg-type]


def _forked(others: Sequence[Worker]) -> Worker:
    read_down, write_down = os.pipe()
    read_up, write_up = os.pipe()
    pid = os.fork()
    if not pid:
        code = 1
        try:
            # The end of a pipe is seen when nobody holds its other end.
            for other in others:
                os.close(other.down.fileno())
                os.close(other.up.fileno())
            os.close(write_down)
            os.close(read_up)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            with open(read_down, "rb") as ranges, open(write_up, "wb") as answers:
                serve(ranges, answers)
            code = 0
        except BrokenPipeError:
            pass  # the parent is gone
        except BaseException:  # noqa: BLE001 - a child must never go on as its parent
            traceback.print_exc()
        finally:
            # Without the parent's cleaning up: buffers and temporary files are the parent's.
            os._exit(code)
    os.close(read_down)
    os.close(write_up)
    codes: list[int] = []

    def wait() -> int:
        if not codes:
            codes.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        return codes[0]

    return Worker(pid, open(write_down, "wb"), open(read_up, "rb"), wait)
