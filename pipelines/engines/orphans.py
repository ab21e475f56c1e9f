"""No worker outlives its run: a guard process ends an engine's workers when the run dies, even of kill -9.

vLLM's engine process waits for requests and does not notice that nobody is left to send any; it would keep its GPU.
The guard waits for the end of a pipe whose other end only the run holds: the kernel closes it, whatever ends the run.
It is a session of its own, so that Ctrl-C does not end it first.
"""

import subprocess
import sys
from contextlib import suppress

# For workers to end by themselves before they are killed.
_PATIENCE_SECONDS = 5.0
# Python's own process, which removes the shared memory of killed workers and ends after them; those that judge.
_NOT_OURS = ("resource_tracker", "pipelines.judging")


def guard_children() -> "subprocess.Popen[bytes]":
    """Guard all processes that this one has started so far; close the guard's `stdin` when they have ended."""
    import psutil

    children = psutil.Process().children(recursive=True)
    # A process id alone could be somebody else's by then; with the time of its start it is certain.
    named = []
    for child in children:
        with suppress(psutil.NoSuchProcess):
            if not any(name in word for word in child.cmdline() for name in _NOT_OURS):
                named.append(f"{child.pid}:{child.create_time()}")
    return subprocess.Popen(
        [sys.executable, "-m", "pipelines.engines.orphans", *named],
        stdin=subprocess.PIPE,
        start_new_session=True,
    )


def release(guard: "subprocess.Popen[bytes]") -> None:
    """End a guard whose processes have ended."""
    if guard.stdin is not None:
        guard.stdin.close()
    guard.wait()


def _wait_and_end(named: list[str]) -> None:
    import psutil

    sys.stdin.buffer.read()
    left = []
    for name in named:
        pid, _, started = name.partition(":")
        try:
            process = psutil.Process(int(pid))
            if process.create_time() == float(started):
                process.terminate()
                left.append(process)
        except psutil.NoSuchProcess:
            continue
    _, stubborn = psutil.wait_procs(left, timeout=_PATIENCE_SECONDS)
    for process in stubborn:
        process.kill()


if __name__ == "__main__":
    _wait_and_end(sys.argv[1:])
