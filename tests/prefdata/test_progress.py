"""What a person sees while a command works."""

import logging
import os
import re
import subprocess
import sys
import termios

import pytest

from prefdata.progress import duration, progress


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds that pass only where a test says so."""
    now = [0.0]
    monkeypatch.setattr("prefdata.progress.time.monotonic", lambda: now[0])
    return now


def test_a_line_now_and_then_says_how_long_it_will_take(
    clock: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "prefdata")
    with progress("making", total=100) as bar:
        for _ in range(20):
            clock[0] += 4
            bar.advance(1, "3 pairs, 40 tokens/s")
        lines = [record.getMessage() for record in caplog.records]
        assert lines == [
            "making: 8/100 rows, 32.0 s, 0.2/s, about 6 min left, 3 pairs, 40 tokens/s",
            "making: 16/100 rows, 64.0 s, 0.2/s, about 6 min left, 3 pairs, 40 tokens/s",
        ]
    assert caplog.records[-1].getMessage().startswith("making: 20/100 rows, 80.0 s")


def test_what_was_finished_before_says_nothing_about_the_speed(
    clock: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "prefdata")
    with progress("making", total=1000) as bar:
        bar.skip(980)
        clock[0] += 40
        bar.advance(10)
    assert caplog.records[0].getMessage() == "making: 990/1000 rows, 40.0 s, 0.2/s, about 40 s left"


def test_a_bar_on_a_terminal_starts_behind_what_was_finished(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "prefdata")
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    with progress("making", total=100) as bar:
        bar.skip(90)
        bar.advance(5, "3 pairs")
    shown = capsys.readouterr().err
    assert re.search(r"making: +95%.* 95/100 ", shown)
    assert "3 pairs" in shown


@pytest.mark.parametrize(
    ("seconds", "said"), [(0, "0 s"), (99, "99 s"), (100, "2 min"), (5999, "100 min"), (6001, "1.7 h")]
)
def test_durations(seconds: float, said: str) -> None:
    assert duration(seconds) == said


def test_a_terminal_that_does_not_know_its_size_shows_a_bar() -> None:
    script = "from prefdata.progress import *\nset_up_logging()\nwith progress('making', 10) as bar: bar.advance(7)"
    leader, follower = os.openpty()
    termios.tcsetwinsize(follower, (0, 0))
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    subprocess.run(
        [sys.executable, "-c", script],
        stdin=follower,
        stdout=follower,
        stderr=follower,
        env=environment,
        check=True,
    )
    os.close(follower)
    shown = os.read(leader, 1 << 16).decode()
    os.close(leader)
    assert "7/10" in shown
