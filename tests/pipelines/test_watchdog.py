"""A stalling engine in a process of its own: restarted, asked again, or ended with a sentence."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.program import read_lines, write_lines

ROWS = 12


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    chosen = "A man and a dog walk along the river."
    write_lines(tmp_path / "rows.jsonl", [{"question": f"{n}?", "chosen": chosen} for n in range(ROWS)])
    return tmp_path


def run(folder: Path, stalls: int, *more: str) -> subprocess.CompletedProcess[str]:
    answers: list[dict[str, Any]] = [
        {"texts": [" and so on."]},
        {"texts": [" and on."], "question": "7?", "stalls": stalls},
    ]
    write_lines(folder / "answers.jsonl", answers)
    return subprocess.run(
        [
            *(sys.executable, "-m", "prefdata", "dropout-ntp", "--engine", "replay"),
            *("--checkpoint", "answers.jsonl", "--prompt-path", "rows.jsonl", "--out-dir", "runs"),
            *("--stall-timeout", "0.5", "--batch-size", "2", *more),
        ],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_one_stall_costs_a_restart(folder: Path) -> None:
    done = run(folder, 1)
    assert done.returncode == 0, done.stderr
    assert "no progress for 0.5 s: the engine is restarted, 1 requests are asked again" in done.stderr
    assert json.loads(done.stdout)["kept"] == ROWS
    (pairs,) = folder.rglob("pairs.jsonl")
    assert [pair["question"] for pair in read_lines(pairs)] == [f"{n}?" for n in range(ROWS)]


def test_a_second_stall_ends_the_run_and_what_was_finished_is_kept(folder: Path) -> None:
    done = run(folder, 2)
    assert done.returncode == 1
    assert "hangs again at the same requests" in done.stderr
    assert "Traceback" not in done.stderr
    (part,) = folder.rglob("parts/0.jsonl")
    assert len(read_lines(part)) == ROWS - 1


# The engine blocks the event loop itself, so nothing inside it can notice.
BLOCKED = """
import asyncio, time
from types import SimpleNamespace
from pipelines import feed, watchdog
from pipelines.engines.base import Reply, Request

async def generate(batch):
    {block}
    return [Reply(id=request.id) for request in batch]

async def nothing():
    pass

engine = SimpleNamespace(generate=generate, start=nothing, close=nothing, batch_size=1, calls=1)
watchdog.GRACE_SECONDS = 0.5
feed.Watchdog = lambda seconds: watchdog.Watchdog(seconds, 0.5)
requests = [Request(id="a", messages=())]
asyncio.run(feed.feed(engine, requests, lambda _: True, lambda *_: None, stall_timeout=0.3))
"""


@pytest.mark.parametrize("block", ["time.sleep(60)", "await asyncio.to_thread(time.sleep, 60)"])
def test_an_engine_that_cannot_be_stopped_does_not_keep_the_process(block: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", BLOCKED.format(block=block)],
        capture_output=True,
        text=True,
        check=False,
        timeout=40,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert done.returncode == 1
    assert "cannot be stopped" in done.stderr
