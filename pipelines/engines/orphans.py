"""No worker outlives its run: a guard process ends an engine's workers when the run dies, even of kill -9.

vLLM's engine process waits for requests and does not notice that nobody is left to send any; it would keep its GPU.
The guard waits for the end of a pipe whose other end only the run holds: the kernel closes it, whatever ends the run.
It is a session of its own, so that Ctrl-C does not end it first. A worker that is the leader of a session is guarded
with all that belongs to the session, whenever it was started.
"""

import os
import subprocess
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import psutil

# For workers to end by themselves before they are killed.
_PATIENCE_SECONDS = 5.0
# Python's own process, which removes the shared memory of killed workers and ends after them; those that judge.
_NOT_OURS = ("resource_tracker", "pipelines.judging")
_SESSION = "session "


def guard_children() -> "subprocess.Popen[bytes]":
    """Guard all processes that this one has started so far; close the guard's `stdin` when they have ended."""
    import psutil

    return _guard(_named(psutil.Process().children(recursive=True)))


def guard_session(leader: int) -> "subprocess.Popen[bytes]":
    """Guard the process `leader` and all of its session, also what it will start."""
    import psutil

    return _guard([f"{_SESSION}{name}" for name in _named([psutil.Process(leader)])])


def end_session(leader: int) -> None:
    """Kill what is left of a session, and wait for the end of it."""
    import psutil

    members = _members(leader)
    for process in members:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(members, timeout=_PATIENCE_SECONDS)


def release(guard: "subprocess.Popen[bytes]") -> None:
    """End a guard whose processes have ended."""
    if guard.stdin is not None:
        guard.stdin.close()
    guard.wait()


def _guard(named: list[str]) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        # -P: no file of the working directory stands in for a module.
        [sys.executable, "-P", "-m", "pipelines.engines.orphans", *named],
        stdin=subprocess.PIPE,
        start_new_session=True,
    )


def _named(processes: "list[psutil.Process]") -> list[str]:
    """A process id alone could be somebody else's by then; with the time of its start it is certain."""
    import psutil

    named = []
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            if not _is_apart(process):
                named.append(f"{process.pid}:{process.create_time()}")
    return named


def _is_apart(process: "psutil.Process") -> bool:
    return any(name in word for word in process.cmdline() for name in _NOT_OURS)


def _members(leader: int) -> "list[psutil.Process]":
    import psutil

    found = []
    for process in psutil.process_iter():
        with suppress(psutil.NoSuchProcess, ProcessLookupError):
            if os.getsid(process.pid) == leader and not _is_apart(process):
                found.append(process)
    return found


def _guarded(name: str) -> "list[psutil.Process]":
    """The processes of a name that still run."""
    import psutil

    pid, _, started = name.removeprefix(_SESSION).partition(":")
    in_session = name.startswith(_SESSION)
    try:
        process = psutil.Process(int(pid))
        if process.create_time() != float(started):
            return []
    except psutil.NoSuchProcess:
        # A session outlives its leader, and its number is nobody else's as long.
        return _members(int(pid)) if in_session else []
    return _members(int(pid)) if in_session else [process]


def _wait_and_end(named: list[str]) -> None:
    import psutil

    sys.stdin.buffer.read()
    left = [process for name in named for process in _guarded(name)]
    for process in left:
        with suppress(psutil.NoSuchProcess):
            process.terminate()
    _, stubborn = psutil.wait_procs(left, timeout=_PATIENCE_SECONDS)
    for process in stubborn:
        process.kill()


if __name__ == "__main__":
    _wait_and_end(sys.argv[1:])
