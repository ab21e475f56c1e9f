"""Shards of one run merge to the bytes of one run."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from pipelines.cli.options import RunOptions
from pipelines.engines.base import Reply, Request
from pipelines.engines.replay import ReplayEngine
from prefdata.errors import PrefdataError
from tests.support.program import prefdata, replayed, write_lines


def make(folder: Path, out: str, *more: str, command: str = "dropout-ntp") -> Path:
    return replayed(command, folder, out, "--engine-arg", "batch_size=4", *more)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rows = [{"question": f"{n % 20}?", "chosen": f"It is {n % 20}, one of many."} for n in range(30)]
    write_lines(tmp_path / "rows.jsonl", rows)
    write_lines(tmp_path / "answers.jsonl", [{"texts": [" goes on.", " ends.", " I cannot see the image."]}])
    return tmp_path


def of_every_kind(folder: Path, number: int, key: str, value: Callable[[int], str]) -> None:
    """Rows with and without images, some twice, one image missing, one request that fails."""
    from PIL import Image

    rows: list[dict[str, Any]] = [{"question": f"What is {n}?", key: value(n)} for n in range(number)]
    for n, row in enumerate(rows):
        if n % 3 == 0:
            row |= {"image": f"{n % 5}.png", "question": f"<image>\nWhat is {n % 7}?"}
        if n % 11 == 0:
            rows[n] = rows[n // 2]
    rows[number // 2] = {"question": "Fails?", key: value(1)}
    rows[number - 2] |= {
        "image": ["0.png", "gone.png"],
        "question": "Image-1: <image>\nImage-2: <image>\nEqual?",
    }
    write_lines(folder / "rows.jsonl", rows)
    for n in range(5):
        Image.new("RGB", (20, 20), (40 * n, 0, 0)).save(folder / f"{n}.png")


@pytest.mark.parametrize("image", [(), ("--keep-image",)])
def test_shards_merge_to_the_bytes_of_one_run(tmp_path: Path, image: tuple[str, ...]) -> None:
    of_every_kind(
        tmp_path, 300, "chosen", lambda n: f"It is {n}, one of many in all the world." if n % 13 else "yes"
    )
    texts = [
        " goes on.",
        " ends.",
        " I cannot see the image.",
        ", one of many.",
        " 然后它停在街角的红色房子前面。",
    ]
    write_lines(
        tmp_path / "answers.jsonl", [{"texts": texts}, {"question": "Fails?", "error": "out of luck"}]
    )
    counts = assert_same_when_merged(
        tmp_path, (2, 8, 64), "dropout-ntp", "--num-return-sequences", "3", *image
    )
    assert counts["rows"] == 300
    assert counts["dropped"]["engine"] == 1
    assert ("image" in counts["dropped"]) == bool(image)
    assert {"self-commentary", "wrong language", "duplicate sample", "empty prefix"} <= set(counts["dropped"])


def test_shards_of_correctness_pairs_do_so_too(tmp_path: Path) -> None:
    of_every_kind(tmp_path, 140, "answer", lambda n: str(n % 10))
    texts = [f"So.\nAnswer: \\boxed{{{n}}}" for n in (3, 5, 8)] + [
        "I do not know.",
        "Answer: \\boxed{3} then",
    ]
    write_lines(tmp_path / "answers.jsonl", [{"texts": texts}])
    assert_same_when_merged(tmp_path, (2, 8, 35), "cot-pairs", "--num-return-sequences", "12")


def assert_same_when_merged(folder: Path, counts: Sequence[int], command: str, *more: str) -> Any:
    """Compare one run with its shards, merged; returns what the run counts."""
    whole = make(folder, "whole", *more, command=command)
    found = json.loads((whole / "run.json").read_text())["counts"]
    for count in counts:
        shards = [
            make(folder, f"shards-{count}", "--shard", f"{index}/{count}", *more, command=command)
            for index in range(count)
        ]
        merged = folder / f"merged-{count}" / whole.name
        done = prefdata("merge-runs", *reversed(shards), "--out-dir", merged, cwd=folder)
        assert done.returncode == 0, done.stderr
        assert (whole / "pairs.jsonl").stat().st_size
        for file in whole.iterdir():
            if file.suffix in (".jsonl", ".md", ".html") or file.name == "meta.json":
                assert (merged / file.name).read_bytes() == file.read_bytes(), (count, file.name)
        assert json.loads((merged / "run.json").read_text())["counts"] == found
    return found


def test_shards_ask_the_groups_of_one_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Other groups give an engine with static batches other last bits: rows that are not asked may not shift them.
    seen: list[list[str]] = []
    generate = ReplayEngine.generate

    async def recorded(engine: ReplayEngine, batch: Sequence[Request]) -> list[Reply]:
        seen.append([request.id for request in batch])
        return await generate(engine, batch)

    monkeypatch.setattr(ReplayEngine, "generate", recorded)
    write_lines(tmp_path / "answers.jsonl", [{"texts": ["Answer: \\boxed{3}", "Answer: \\boxed{4}"]}])
    for command, rounds, rows in (
        (
            "dropout-ntp",
            1,
            [{"question": f"{n}?", "chosen": "yes" if n in (1, 6) else f"{n} of them."} for n in range(14)],
        ),
        (
            "cot-pairs",
            2,  # the second says nothing new, and is the last
            [
                {"question": f"{n}?", "answer": "3"} | ({"image": "no.png"} if n in (1, 6) else {})
                for n in range(14)
            ],
        ),
    ):
        write_lines(tmp_path / "rows.jsonl", rows)
        seen.clear()
        make(tmp_path, f"{command}-whole", command=command)
        whole = [batch for batch in seen if not batch[0].startswith("probe")]
        assert [len(batch) for batch in whole] == [size for size in (3, 3, 4, 2) for _ in range(rounds)]
        seen.clear()
        for index in range(3):
            make(tmp_path, f"{command}-parts", "--shard", f"{index}/3", command=command)
        assert [batch for batch in seen if not batch[0].startswith("probe")] == whole


def test_a_merge_that_fails_leaves_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shards = [make(folder, "shards", "--shard", f"{index}/2") for index in range(2)]

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device", "README.md")

    monkeypatch.setattr("pipelines.dropout_run.write_card", full)
    done = prefdata("merge-runs", *shards, "--out-dir", "merged/run", cwd=folder)
    assert done.returncode != 0
    assert list((folder / "merged").iterdir()) == []


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


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("pairs", lambda rows: rows[:-1]),
        ("samples", lambda rows: [*rows[:-1], rows[-1][:-9]]),
        ("samples", lambda rows: [*rows[:-1], rows[-1].rstrip()]),
        ("samples", lambda rows: [b"{]\n", *rows[1:]]),
        ("undecided", lambda rows: [*rows, rows[0]]),
        ("format_pairs", None),
        ("dropped", None),
    ],
)
def test_a_shard_that_lost_rows_is_refused_and_mended_by_its_command(
    tmp_path: Path, name: str, change: Callable[[list[bytes]], list[bytes]] | None
) -> None:
    rows = [{"question": f"What is {n} + 1?", "answer": "3"} for n in range(8)]
    write_lines(tmp_path / "rows.jsonl", [*rows, {"question": "?", "answer": "3", "image": "no.png"}])
    write_lines(tmp_path / "answers.jsonl", [{"texts": [f"Final answer: {n}" for n in (3, 4)] + ["Well."]}])
    shards = [make(tmp_path, "shards", "--shard", f"{index}/2", command="cot-pairs") for index in range(2)]
    file = shards[1] / f"{name}.jsonl"
    found = file.read_bytes().splitlines(keepends=True)
    assert found
    if change:
        file.write_bytes(b"".join(change(found)))
    else:
        file.unlink()
    done = prefdata("merge-runs", *shards, "--out-dir", "merged", cwd=tmp_path)
    assert done.returncode == 2
    assert f"{file}: " in done.stderr
    assert f"says {len(found)}; run this shard's command again" in done.stderr
    assert not (tmp_path / "merged").exists()
    make(tmp_path, "shards", "--shard", "1/2", command="cot-pairs")
    done = prefdata("merge-runs", *shards, "--out-dir", "merged", cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_slurm_variables_say_which_shard(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_PROCID", "1")
    monkeypatch.setenv("SLURM_NTASKS", "3")
    assert make(folder, "out", "--shard", "slurm").name.endswith(".shard-1-of-3")
    assert "shard" not in make(folder, "out").name


@pytest.mark.parametrize(("first", "last"), [(3, 4), (1, 2), (0, 5)])
def test_an_array_of_some_tasks_does_not_say_what_the_shards_were(
    first: int, last: int, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"ID": last, "COUNT": 2, "MIN": first, "MAX": last}.items():
        monkeypatch.setenv(f"SLURM_ARRAY_TASK_{name}", str(value))
    with pytest.raises(PrefdataError, match=f"2 tasks from {first} to {last}"):
        _ = RunOptions(checkpoint="x", prompt_path="x", shard="slurm").shard_of
    monkeypatch.setenv("SLURM_ARRAY_TASK_MIN", "0")
    monkeypatch.setenv("SLURM_ARRAY_TASK_MAX", "1")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "1")
    assert RunOptions(checkpoint="x", prompt_path="x", shard="slurm").shard_of == (1, 2)
