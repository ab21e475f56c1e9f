"""Numbers about data: each against a count by hand."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from PIL import Image

from prefdata.cli.main import cli
from prefdata.stats.collect import spread
from prefdata.stats.near import NearDuplicates, available
from prefdata.stats.scripts import script_of
from tests.support.program import prefdata


def stats(capsys: pytest.CaptureFixture[str], path: Path, rows: list[dict], *more: str) -> dict:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    cli.main(["stats", str(path), "-q", "--output-format", "json", *more], standalone_mode=False)
    sources: list[dict] = json.loads(capsys.readouterr().out)["sources"]
    assert len(sources) == 1
    return sources[0]


def pair(chosen: str, rejected: str, **more: object) -> dict[str, object]:
    return {"question": "Which?", "chosen": chosen, "rejected": rejected} | more


def test_lengths_shortcuts_and_duplicates(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [pair("the long one", "the one"), pair("a", "bcd"), pair("same", "diff"), pair("a", "bcd")]
    found = stats(capsys, tmp_path / "p.jsonl", rows)
    assert (found["rows"], found["pairs"], found["duplicates"]) == (4, 4, 1)
    assert found["chosen"]["characters"] == {"mean": 4.5, "median": 2.5, "p95": 12, "max": 12}
    assert found["rejected"]["words"]["max"] == 2
    # Longer in one pair, shorter in two, as long in one: (1 + 1/2) / 4.
    assert found["length_baseline"] == 0.375
    assert found["same_first_word"] == 0.25


@pytest.mark.parametrize(
    ("values", "median", "p95"),
    [([7], 7, 7), ([1, 2, 3, 4, 5, 100], 3.5, 100), (range(1, 21), 10.5, 19), (range(1, 102), 51, 96)],
)
def test_median_and_nearest_rank(values: Sequence[int], median: float, p95: int) -> None:
    found = spread(values)
    assert (found["median"], found["p95"]) == (median, p95)


def test_a_folder_stands_for_its_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "other.json").write_text('{"no": "data"}')
    text = json.dumps(pair("a", "b"))
    (tmp_path / "p.jsonl").write_text(text)
    (tmp_path / "q.jsonl").write_text(text)
    meta = {
        "one": {"root": "", "annotation": "q.jsonl", "data_augment": False, "repeat_time": 1, "length": 1}
    }
    (tmp_path / "meta.json").write_text(json.dumps(meta))
    cli.main(["stats", str(tmp_path), "--no-near", "--output-format", "json"], standalone_mode=False)
    assert [source["name"] for source in json.loads(capsys.readouterr().out)["sources"]] == ["one", "p"]


def test_files_of_a_folder_that_are_passed_over_are_told_with_the_result(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/other.jsonl").write_text('{"no": "data"}\n')
    (tmp_path / "data/none.jsonl").touch()
    done = prefdata("stats", "data", "--no-near", "-q", cwd=tmp_path)
    assert done.returncode == 2
    assert (
        "data: no file in this folder can be read; the last: data/other.jsonl: no known format" in done.stderr
    )
    (tmp_path / "data/p.jsonl").write_text(json.dumps(pair("a", "b")))
    done = prefdata("stats", "data", "--no-near", "-q", cwd=tmp_path)
    assert "\npassed over: data/none.jsonl: empty; there is no row in it.\n" in done.stdout
    done = prefdata("stats", "data", "--no-near", "-q", "--output-format", "json", cwd=tmp_path)
    assert [why.partition(":")[0] for why in json.loads(done.stdout)["passed_over"]] == [
        "data/none.jsonl", "data/other.jsonl",
    ]  # fmt: skip


def test_rows_that_cannot_be_read_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = stats(capsys, tmp_path / "p.jsonl", [pair("a", "b"), {"question": 1, "chosen": 2, "rejected": 3}])
    assert (found["rows"], found["unreadable"]) == (1, 1)


def test_tokens_images_and_tiles(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.new("RGB", (640, 480)).save(tmp_path / "a.png")
    rows = [pair("a yellow square", "b", image="a.png"), pair("c", "d", image="gone.png")]
    found = stats(capsys, tmp_path / "p.jsonl", rows, "--tokenizer", "demo")
    assert found["images"] == 2
    assert found["image_sizes"]["unreadable"] == 1
    assert found["image_sizes"]["tiles"]["max"] == 13
    assert found["chosen"]["tokens"]["max"] >= 2


@pytest.mark.skipif(not available(), reason="rensa is not installed: pip install 'prefdata[near]'")
def test_near_duplicates() -> None:
    near = NearDuplicates()
    text = " ".join(f"word{number}" for number in range(200))
    for number in range(30):
        near.add(
            f"quite another row, number {number}: " + " ".join(f"w{number}x{i}" for i in range(40)), number
        )
    near.add(text, 100)
    near.add(text.replace("word77", "other"), 101)
    near.add("猫在哪里坐着看着远方的山和水还有一棵大树", 102)
    near.add("猫在哪里坐着看着远方的山和水还有一棵大树。", 103)
    assert near.found == 2
    assert near.pairs == [(100, 101), (102, 103)]


@pytest.mark.parametrize(
    ("text", "script"),
    [
        ("plain words", "Latin"), ("Größe", "Latin"), ("图中有三只猫", "Chinese"), ("猫が三匹います", "Japanese"),
        ("고양이 세 마리", "Korean"), ("три кошки", "Cyrillic"), ("42 + 7", "none"), ("", "none"),
        ("答案 is A 因为图中有三只猫", "Chinese"),
    ],
)  # fmt: skip
def test_script_of_an_answer(text: str, script: str) -> None:
    assert script_of(text) == script


@pytest.mark.skipif(not available(), reason="rensa is not installed: pip install 'prefdata[near]'")
def test_rows_beyond_the_limit_of_near_duplicates_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("prefdata.stats.near.MAX_ROWS", 2)
    rows = [pair(f"answer number {n}", "no") for n in range(5)]
    assert stats(capsys, tmp_path / "p.jsonl", rows)["rows_not_compared"] == 3
    cli.main(["stats", str(tmp_path / "p.jsonl"), "-q"], standalone_mode=False)
    assert "(later rows were not compared: 3)" in capsys.readouterr().out
