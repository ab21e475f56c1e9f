"""What the trainer draws is what `mix plan` counts and `mix write` writes: two processes, two epochs, killed once."""

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.support.program import prefdata, read_lines, write_lines
from trainers.launch import _free_port

ROOT = Path(__file__).resolve().parents[2]
SEED, BATCH, EPOCHS, PROCESSES = 5, 4, 2, 2


@pytest.fixture
def mixture(tmp_path: Path) -> Path:
    """15 of 10 rows and 4 of 8: 19 rows an epoch, so that the last step is a short one."""
    for name, count in (("sums", 10), ("words", 8)):
        rows = [
            {"question": f"{name} {n}?", "chosen": f"It is {n}!", "rejected": "No idea" + "!" * (n % 3)}
            for n in range(count)
        ]
        write_lines(tmp_path / f"{name}.jsonl", rows)
    entries = {
        name: {"root": "", "annotation": f"{name}.jsonl", "repeat_time": times}
        for name, times in (("sums", 1.5), ("words", 0.5))
    }
    (tmp_path / "meta.json").write_text(json.dumps(entries))
    return tmp_path / "meta.json"


def train(mixture: Path, model: Path, record: Path, stop: int, *more: str) -> list[int]:
    """Exit codes of two processes of one run, joined by gloo as a launcher joins them."""
    record.mkdir()
    command = [
        *(sys.executable, "-m", "tests.support.recorded", str(record), str(stop), "train", "--stage", "dpo"),
        *("--model", str(model), "--data", str(mixture), "--output-dir", str(mixture.parent / "out"), "-q"),
        *("--batch-size", str(BATCH), "--epochs", str(EPOCHS), "--seed", str(SEED), "--deepspeed", "none"),
        *("--save-steps", "2", "--max-tokens", "200", *more),
    ]
    place = {"WORLD_SIZE": str(PROCESSES), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(_free_port())}
    processes = [
        subprocess.Popen(
            command,
            cwd=ROOT,
            env=os.environ | place | {"RANK": str(rank), "LOCAL_RANK": str(rank), "OMP_NUM_THREADS": "1"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL if stop >= 0 else None,
        )
        for rank in range(PROCESSES)
    ]
    try:
        return [process.wait(timeout=300) for process in processes]
    finally:
        for process in processes:
            process.kill()


def trained(record: Path) -> list[dict[int, list[str]]]:
    """By process: step -> its rows."""
    ranks: list[dict[int, list[str]]] = [{} for _ in range(PROCESSES)]
    for rank, steps in enumerate(ranks):
        for line in read_lines(record / f"{rank}.jsonl"):
            steps.setdefault(line["step"], []).extend(line["rows"])
    return ranks


def written(mixture: Path, epoch: int) -> list[str]:
    """file:line of the rows that `mix write` writes for an epoch, in its order."""
    folder = mixture.parent
    out = folder / f"epoch{epoch}"
    done = prefdata("mix", "write", mixture, out, "--seed", SEED, "--epoch", epoch, "-q", cwd=folder)
    assert done.returncode == 0, done.stderr
    places = {
        row["question"]: f"{folder / name}.jsonl:{line}"
        for name in ("sums", "words")
        for line, row in enumerate(read_lines(folder / f"{name}.jsonl"), start=1)
    }
    return [
        places[row["question"]] for name in json.loads(done.stdout)["files"] for row in read_lines(out / name)
    ]


def test_plan_is_files_is_training(mixture: Path, models: dict[str, Path], tmp_path: Path) -> None:
    assert train(mixture, models["llama"], tmp_path / "cut", 3) == [-signal.SIGKILL] * PROCESSES
    assert sorted(path.name for path in (tmp_path / "out").glob("checkpoint-*")) == ["checkpoint-2"]
    assert train(mixture, models["llama"], tmp_path / "resumed", -1, "--resume") == [0] * PROCESSES
    before, after = trained(tmp_path / "cut"), trained(tmp_path / "resumed")
    for early, late in zip(before, after, strict=True):
        assert sorted(early) == [0, 1, 2]
        assert sorted(late) == list(range(2, 10))
        assert early[2] == late[2]  # done, but not saved: done again, with the same rows
    ranks = [early | late for early, late in zip(before, after, strict=True)]

    steps = []
    for epoch in range(EPOCHS):
        rows = written(mixture, epoch)
        told = prefdata(
            "mix",
            "plan",
            mixture,
            "--seed",
            SEED,
            "--epoch",
            epoch,
            "--output-format",
            "json",
            "-q",
            cwd=tmp_path,
        )
        planned = {source["path"]: source["want"] for source in json.loads(told.stdout)["sources"]}
        assert Counter(place.rpartition(":")[0] for place in rows) == planned
        assert sum(planned.values()) == len(rows) == 19
        steps += [sorted(rows[at : at + BATCH]) for at in range(0, len(rows), BATCH)]
    assert [sorted(place for rank in ranks for place in rank.get(n, [])) for n in range(10)] == steps
    first, second = (sorted(place for step in part for place in step) for part in (steps[:5], steps[5:]))
    assert first != second  # remainders are drawn anew
    shares = [sorted(len(rank.get(n, [])) for rank in ranks) for n in range(10)]
    assert shares == [[2, 2], [2, 2], [2, 2], [2, 2], [1, 2]] * EPOCHS
