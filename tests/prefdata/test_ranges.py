"""A file over several processes gives the report of one process; a lost worker is a sentence."""

import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest

from prefdata import workers
from prefdata.blocks import blocks
from prefdata.validate import Options, Report, validate


def sample(folder: Path) -> Path:
    """600 rows of which some are broken, repeated or contradicted, far apart."""
    rows: list[dict[str, object]] = [
        {"question": f"{n}?", "chosen": f"It is {n}", "rejected": f"It is {n + 1}"} for n in range(600)
    ]
    rows[590] = rows[3]
    rows[410] = rows[7] | {"chosen": rows[7]["rejected"], "rejected": rows[7]["chosen"]}
    rows[300] = {"question": "Why?", "chosen": "因为。", "rejected": "因为"}
    rows[100] = rows[100] | {"image": ["a.png"], "question": "<image>?"}
    rows[500] = rows[500] | {"image": "a.png"}
    lines = [json.dumps(row, ensure_ascii=False) for row in rows]
    lines[200] = '{"question": "cut'
    lines[201] = ""
    file = folder / "pairs.jsonl"
    file.write_text("\ufeff" + "\n".join(lines), encoding="utf-8")
    return file


def without_time(report: Report) -> Report:
    return msgspec.structs.replace(report, seconds=0.0)


@pytest.mark.parametrize("workers", [2, 3])
def test_processes_make_no_difference(tmp_path: Path, workers: int) -> None:
    file = sample(tmp_path)
    alone = validate([file, file.parent / "pairs.jsonl"], Options(images="none", workers=1))
    team = validate([file, file.parent / "pairs.jsonl"], Options(images="none", workers=workers))
    assert without_time(team) == without_time(alone)
    assert {"PD004", "PD005", "PD001", "PD204", "PD501", "PD502", "PD024"} <= set(alone.counts)
    places = {found.code: (found.line, found.message) for found in alone.findings}
    assert places["PD501"] == (591, "the same row again, first at line 4")
    assert places["PD502"][0] == 411
    assert "line 8:" in places["PD502"][1]


def test_findings_of_images_read_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sample(tmp_path)
    monkeypatch.chdir(tmp_path)
    alone, team = (validate([Path("pairs.jsonl")], Options(workers=workers)) for workers in (1, 4))
    assert without_time(team) == without_time(alone)
    assert alone.counts["PD401"] == 2


@pytest.mark.parametrize("step", [1, 7, 50])
def test_ranges_share_no_line_and_miss_none(step: int) -> None:
    data = b"one\ntwo\n\nthree\nfour, which is longer\nlast"
    found = b""
    for start in range(0, len(data), step):
        found += b"".join(each.data for each in blocks(io.BytesIO(data), start, min(start + step, len(data))))
    assert found == data


def test_a_killed_worker_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr(workers, "serve", killed)
    # Threads that other tests have left would speak for a fresh interpreter.
    monkeypatch.setattr(threading, "active_count", lambda: 1)
    report = validate([sample(tmp_path)], Options(images="none", workers=2))
    assert "was killed by SIGKILL; is the memory full?" in report.unreadable[0]


def test_a_killed_interpreter_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = tmp_path / "python"
    fake.write_text("#!/bin/sh\nkill -9 $$\n")
    fake.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(fake))
    # Beside another thread nothing is forked.
    with ThreadPoolExecutor(1) as pool:
        report = pool.submit(validate, [sample(tmp_path)], Options(images="none", workers=2)).result()
    assert "was killed by SIGKILL; is the memory full?" in report.unreadable[0]


def test_interpreters_make_no_difference(tmp_path: Path) -> None:
    file = sample(tmp_path)
    alone = validate([file], Options(images="none", workers=1))
    with ThreadPoolExecutor(1) as pool:
        team = pool.submit(validate, [file], Options(images="none", workers=3)).result()
    assert alone.findings == team.findings
    assert alone.counts == team.counts


def test_no_worker_outlives_a_killed_parent(tmp_path: Path) -> None:
    file = tmp_path / "pairs.jsonl"
    row = json.dumps({"question": "Why?", "chosen": "Yes. " * 300, "rejected": "No. " * 300}) + "\n"
    file.write_text(row * 20_000)
    command = [sys.executable, "-m", "prefdata", "validate", "-q", "--workers", "3", str(file)]
    parent = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    deadline = time.monotonic() + 30
    while len(members(parent.pid)) < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert len(members(parent.pid)) >= 3
    parent.kill()
    parent.wait()
    while members(parent.pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not members(parent.pid)


def members(session: int) -> list[str]:
    """The living processes of a session."""
    done = subprocess.run(
        ["ps", "-o", "stat=", "-s", str(session)], capture_output=True, text=True, check=False
    )
    return [state for state in done.stdout.split() if not state.startswith("Z")]
