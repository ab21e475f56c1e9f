"""What benchmarks/fuzz.py found, kept so that it stays mended."""

import json
from pathlib import Path

import pytest

from prefdata.formats import get, ids
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


@pytest.mark.parametrize("name", ids())
def test_half_a_surrogate_pair_wherever_it_stands(name: str, tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    row = json.loads(get(name).sample)
    half = "9" * 60 + "\ud83d"
    values = (half, [half], [{"role": half, "content": half}], {half: half})
    rows = [{**row, key: value} for key in (*row, half) for value in values] if isinstance(row, dict) else []
    file.write_text("".join(json.dumps(one) + "\n" for one in rows))
    if rows:
        assert validate([file], Options(format=name)).counts["PD008"] == len(rows)
