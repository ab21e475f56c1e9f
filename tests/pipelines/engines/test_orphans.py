"""Workers end with their run, however the run ends."""

import os
import signal
import subprocess
import sys
import time

import pytest

pytest.importorskip("psutil")

RUN = """
import subprocess, sys, time
from pipelines.engines.orphans import guard_children
worker = subprocess.Popen(["sleep", "600"])
guard = guard_children()
print(worker.pid, guard.pid, flush=True)
time.sleep(600)
"""


def gone(pid: int) -> bool:
    """Whether a process has ended (one that nobody has asked about yet is a zombie, and has)."""
    try:
        with open(f"/proc/{pid}/stat") as stream:
            return stream.read().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_workers_end_with_a_killed_run(how: signal.Signals) -> None:
    run = subprocess.Popen([sys.executable, "-c", RUN], stdout=subprocess.PIPE, text=True)
    assert run.stdout is not None
    worker, guard = map(int, run.stdout.readline().split())
    assert not gone(worker)
    os.kill(run.pid, how)
    run.wait()
    until = time.monotonic() + 60
    while not (gone(worker) and gone(guard)):
        assert time.monotonic() < until
        time.sleep(0.05)


def test_a_released_guard_ends_at_once() -> None:
    from pipelines.engines.orphans import guard_children, release

    guard = guard_children()
    release(guard)
    assert guard.returncode == 0
