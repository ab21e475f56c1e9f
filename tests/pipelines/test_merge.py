"""Shards of one run merge to the bytes of one run."""

from pathlib import Path

import pytest

from tests.support.program import prefdata, replayed, write_lines


def make(folder: Path, out: str, *more: str, command: str = "dropout-ntp") -> Path:
    return replayed(command, folder, out, "--engine-arg", "batch_size=4", *more)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rows = [{"question": f"{n % 20}?", "chosen": f"It is {n % 20}, one of many."} for n in range(30)]
    write_lines(tmp_path / "rows.jsonl", rows)
    write_lines(tmp_path / "answers.jsonl", [{"texts": [" goes on.", " ends.", " I cannot see the image."]}])
    return tmp_path


@pytest.mark.parametrize("count", [2, 8])
def test_shards_merge_to_the_bytes_of_one_run(folder: Path, count: int) -> None:
    assert_same_when_merged(folder, count, "dropout-ntp")


@pytest.mark.parametrize("count", [2, 5])
def test_shards_of_correctness_pairs_do_so_too(tmp_path: Path, count: int) -> None:
    questions = [{"question": f"What is {n} + 1?", "answer": str(n + 1)} for n in range(12)]
    write_lines(tmp_path / "rows.jsonl", questions)
    texts = [f"So.\nAnswer: \\boxed{{{n}}}" for n in (3, 5, 8)] + [
        "I do not know.",
        "Answer: \\boxed{3} then",
    ]
    write_lines(tmp_path / "answers.jsonl", [{"texts": texts}])
    assert_same_when_merged(tmp_path, count, "cot-pairs", "--num-return-sequences", "5")


def assert_same_when_merged(folder: Path, count: int, command: str, *more: str) -> None:
    whole = make(folder, "whole", *more, command=command)
    shards = [
        make(folder, "shards", "--shard", f"{index}/{count}", *more, command=command)
        for index in range(count)
    ]
    done = prefdata("merge-runs", *reversed(shards), "--out-dir", f"merged/{whole.name}", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert (whole / "pairs.jsonl").stat().st_size
    for file in whole.iterdir():
        if file.suffix in (".jsonl", ".md") or file.name == "meta.json":
            assert (folder / "merged" / whole.name / file.name).read_bytes() == file.read_bytes()


def test_what_does_not_belong_together_is_refused(folder: Path) -> None:
    first, second = (make(folder, "shards", "--shard", f"{index}/2") for index in range(2))
    other = make(folder, "other", "--shard", "1/2", "--seed", "5")
    for runs, sentence in (
        ([first], "Shard 1 of 2 is missing"),
        ([first, first, second], "shard 0 of 2 is given twice"),
        ([first, other], "made with another config"),
        ([first, make(folder, "whole")], "not a shard"),
        ([first, folder], "no run.json"),
    ):
        done = prefdata("merge-runs", *runs, "--out-dir", "merged", cwd=folder)
        assert done.returncode == 2
        assert sentence in done.stderr
        assert not (folder / "merged").exists()


def test_slurm_variables_say_which_shard(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_PROCID", "1")
    monkeypatch.setenv("SLURM_NTASKS", "3")
    assert make(folder, "out", "--shard", "slurm").name.endswith(".shard-1-of-3")
    assert "shard" not in make(folder, "out").name
