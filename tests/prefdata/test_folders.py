"""What `validate` looks at in a folder: data, each file once, and nothing that commands keep for themselves."""

from pathlib import Path

import pytest

from prefdata.errors import PrefdataError
from prefdata.validate import Options, validate
from tests.support.program import prefdata

ROW = '{"question":"2+2?","chosen":"4","rejected":"5"}\n'
META = '{"pairs":{"root":".","annotation":"%s","repeat_time":1,"length":1}}'


def run_folder(folder: Path) -> Path:
    (folder / "parts").mkdir(parents=True)
    (folder / "parts" / "0.jsonl").write_text('{"id":"1","pairs":[]}\n')
    (folder / "run.json").write_text('{"prefdata":"1","config":{}}')
    (folder / "dropped.jsonl").write_text("")
    return folder


def test_a_run_is_its_pairs(tmp_path: Path) -> None:
    run = run_folder(tmp_path / "run")
    with pytest.raises(PrefdataError, match="holds no data"):
        validate([run], Options())
    (run / "samples.jsonl").write_text('{"question":"Q","response":"R"}\n')
    (run / "pairs.jsonl").write_text(ROW)
    (run / "meta.json").write_text(META % "pairs.jsonl")
    report = validate([tmp_path], Options())
    assert report.counts == {}
    assert [Path(file.path).name for file in report.files] == ["meta.json", "pairs.jsonl"]
    assert report.rows == 1


def test_what_mix_write_wrote_is_sound(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(ROW)
    assert prefdata("mix", "write", "a.jsonl", "mixed", cwd=tmp_path).returncode == 0
    report = validate([tmp_path / "mixed"], Options())
    assert (report.counts, report.rows) == ({}, 1)


def test_an_empty_file_is_an_error_only_where_it_was_asked_for(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(ROW)
    empty = tmp_path / "b.jsonl"
    empty.touch()
    assert validate([tmp_path], Options()).counts == {}
    shown = prefdata("validate", ".", cwd=tmp_path)
    assert "empty: b.jsonl" in shown.stdout
    assert shown.returncode == 0
    assert validate([empty], Options()).counts == {"PD017": 1}
