"""What `prefdata judge` takes for a label."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.program import program


def judge(folder: Path, labels: list[Any]) -> Any:
    rows = [{"prediction": "12", "answer": "12", "label": label} for label in labels]
    (folder / "p.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return program("judge", "p.jsonl", "--label-key", "label", cwd=folder)


@pytest.mark.parametrize("label", ["true", 2, 0.5, [True]])
def test_a_label_that_is_neither_right_nor_wrong_is_named(label: Any, tmp_path: Path) -> None:
    done = judge(tmp_path, [True, label])
    assert done.returncode == 2
    assert f"p.jsonl:2: `label` is {json.dumps(label, separators=(',', ':'))}; a label is" in done.stderr


def test_a_key_that_no_row_has_is_named(tmp_path: Path) -> None:
    done = judge(tmp_path, [None])
    assert done.returncode == 2
    assert "p.jsonl: no row has `label`" in done.stderr


def test_rows_without_a_label_are_left_out_of_the_agreement(tmp_path: Path) -> None:
    done = judge(tmp_path, [True, None, 0])
    assert done.returncode == 0, done.stderr
    assert "labelled 2: " in done.stderr


def test_the_audit_does_not_replace_what_is_judged(tmp_path: Path) -> None:
    (tmp_path / "p.jsonl").write_text('{"prediction": "1", "answer": "1"}\n')
    done = program("judge", "p.jsonl", "--audit", "p.jsonl", cwd=tmp_path)
    assert done.returncode == 2
    assert "would overwrite an input of this command" in done.stderr
    assert (tmp_path / "p.jsonl").read_text() == '{"prediction": "1", "answer": "1"}\n'


def test_a_setting_of_a_judging_model_that_is_not_named_is_refused(tmp_path: Path) -> None:
    (tmp_path / "p.jsonl").write_text('{"prediction": "1", "answer": "1"}\n')
    done = program("judge", "p.jsonl", "--judge-votes", "7", cwd=tmp_path)
    assert done.returncode == 2
    assert "--judge-votes: there is no --judge-model" in done.stderr
