"""Workers end with their run, however the run ends."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

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

SHARING = """
import multiprocessing, time
from multiprocessing.shared_memory import SharedMemory
from pipelines.engines.orphans import guard_children, release

def work(pipe):
    shared = SharedMemory(create=True, size=4096)
    pipe.send(shared.name)
    time.sleep(600)

if __name__ == "__main__":
    ours, theirs = multiprocessing.Pipe()
    worker = multiprocessing.get_context("spawn").Process(target=work, args=(theirs,))
    worker.start()
    name = ours.recv()
    guard = guard_children()
    worker.kill()
    release(guard)
    print(name)
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


SESSION = """
import subprocess, sys, time
from pipelines.engines.orphans import guard_session
leader = subprocess.Popen(
    ["bash", "-c", "read -r; sleep 600 & echo $!; wait"], stdin=-1, stdout=-1, text=True, start_new_session=True
)
guard = guard_session(leader.pid)
leader.stdin.write("\\n")
leader.stdin.flush()
print(leader.pid, leader.stdout.readline().strip(), guard.pid, flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("leader_first", [False, True])
def test_a_session_ends_with_a_killed_run_also_what_started_later(leader_first: bool) -> None:
    run = subprocess.Popen([sys.executable, "-c", SESSION], stdout=subprocess.PIPE, text=True)
    assert run.stdout is not None
    leader, later, guard = map(int, run.stdout.readline().split())
    if leader_first:
        os.kill(leader, signal.SIGKILL)
    assert not gone(later)
    run.kill()
    run.wait()
    until = time.monotonic() + 60
    while not (gone(leader) and gone(later) and gone(guard)):
        assert time.monotonic() < until
        time.sleep(0.05)


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="shared memory is no folder here")
def test_shared_memory_of_a_killed_worker_goes_with_its_run(tmp_path: Path) -> None:
    script = tmp_path / "sharing.py"
    script.write_text(SHARING)
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    run = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, check=True, env=env, timeout=120
    )
    shared = Path("/dev/shm", run.stdout.strip())
    until = time.monotonic() + 10
    while shared.exists():
        assert time.monotonic() < until
        time.sleep(0.05)


def test_a_released_guard_ends_at_once() -> None:
    from pipelines.engines.orphans import guard_children, release

    guard = guard_children()
    release(guard)
    assert guard.returncode == 0
