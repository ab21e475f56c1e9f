"""The log of a run's steps compares the first loss with what is known of it, and no other."""

import logging
from pathlib import Path

import pytest

from trainers.plan import PlannedRow, Step
from trainers.steplog import StepLog


@pytest.mark.parametrize(("done", "warned"), [(0, True), (3, False)])
def test_only_the_loss_of_step_1_is_compared(
    done: int, warned: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that goes on without its earlier log has left the reference already."""
    monkeypatch.setattr(logging.getLogger("prefdata"), "propagate", True)
    log = StepLog(tmp_path / "train_log.jsonl", 9, 0.69, writes=False)
    log.keep(done)
    with caplog.at_level("INFO", logger="prefdata"):
        log.step(done + 1, Step(rows=((PlannedRow((0,)),),), pairs=1, tokens=2), {"loss": 0.1}, 1e-3)
    assert ("policy and reference do not agree" in caplog.text) is warned
    assert log.first_loss == 0.1
