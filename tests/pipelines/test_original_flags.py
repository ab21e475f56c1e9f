"""The command lines of InternVL's scripts, flag by flag: taken with their meaning, or refused with a sentence."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.program import prefdata, read_lines, write_lines

# `mmpr_data_pipeline_dropout_ntp.py` as of 2025-09 and 2024-11, with the values of its defaults, documentation or
# production script. What the sentence of a refusal must say stands behind the flag.
CURRENT: dict[str, tuple[str, ...]] = {
    "--num-workers": ("8",),
    "--batch-size": ("1",),
    "--vit-batch-size": ("8",),
    "--dynamic": (),
    "--max-num": ("6",),
    "--session-len": ("16384",),
    "--cache-max-entry-count": ("0.7",),
    "--top-k": ("50",),
    "--top-p": ("1.0",),
    "--temperature": ("0.7",),
    "--max-new-tokens": ("40",),
    "--load-image": (),
    "--start-ratio": ("0.5",),
    "--num-return-sequences": ("1",),
    "--sample-start-idx": ("0",),
    "--sample-max-num": ("500000",),
}
OLD: dict[str, tuple[str, ...]] = {"--tp": ("1",), "--min-new-tokens": ("5",)}
REFUSED = {
    "--vit-batch-size": "the transformers engine has no such setting; leave it out or take another --engine",
    "--cache-max-entry-count": "the transformers engine has no such setting; leave it out or take another --engine",
    "--min-new-tokens": "leave the flag out",
    "--dynamic": "leave it out",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rows: list[dict[str, Any]] = [
        {
            "question": f"How many {colour} shapes are there?",
            "chosen": "Seen: a3 blue-square 0, b1 red-triangle 1.",
            "rejected": None,
        }
        for colour in ("red", "blue")
    ]
    write_lines(tmp_path / "rows.jsonl", rows)
    return tmp_path


def run(folder: Path, *more: str) -> Any:
    return prefdata(
        "dropout-ntp",
        "--checkpoint",
        "demo",
        "--prompt-path",
        "rows.jsonl",
        "--keep-truncated",
        "--keep-same",
        *more,
        cwd=folder,
    )


@pytest.mark.parametrize("name", [*CURRENT, *OLD])
def test_each_flag_of_the_original_is_taken_or_refused_with_a_sentence(folder: Path, name: str) -> None:
    given = ("--out-dir", "out", name, *(CURRENT | OLD)[name])
    limit = () if name == "--max-new-tokens" else ("--max-new-tokens", "8")
    done = run(folder, *given, *limit)
    if done.returncode == 0:
        assert name not in REFUSED
        assert len(read_lines(folder / json.loads(done.stdout)["run"] / "pairs.jsonl")) == 2
    else:
        assert name in REFUSED, done.stderr
        assert done.returncode == 2
        assert name in done.stderr
        assert REFUSED[name] in done.stderr
        assert "Traceback" not in done.stderr


def test_tp_may_stand_in_the_environment(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TP", "4")
    done = run(folder)
    assert done.returncode == 2
    assert "--tp 4: the transformers engine runs on one device; use --engine vllm" in done.stderr


def test_the_documented_production_line_is_taken_as_a_whole(folder: Path) -> None:
    write_lines(folder / "answers.jsonl", [{"texts": [" and two more."]}])
    line = (
        "--checkpoint answers.jsonl --prompt-path rows.jsonl --out-dir sampled_outputs --batch-size 1 --num-workers 8 "
        "--num-return-sequences 1 --top-k 50 --temperature 1.0 --dynamic --max-num 6 --sample-max-num 500000 --tp 8 "
        "--start-ratio 0.5 --vit-batch-size 8 --session-len 16384 --cache-max-entry-count 0.7 --load-image"
    )
    done = prefdata("dropout-ntp", "--engine", "replay", *line.split(), cwd=folder)
    assert done.returncode == 0, done.stderr
    printed = json.loads(done.stdout)
    assert printed["kept"] == 2
    # The folder of the model, and the original's suffix for what kind of pairs these are.
    assert printed["run"].startswith("sampled_outputs/answers.jsonl/rows_prefix_pair_sr0.5_with_image-")
