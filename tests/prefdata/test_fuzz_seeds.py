"""What benchmarks/fuzz.py found, kept so that it stays mended."""

import json
from pathlib import Path

import pytest

from prefdata.validate import Options, validate


def test_a_path_with_a_name_too_long_for_the_system(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    row = {"image": "plots" + "[" * 2000 + ".png", "question": "Area?", "chosen": "6", "rejected": "8"}
    file.write_text(json.dumps(row))
    assert validate([file], Options()).counts == {"PD416": 1}


def test_bytes_that_are_no_text_beside_words_of_a_mixture(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    row = b'{"question":"Area\xe0?","chosen":"6","rejected":"8","source":"file_name"}\n'
    file.write_bytes(row)
    assert validate([file], Options(format=None)).counts == {"PD002": 1}
    file.write_bytes(row.replace(b"source", b"file_name"))
    assert "PD002" in validate([file], Options()).counts


@pytest.mark.parametrize("key", ["question", "note", "9\ud83d"])
def test_half_a_surrogate_pair_beside_what_is_not_json(key: str, tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    row = {"question": "Why?", "chosen": "So.", "rejected": "No.", key: "9\ud83d", "score": float("nan")}
    file.write_text(json.dumps(row) + "\n")
    assert validate([file], Options(format="mmpr")).counts == {"PD007": 1, "PD008": 1}
