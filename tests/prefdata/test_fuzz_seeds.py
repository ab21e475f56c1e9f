"""What benchmarks/fuzz.py found, kept so that it stays mended."""

import json
from pathlib import Path

from prefdata.validate import Options, validate


def test_a_path_with_a_name_too_long_for_the_system(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    row = {"image": "plots" + "[" * 2000 + ".png", "question": "Area?", "chosen": "6", "rejected": "8"}
    file.write_text(json.dumps(row))
    assert validate([file], Options()).counts == {"PD416": 1}
