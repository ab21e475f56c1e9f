"""The data commands as users call them: output, exit codes, one sentence for what cannot work."""

import io
import json
from pathlib import Path

import msgspec
import pyarrow
import pyarrow.parquet
import pytest
from PIL import Image

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
    assert set(report) == {"files", "findings", "counts", "not_shown", "unreadable", "rows", "seconds"}
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
    none = bad.parent / "none.jsonl"
    _, out, _ = run(monkeypatch, capsys, "validate", none, bad, "--output-format", "json")
    sentence = f"{none}: no such file or folder; check the path."
    assert json.loads(out)["unreadable"] == [sentence]
    _, out, _ = run(monkeypatch, capsys, "validate", none, "--output-format", "github")
    assert out == f"::error file={none},title=not readable::{sentence}\n"


def test_indented_objects_are_not_called_a_broken_array_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "pretty.jsonl"
    path.write_text(2 * (json.dumps(json.loads(ROW), indent=2) + "\n"))
    _, out, _ = run(monkeypatch, capsys, "validate", path)
    assert "JSON lines need each row on one line" in out


def test_short_work_prints_no_progress_line(
    bad: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, capsys, "validate", bad)[2] == ""


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


@pytest.mark.parametrize(
    ("image", "told"), [("a.png", True), ("https://example.org/a.png", False), ("/a.png", False)]
)
def test_convert_to_another_folder_says_where_relative_paths_start(
    image: str,
    told: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    source = tmp_path / "a.jsonl"
    source.write_text(json.dumps({"image": image, **json.loads(ROW)}))
    _, out, _ = run(monkeypatch, capsys, "convert", source, tmp_path / "b" / "b.jsonl", "--to", "trl")
    assert (f"image paths are relative to {tmp_path.resolve()} " in out) == told
    _, out, _ = run(monkeypatch, capsys, "convert", source, tmp_path / "b.jsonl", "--to", "trl")
    assert "relative" not in out


def test_extracted_images_are_not_said_to_lie_beside_the_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = io.BytesIO()
    Image.new("RGB", (40, 40)).save(picture, "PNG")
    row = {**json.loads(ROW), "prompt": "Q?", "images": [{"bytes": picture.getvalue(), "path": "x.png"}]}
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist([row]), tmp_path / "a.parquet")
    out_dir = tmp_path / "out"
    code, out, _ = run(
        monkeypatch, capsys, "convert", tmp_path / "a.parquet", out_dir / "b.jsonl", "--from", "trl",
        "--to", "trl", "--extract-images", out_dir / "images",
    )  # fmt: skip
    assert code == 0
    assert "relative" not in out


def test_convert_names_a_container_that_readers_of_the_format_do_not_take(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.jsonl").write_text(ROW)
    argv = ["convert", str(tmp_path / "a.jsonl")]
    _, out, _ = run(monkeypatch, capsys, *argv, tmp_path / "b.jsonl", "--to", "ixc-reward")
    assert "readers of `ixc-reward` take one JSON array only" in out
    _, out, _ = run(monkeypatch, capsys, *argv, tmp_path / "b.json", "--to", "ixc-reward")
    assert "readers" not in out


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


def test_paths_in_settings_start_at_their_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    below, file = tmp_path / "below", tmp_path / "prefdata.toml"
    (tmp_path / "images").mkdir()
    below.mkdir()
    Image.new("RGB", (40, 40)).save(tmp_path / "images" / "a.png")
    (below / "rows.jsonl").write_text('{"image":"a.png","question":"Q?","chosen":"a","rejected":"b"}\n')
    monkeypatch.chdir(below)
    file.write_text('[validate]\nimage-root = "images"\nignore = ["PD404"]\n')
    code, out, _ = run(monkeypatch, capsys, "validate", "rows.jsonl")
    assert code == 0, out
    _, out, _ = run(monkeypatch, capsys, "stats", "rows.jsonl", "--output-format", "json", "--no-near")
    assert json.loads(out)["sources"][0]["image_sizes"]["looked_at"] == 1
    code, out, _ = run(monkeypatch, capsys, "report", "rows.jsonl")
    assert "1 image" in out
    file.write_text('[validate]\nimage-root = "nowhere"\n')
    code, _, err = run(monkeypatch, capsys, "validate", "rows.jsonl")
    assert code == 2
    assert err == f"error: {file}: image-root ../nowhere: no such folder.\n"
    assert run(monkeypatch, capsys, "validate", "rows.jsonl", "--image-root", "../images")[0] == 0


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "[valdate]\n",
            "unknown section or key `valdate`; settings stand under [validate], [report], [stats]",
        ),
        ('[validate]\nimages = "foo"\n', "images 'foo': choose one of none, stat, header, decode."),
        ("[validate]\nimge-root = 1\n", "unknown key `imge-root`; known keys: format, ignore, image-root"),
    ],
)
def test_mistakes_in_settings_are_named(
    text: str, sentence: str, bad: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (bad.parent / "prefdata.toml").write_text(text)
    monkeypatch.chdir(bad.parent)
    code, _, err = run(monkeypatch, capsys, "validate", bad)
    assert code == 2
    assert sentence in err.replace("fix, ", "")


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


def test_a_report_replaces_a_page_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path, other, page = tmp_path / "p.jsonl", tmp_path / "run.json", tmp_path / "r.html"
    path.write_text('{"question": "2+2?", "chosen": "4", "rejected": "5"}\n')
    other.write_text("{}")
    for _ in range(2):
        assert run(monkeypatch, capsys, "report", path, "-o", page)[0] == 0
    code, _, err = run(monkeypatch, capsys, "report", path, "-o", other)
    assert code == 2
    assert "run.json: is there and is no HTML page" in err
    assert other.read_text() == "{}"
