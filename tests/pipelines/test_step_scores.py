"""`prefdata step-scores`: what is asked, what it is counted as, and that interruptions change nothing."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from pipelines.engines.base import Reply, Request, Sample
from pipelines.engines.replay import ReplayEngine
from tests.support.program import prefdata, read_lines, replayed, write_lines

FILES = ("steps", "prm", "orm", "dropped")
PLAIN = ("--prompt-version", "plain", "--include-orm-data")
RIGHT, WRONG, OPEN = "Final answer: 5", "Final answer: 6", "I stop here."


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_lines(tmp_path / "rows.jsonl", [{"question": f"What is {n}?", "answer": "5"} for n in range(6)])
    texts = [f"We add.\n\nThen look.\n\n{end}" for end in (RIGHT, WRONG, OPEN)] + ["No idea.\n\n" + WRONG]
    write_lines(tmp_path / "answers.jsonl", [{"texts": texts}])
    return tmp_path


def answering(
    monkeypatch: pytest.MonkeyPatch, response: Sample, continued: Mapping[str, Sequence[str]]
) -> list[tuple[str, int]]:
    """The engine gives `response`, and to a prefix its texts in turn; returns (prefix, n) of what it is asked."""
    asked: list[tuple[str, int]] = []

    async def generate(engine: ReplayEngine, batch: Sequence[Request]) -> list[Reply]:
        replies = []
        for request in batch:
            if not request.id.startswith("probe"):
                asked.append((request.prefix, request.n))
            texts = continued.get(request.prefix, [""])
            samples = (
                [
                    Sample(text=texts[n % len(texts)], token_ids=(), finish_reason="stop")
                    for n in range(request.n)
                ]
                if request.prefix
                else [response] * request.n
            )
            replies.append(
                Reply(id=request.id, samples=tuple(samples), prompt_tokens=len(request.images) + 1)
            )
        return replies

    monkeypatch.setattr(ReplayEngine, "generate", generate)
    return asked


def scores(run: Path) -> list[tuple[Any, int, int]]:
    (row,) = read_lines(run / "steps.jsonl")
    return [(s["score"], s["num_mc_correct"], s["num_mc_total"]) for s in row["steps_with_score"]]


def one_question(folder: Path) -> None:
    write_lines(folder / "rows.jsonl", [{"question": "What is 2 + 3?", "answer": "5"}])


def test_each_step_is_scored_by_its_continuations(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one_question(folder)
    response = Sample(text=f"We add.\n\nLook.\n\n{RIGHT}", token_ids=(), finish_reason="stop")
    continued = {"We add.\n\n": [RIGHT, WRONG, OPEN, OPEN], "We add.\n\nLook.\n\n": [OPEN]}
    asked = answering(monkeypatch, response, continued)
    run = replayed("step-scores", folder, "out", *PLAIN, "--num-mc-sequences", "4")
    # The last step of a response that ended is its own continuation; the three repeated responses are left out.
    assert asked == [("", 4), ("We add.\n\n", 4), ("We add.\n\nLook.\n\n", 4)]
    assert scores(run) == [(0.5, 1, 2), (None, 0, 0), (1.0, 1, 1)]
    (prm,) = read_lines(run / "prm.jsonl")
    assert [turn["value"] for turn in prm["conversations"] if turn["from"] == "gpt"] == ["+"]
    assert (
        "### Question:\nWhat is 2 + 3?\n\n### Solution Process:\nWe add." in prm["conversations"][0]["value"]
    )
    (orm,) = read_lines(run / "orm.jsonl")
    assert orm["conversations"][-1]["value"] == "+"
    assert json.loads((run / "run.json").read_text())["counts"]["scoring"]["repeated"] == 3


@pytest.mark.parametrize("more", [(), ("--no-early-stop",)])
def test_after_a_hopeless_step_nothing_is_asked(
    folder: Path, monkeypatch: pytest.MonkeyPatch, more: tuple[str, ...]
) -> None:
    one_question(folder)
    response = Sample(text=f"Bad.\n\nWorse.\n\n{WRONG}", token_ids=(), finish_reason="stop")
    asked = answering(monkeypatch, response, {"Bad.\n\n": [WRONG], "Bad.\n\nWorse.\n\n": [RIGHT]})
    run = replayed("step-scores", folder, "out", *PLAIN, *more)
    assert len(asked) == (3 if more else 2)
    rest = [(1.0, 16, 16), (0.0, 0, 1)] if more else [(0.0, 0, 0), (0.0, 0, 0)]
    assert scores(run) == [(0.0, 0, 16), *rest]
    (prm,) = read_lines(run / "prm.jsonl")
    wanted = ["-", "+", "-"] if more else ["-", "-", "-"]
    assert [turn["value"] for turn in prm["conversations"] if turn["from"] == "gpt"] == wanted


def test_a_response_that_was_cut_off_is_continued_to_its_end(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one_question(folder)
    response = Sample(text="We add.\n\nThen", token_ids=(), finish_reason="length")
    asked = answering(monkeypatch, response, {"We add.\n\n": [RIGHT], "We add.\n\nThen": [f" so.\n{RIGHT}"]})
    run = replayed("step-scores", folder, "out", *PLAIN)
    assert [prefix for prefix, _ in asked] == ["", "We add.\n\n", "We add.\n\nThen"]
    assert scores(run) == [(1.0, 16, 16), (1.0, 16, 16)]
    assert read_lines(run / "orm.jsonl") == []


def result(run: Path) -> dict[str, bytes]:
    return {name: (run / f"{name}.jsonl").read_bytes() for name in FILES}


def test_rows_are_clean_data(folder: Path) -> None:
    run = replayed("step-scores", folder, "out", *PLAIN, "--prompt-version", "en")
    assert read_lines(run / "prm.jsonl")
    assert "step by step" not in (run / "prm.jsonl").read_text()
    done = prefdata("validate", run / "prm.jsonl", run / "orm.jsonl", "--ignore", "PD501", cwd=folder)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("batch", [1, 2])
def test_killed_and_run_again_gives_the_same_bytes(folder: Path, batch: int) -> None:
    pace = (*PLAIN, "--engine-arg", "delay=0.02", "--engine-arg", f"batch_size={batch}")
    whole = replayed("step-scores", folder, "whole", *pace)
    argv: list[Any] = [sys.executable, "-m", "prefdata", "step-scores", "--engine", "replay", *pace]
    argv += ["--checkpoint", "answers.jsonl", "--prompt-path", "rows.jsonl", "--out-dir", "killed"]

    def lines() -> int:
        return sum(part.read_bytes().count(b"\n") for part in folder.glob("killed/*/*/parts/*.jsonl"))

    for lines_before_kill in (3, 12):
        process = subprocess.Popen(argv, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while lines() < lines_before_kill and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.005)
        os.kill(process.pid, signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    killed = replayed("step-scores", folder, "killed", *pace)
    assert result(killed) == result(whole)
    ids = [row["id"] for part in killed.glob("parts/*.jsonl") for row in read_lines(part)]
    assert len(ids) == len(set(ids))


def test_a_failed_step_leaves_its_question_out_and_is_asked_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = replayed("step-scores", folder, "whole", *PLAIN)
    generate = ReplayEngine.generate

    async def failing(engine: ReplayEngine, batch: Sequence[Request]) -> list[Reply]:
        replies = await generate(engine, batch)
        pairs = zip(batch, replies, strict=True)
        return [Reply(id=r.id, error="no") if "/0/1" in q.id else r for q, r in pairs]

    with monkeypatch.context() as patch:
        patch.setattr(ReplayEngine, "generate", failing)
        run = replayed("step-scores", folder, "out", *PLAIN)
    assert {row["reason"] for row in read_lines(run / "dropped.jsonl")} == {"engine: no"}
    assert len(read_lines(run / "steps.jsonl")) < len(read_lines(whole / "steps.jsonl"))
    assert result(replayed("step-scores", folder, "out", *PLAIN)) == result(whole)


@pytest.mark.parametrize("count", [2, 5])
def test_shards_merge_to_the_bytes_of_one_run(folder: Path, count: int) -> None:
    whole = replayed("step-scores", folder, "whole", *PLAIN)
    shards = [
        replayed("step-scores", folder, "shards", *PLAIN, "--shard", f"{index}/{count}")
        for index in range(count)
    ]
    done = prefdata("merge-runs", *shards, "--out-dir", f"merged/{whole.name}", cwd=folder)
    assert done.returncode == 0, done.stderr
    merged = folder / "merged" / whole.name
    assert result(merged) == result(whole)
    assert (merged / "README.md").read_bytes() == (whole / "README.md").read_bytes()


def test_what_is_written_may_change_without_asking_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = replayed("step-scores", folder, "out", "--prompt-version", "plain")
    assert not (first / "orm.jsonl").exists()

    async def refuse(engine: ReplayEngine, batch: Sequence[Request]) -> list[Reply]:
        raise AssertionError

    monkeypatch.setattr(ReplayEngine, "generate", refuse)
    strict = replayed("step-scores", folder, "out", *PLAIN, "--mc-threshold", "0.5")
    assert strict == first
    assert read_lines(strict / "orm.jsonl")
    assert "| mc_threshold | `0.5` |" in (strict / "README.md").read_text()
    replayed("step-scores", folder, "out", "--prompt-version", "plain")
    assert not (first / "orm.jsonl").exists()
