"""Files of samples that change while they are read, and rows that are none: one sentence, and nothing kept of them."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipelines import cot_run, samples
from pipelines.canonical import judge_and_fix
from pipelines.places import Places
from tests.support.program import prefdata, read_lines, write_lines


def rows(first: int) -> list[dict[str, Any]]:
    """Two samples of each of four questions; files of other `first` have lines of the same lengths."""
    return [
        {"question": f"{first + n % 4}?", "answer": "3", "response": f"Way {n}.\nFinal answer: {3 + n // 4}"}
        for n in range(8)
    ]


def judged(folder: Path) -> Any:
    return prefdata("cot-pairs", "--samples", "s.jsonl", "--out-dir", "out", cwd=folder)


def swapped(file: Path) -> None:
    write_lines(file, rows(2))


def swapped_unseen(file: Path) -> None:
    before = file.stat()
    swapped(file)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:40])


def replaced(file: Path) -> None:
    write_lines(file.with_name("new"), rows(1)).rename(file)  # the same bytes in another file


@pytest.mark.parametrize(
    ("change", "when"),
    [
        *((change, when) for change in (swapped, cut, replaced) for when in ("counted", "judged")),
        (swapped_unseen, "counted"),
        (Path.unlink, "judged"),
    ],
)
def test_a_file_that_changes_while_it_is_read_stops_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[Path], None], when: str
) -> None:
    file = write_lines(tmp_path / "s.jsonl", rows(1))
    monkeypatch.setattr(samples, "_TOGETHER", 2)

    class Disturbed(Places):
        def __init__(self, files: list[Path]) -> None:
            super().__init__(files)
            if when == "counted":
                change(file)

    def disturbed(asks: list[Any], fix: bool, model: Any) -> Any:
        if when == "judged" and file.exists() and read_lines(file) == rows(1):
            change(file)
        return judge_and_fix(asks, fix, model)

    monkeypatch.setattr(cot_run, "Places", Disturbed)
    monkeypatch.setattr(samples, "judge_and_fix", disturbed)
    done = judged(tmp_path)
    assert done.returncode == 1
    assert "s.jsonl: changed while it was read; run the command again." in done.stderr
    (part,) = tmp_path.glob("out/**/parts/*.jsonl")
    assert len(read_lines(part)) == (0 if when == "counted" else 2)
    assert not list(tmp_path.glob("out/**/pairs.jsonl"))


def test_what_is_read_is_what_the_run_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write_lines(tmp_path / "s.jsonl", rows(1))

    class Late(Places):
        def __init__(self, files: list[Path]) -> None:
            swapped(file)  # after its hash was taken
            super().__init__(files)

    monkeypatch.setattr(cot_run, "Places", Late)
    done = judged(tmp_path)
    assert done.returncode == 1
    assert "changed while it was read" in done.stderr


def test_a_file_may_start_with_a_mark_of_its_encoding(tmp_path: Path) -> None:
    file = write_lines(tmp_path / "s.jsonl", rows(1))
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())
    done = judged(tmp_path)
    assert json.loads(done.stdout)["sampled"] == 8, done.stderr
    assert json.loads(done.stdout)["pair_count"] == 4


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "--samples s.jsonl: empty; there is no row in it."),
        ("\n \n", "--samples s.jsonl: empty; there is no row in it."),
        *(
            (json.dumps(rows(1)[0] | {key: value}), f"s.jsonl:1: {said}")
            for key, value, said in (
                ("options", [1, 2], "not a sampled row (Expected `str`, got `int` - at `$.options[0]`)"),
                ("options", "AB", "not a sampled row (Expected `array | null`, got `str` - at `$.options`)"),
                ("finish_reason", 5, "not a sampled row (Expected `str | null`"),
                ("seed", "x", "not a sampled row (Expected `int | null`"),
                ("answer_type", "colour", "answer_type 'colour' is not known; use one of auto,"),
            )
        ),
    ],
)
def test_what_is_no_file_of_samples_gets_one_sentence(tmp_path: Path, content: str, said: str) -> None:
    (tmp_path / "s.jsonl").write_text(content)
    done = judged(tmp_path)
    assert done.returncode == 2
    assert said in done.stderr
