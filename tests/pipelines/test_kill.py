"""The real program, really killed, and what else can happen to it; `benchmarks/faults.py` does more of the same."""

import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support import faults
from tests.support.faults import Outcome

FAULTS: dict[str, Callable[[Path], Outcome]] = {
    "kill": lambda work: faults.killed(faults.replay(work / "in"), work, 3),
    "kill in batches": lambda work: faults.killed(
        faults.replay(work / "in", batch=8), work, 3, seed=8, signals=(signal.SIGKILL, signal.SIGTERM)
    ),
    "stopped by hand": lambda work: faults.stopped(faults.replay(work / "in"), work, signal.SIGINT),
    "the server dies": faults.server_dies,
    "torn parts": lambda work: faults.torn(work, 2),
    "another input": faults.other_input,
    "two processes": faults.two_writers,
}
# These need a file system of their own, which not every user may mount.
MOUNTED: dict[str, Callable[[Path], Outcome]] = {
    "a full disk": faults.full_disk,
    "a disk that is full at the end": lambda work: faults.full_disk(work, at_the_end=True),
    "a read-only folder": faults.read_only,
}


@pytest.mark.parametrize("fault", FAULTS)
def test_fault(fault: str, tmp_path: Path) -> None:
    outcome = FAULTS[fault](tmp_path)
    assert outcome.ok, outcome


@pytest.mark.parametrize("fault", MOUNTED)
def test_fault_of_the_file_system(fault: str, tmp_path: Path) -> None:
    if not faults.can_mount():
        pytest.skip(
            "this user may not mount (unshare -m); test_a_file_that_cannot_grow... below does without"
        )
    outcome = MOUNTED[fault](tmp_path)
    assert outcome.ok, outcome


def test_a_file_that_cannot_grow_is_one_sentence_and_costs_nothing_done(tmp_path: Path) -> None:
    # A limit on the size of files stands for the full disk: writing fails half way through a line.
    outcome = faults.limited_file(tmp_path)
    assert outcome.ok, outcome
