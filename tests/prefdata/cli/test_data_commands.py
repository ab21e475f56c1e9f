"""The data commands as users call them: output, exit codes, one sentence for what cannot work."""

import json
from pathlib import Path

import msgspec
import pytest

from prefdata.cli.main import main

ROW = '{"question":"Q?","chosen":"a","rejected":"b"}\n'


def run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *argv: str | Path
) -> tuple[int, str, str]:
    monkeypatch.setattr("sys.argv", ["prefdata", *map(str, argv)])
    code = 0
    try:
        main()
    except SystemExit as stop:
        code = int(stop.code or 0)
    out, err = capsys.readouterr()
    return code, out, err


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    path = tmp_path / "rows.jsonl"
    path.write_text(ROW + '{"image":"no.png","question":"P","chosen":" ","rejected":"b<|im_end|>"}\n{"quest')
    return path


def test_validate_text(
    bad: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = run(monkeypatch, capsys, "validate", bad)
    assert code == 1
    assert f"{bad}:2: image: no such image: {bad.parent / 'no.png'}" in out
    assert out.index("PD006 error, once") < out.index("PD207 warning, once")
    assert out.endswith("3 rows in 1 file (mmpr): 3 errors, 1 warning.\n")


def test_validate_json(
    bad: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = run(monkeypatch, capsys, "validate", bad, "--output-format", "json")
    report = json.loads(out)
    assert code == 1
    assert set(report) == {"files", "findings", "counts", "not_shown", "rows", "seconds"}
    assert report["files"] == [
        {
            "path": str(bad),
            "format": "mmpr",
            "rows": 3,
            "bytes": bad.stat().st_size,
            "errors": 3,
            "warnings": 1,
        }
    ]
    assert report["counts"] == {"PD006": 1, "PD201": 1, "PD207": 1, "PD401": 1}
    assert set(report["findings"][0]) == {"code", "severity", "path", "line", "field", "message", "hint"}


def test_validate_github(
    bad: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _, out, _ = run(monkeypatch, capsys, "validate", bad, "--output-format", "github", "--select", "PD201")
    assert out == (
        f"::error file={bad},line=2,title=PD201::the answer is empty. "
        "An empty side teaches the model to say nothing; drop the pair.\n"
    )


def test_findings_beyond_the_usual_number_are_counted_and_shown_when_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("prefdata.validate.KEPT", 60)
    monkeypatch.setattr("prefdata.outputs._SHOWN_JSON", 60)
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(f'{{"question":"{n}?","chosen":"","rejected":"b"}}\n' for n in range(70)))

    def shown(form: str, *more: str) -> str:
        return run(monkeypatch, capsys, "validate", path, "--output-format", form, *more)[1]

    usual, all_of_them = json.loads(shown("json")), json.loads(shown("json", "--max-findings", "0"))
    assert (len(usual["findings"]), usual["not_shown"]) == (60, {"PD201": 10})
    assert (len(all_of_them["findings"]), all_of_them["not_shown"]) == (70, {})
    assert "... and 65 more" in shown("text")
    text = shown("text", "--max-findings", "0")
    assert text.count(":70: ") == 1
    assert "more" not in text
    github = shown("github").splitlines()
    assert len(github) == 51
    assert github[-1] == "::notice title=PD201::... and 20 more of PD201; --max-findings 0 shows all."


@pytest.mark.parametrize(
    ("flags", "code"),
    [(["--select", "PD207"], 0), (["--select", "PD207", "--strict"], 1), (["--ignore", "PD0,PD2,PD4"], 0)],
)
def test_validate_exit_codes(
    flags: list[str],
    code: int,
    bad: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(monkeypatch, capsys, "validate", bad, *flags)[0] == code


def test_validate_goes_on_after_an_unreadable_file(
    bad: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(monkeypatch, capsys, "validate", bad.parent / "none.jsonl", bad)
    assert code == 2
    assert "no such file" in err
    assert "3 rows in 1 file" in out


def test_a_path_with_a_newline_stays_on_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "two\nlines.jsonl"
    path.write_text('{"question":"Q?","chosen":"a","rejected":"a"}\n')
    _, out, _ = run(monkeypatch, capsys, "validate", path)
    assert "two\\nlines.jsonl:1: rejected:" in out
    _, out, _ = run(monkeypatch, capsys, "validate", path, "--output-format", "github")
    assert out.count("\n") == 1


def test_an_image_may_not_leave_the_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"image":"../../etc/passwd","question":"Q?","chosen":"a","rejected":"b"}\n')
    _, out, _ = run(
        monkeypatch, capsys, "validate", path, "--image-root", tmp_path, "--output-format", "json"
    )
    assert msgspec.json.decode(out)["counts"] == {"PD407": 1}


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        (["validate", "{tmp}"], "no .json, .jsonl, .parquet file in this folder"),
        (["validate", "{tmp}/none.jsonl"], "no such file"),
        (["validate", "--format", "nope", "{tmp}"], "Unknown format 'nope'"),
        (["validate", "--select", "XX", "{tmp}"], "'XX': no code begins like this"),
        (["validate", "--image-root", "{tmp}/no", "{tmp}"], "no such folder"),
        (["stats", "--image-root", "{tmp}/no", "{tmp}"], "no such folder"),
        (["convert", "{tmp}/none.jsonl", "{tmp}/b.jsonl", "--to", "mmpr"], "no such file"),
        (["convert", "{tmp}/none.jsonl", "{tmp}/b.jsonl", "--to", "nope"], "Unknown format 'nope'"),
        (["convert", "{tmp}/none.jsonl", "{tmp}/b.jsonl"], "--to"),
        (["explain", "PD999"], "Unknown code 'PD999'"),
        (["formats", "nope"], "Unknown format 'nope'"),
    ],
)
def test_what_cannot_work_is_one_sentence(
    argv: list[str],
    sentence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    code, _, err = run(monkeypatch, capsys, *(part.replace("{tmp}", str(tmp_path)) for part in argv))
    assert code == 2
    assert sentence in err
    assert len(err.strip().splitlines()) == 1


def test_convert_reports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.jsonl").write_text(ROW)
    code, out, _ = run(
        monkeypatch, capsys, "convert", tmp_path / "a.jsonl", tmp_path / "b.jsonl", "--to", "trl"
    )
    assert code == 0
    assert "1 row read, 1 written" in out
    argv = ["convert", str(tmp_path / "b.jsonl"), str(tmp_path / "c.jsonl"), "--from", "trl", "--to", "mmpr"]
    code, out, _ = run(monkeypatch, capsys, *argv, "--output-format", "json")
    assert json.loads(out)["written"] == 1
    assert (tmp_path / "c.jsonl").read_text() == ROW


def test_explain_and_formats(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = run(monkeypatch, capsys, "explain", "pd302")
    assert "PD302 (error, placeholder)" in out
    assert "Good:" in out
    _, out, _ = run(monkeypatch, capsys, "explain")
    assert len(out.splitlines()) > 60
    _, out, _ = run(monkeypatch, capsys, "formats")
    assert out.splitlines()[0].startswith("format")
    assert "lf-sharegpt" in out
    _, out, _ = run(monkeypatch, capsys, "formats", "mmpr")
    assert '"rejected"' in out


@pytest.mark.parametrize("file", ["prefdata.toml", "pyproject.toml"])
def test_settings_of_the_project_are_found_upward_and_flags_win(
    bad: Path, file: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    table = "validate" if file == "prefdata.toml" else "tool.prefdata.validate"
    (bad.parent / file).write_text(f'[{table}]\nselect = ["PD2"]\nmax-findings = 1\n')
    below = bad.parent / "below"
    below.mkdir()
    monkeypatch.chdir(below)
    code, out, _ = run(monkeypatch, capsys, "validate", bad)
    assert code == 1
    assert "PD201" in out
    assert "PD006" not in out
    _, out, _ = run(monkeypatch, capsys, "validate", bad, "--select", "PD0")
    assert "PD006" in out
    (bad.parent / file).write_text(f"[{table}]\nselct = 1\n")
    code, _, err = run(monkeypatch, capsys, "validate", bad)
    assert code == 2
    assert "unknown key `selct`" in err


def test_fix(bad: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    clean = bad.parent / "clean.jsonl"
    code, out, _ = run(monkeypatch, capsys, "validate", bad, "--fix", "--output", clean)
    assert code == 1
    assert clean.read_text() == ROW
    assert f"{clean}: 1 row kept, 0 of them mended." in out
    assert "clean.rejected.jsonl: 2 rows rejected" in out


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--fix"], "--fix needs --output"),
        (["--in-place"], "add --fix"),
        (["--fix", "--in-place", "--output", "x"], "--fix needs --output"),
    ],
)
def test_fix_says_what_it_needs(
    bad: Path,
    flags: list[str],
    sentence: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    code, _, err = run(monkeypatch, capsys, "validate", bad, *flags)
    assert code == 2
    assert sentence in err
