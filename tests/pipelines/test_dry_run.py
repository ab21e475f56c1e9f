"""`--dry-run`: prompts and an estimate, and nothing on the disk."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.program import prefdata, replay, write_lines

CHOSEN = "A man and a dog walk along the river in the evening sun."


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rows = [{"question": f"What is {n}?", "chosen": CHOSEN, "answer": "3"} for n in range(300)]
    write_lines(tmp_path / "rows.jsonl", [*rows, {"question": "Short?", "chosen": "yes", "answer": "yes"}])
    write_lines(tmp_path / "answers.jsonl", [{"texts": ["x"]}])
    return tmp_path


def result(printed: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(printed.splitlines()[-1])
    return found


def test_dropout_ntp(folder: Path) -> None:
    more = ("--num-return-sequences", "4", "--max-new-tokens", "100", "--price-per-mtok", "1,10")
    done = replay("dropout-ntp", folder, "out", "--dry-run", *more)
    assert done.returncode == 0, done.stderr
    assert not (folder / "out").exists()
    assert "--- request 1 of 300: 4 samples" in done.stdout
    assert "user: What is 0?\nassistant: A man and a dog" in done.stdout
    estimate = result(done.stdout)
    # Tokens of the replay engine are characters; half of each answer is left to be written, four times.
    removed = 300 * 4 * len(CHOSEN) / 2
    assert estimate["likely_generated_tokens"] == pytest.approx(removed, rel=0.1)
    assert estimate["most_generated_tokens"] == 300 * 4 * 100
    assert estimate["prompt_tokens"] == pytest.approx(
        300 * len(f"user: What is 10?\nassistant: {CHOSEN[:27]}"), rel=0.05
    )
    assert estimate["cost"][0] == pytest.approx((estimate["prompt_tokens"] + 10 * removed) / 1e6, rel=0.1)
    assert estimate["dropped"] == {"empty prefix": 1}


def test_cot_pairs(folder: Path) -> None:
    done = replay("cot-pairs", folder, "out", "--dry-run", "--num-return-sequences", "2")
    assert done.returncode == 0, done.stderr
    assert not (folder / "out").exists()
    estimate = result(done.stdout)
    assert (estimate["requests"], estimate["samples"]) == (301, 602)
    assert estimate["likely_generated_tokens"] is None
    assert "What is 0?" in done.stdout


def test_weights_are_not_loaded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    monkeypatch.setattr("pipelines.engines.transformers.TransformersEngine._load", None)
    done = prefdata(
        *(
            "dropout-ntp",
            "--checkpoint",
            "demo",
            "--prompt-path",
            "rows.jsonl",
            "--out-dir",
            "out",
            "--dry-run",
        ),
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr
    assert result(done.stdout)["requests"] == 300


def test_a_server_is_not_asked(folder: Path) -> None:
    pytest.importorskip("httpx2")
    where = ("--engine", "openai", "--base-url", "http://127.0.0.1:9/v1", "--checkpoint", "m")
    rows = ("--prompt-path", "rows.jsonl", "--out-dir", "out", "--split-unit", "word")
    done = prefdata("dropout-ntp", *where, *rows, "--dry-run", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "assistant, to be continued: A man and" in done.stdout


def test_a_price_is_numbers(folder: Path) -> None:
    done = replay("dropout-ntp", folder, "out", "--dry-run", "--price-per-mtok", "cheap")
    assert done.returncode == 2
    assert "write one number" in done.stderr
