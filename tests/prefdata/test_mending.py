"""`--fix` keeps what is clean byte for byte, mends what the catalogue says, and loses nothing silently."""

import gzip
import json
from pathlib import Path

import pytest

from prefdata import mending
from prefdata.errors import PrefdataError
from prefdata.mending import mend
from prefdata.validate import Options, validate

GOOD = '{"question": "2+2?",  "chosen": "4", "rejected": "5"}'
OTHER = '{"question":"Größe?","chosen":"6","rejected":"8","meta":{"n":1e3}}'
COMMA = '{"question":"Area?","chosen":"6","rejected":"8",}'
EMPTY = '{"question":"Why?","chosen":"","rejected":"8"}'
AGAINST = '{"question":"2+2?","chosen":"5","rejected":"4"}'
OPTIONS = Options(images="none")


def test_lines(tmp_path: Path) -> None:
    source, clean = tmp_path / "pairs.jsonl", tmp_path / "clean.jsonl"
    source.write_text("\ufeff" + "\n".join([GOOD, "", COMMA, EMPTY, OTHER, AGAINST, '{"question": "cut']))
    done = mend(source, clean, OPTIONS)
    mended = '{"question":"Area?","chosen":"6","rejected":"8"}'
    assert clean.read_text() == "\n".join([GOOD, mended, OTHER]) + "\n"
    assert (done.kept, done.mended, done.rejected) == (3, 1, 3)
    rejects = [json.loads(line) for line in (tmp_path / "clean.rejected.jsonl").read_text().splitlines()]
    assert [each["findings"][0]["code"] for each in rejects] == ["PD201", "PD502", "PD006"]
    assert [each["row_number"] for each in rejects] == [4, 6, 7]
    assert rejects[0]["row"] == EMPTY
    assert validate([clean], OPTIONS).counts == {}


def test_an_array_on_one_line_stays_an_array(tmp_path: Path) -> None:
    source, clean = tmp_path / "pairs.json", tmp_path / "clean.json"
    source.write_text(f"[{GOOD}, {EMPTY}, {OTHER},]")
    done = mend(source, clean, OPTIONS)
    assert json.loads(clean.read_text()) == [json.loads(GOOD), json.loads(OTHER)]
    assert done.rejected == 1


def test_in_place_keeps_a_backup_and_refuses_to_lose_it(tmp_path: Path) -> None:
    source = tmp_path / "pairs.jsonl"
    before = f"{GOOD}\n\n{COMMA}\n"
    source.write_text(before)
    done = mend(source, None, OPTIONS)
    assert (done.rejected, done.rejected_to) == (0, "")
    assert Path(done.backup).read_text() == before
    assert source.read_text().count("\n") == 2
    assert mend(source, None, OPTIONS).backup == ""
    source.write_text(before)
    with pytest.raises(PrefdataError, match="backup"):
        mend(source, None, OPTIONS)


@pytest.mark.parametrize("text", [f"{GOOD}\n{OTHER}\n", f"[{GOOD}, {OTHER}]"])
def test_in_place_leaves_a_file_alone_that_needs_no_mending(tmp_path: Path, text: str) -> None:
    source = tmp_path / "pairs.json"
    source.write_text(text)
    done = mend(source, None, OPTIONS)
    assert (done.kept, done.mended, done.backup) == (2, 0, "")
    assert source.read_text() == text
    assert list(tmp_path.iterdir()) == [source]


def test_the_input_is_never_the_output(tmp_path: Path) -> None:
    source = tmp_path / "pairs.jsonl"
    source.write_text(GOOD)
    with pytest.raises(PrefdataError, match="--in-place"):
        mend(source, source, OPTIONS)
    broken = tmp_path / "broken.json"
    broken.write_text(f'[{GOOD}, {{"quest')
    with pytest.raises(PrefdataError, match="broken"):
        mend(broken, tmp_path / "clean.json", OPTIONS)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["broken.json", "pairs.jsonl"]


def test_ignored_errors_do_not_reject(tmp_path: Path) -> None:
    source = tmp_path / "pairs.jsonl"
    source.write_text(f"{GOOD}\n{EMPTY}\n")
    assert mend(source, tmp_path / "a.jsonl", Options(images="none", ignore=("PD201",))).rejected == 0


def test_a_packed_name_is_packed(tmp_path: Path) -> None:
    source, clean = tmp_path / "pairs.jsonl", tmp_path / "clean.jsonl.gz"
    source.write_text(f"{GOOD}\n{EMPTY}\n")
    done = mend(source, clean, OPTIONS)
    assert gzip.decompress(clean.read_bytes()).decode() == f"{GOOD}\n"
    assert Path(done.rejected_to).name == "clean.rejected.jsonl"
    assert json.loads(Path(done.rejected_to).read_text())["row"] == EMPTY


def test_rejected_rows_of_another_run_are_not_replaced(tmp_path: Path) -> None:
    source, clean = tmp_path / "pairs.jsonl", tmp_path / "clean.jsonl"
    source.write_text(f"{GOOD}\n")
    foreign = tmp_path / "clean.rejected.jsonl"
    foreign.write_text("x")
    with pytest.raises(PrefdataError, match="move it away"):
        mend(source, clean, OPTIONS)
    assert foreign.read_text() == "x"
    assert not clean.exists()


def test_in_place_through_a_link_mends_the_file(tmp_path: Path) -> None:
    source, link = tmp_path / "pairs.jsonl", tmp_path / "link.jsonl"
    source.write_text(f"{GOOD}\n{COMMA}\n")
    link.symlink_to(source.name)
    done = mend(link, None, OPTIONS)
    assert link.is_symlink()
    assert (done.output, done.mended) == (str(source.resolve()), 1)
    assert COMMA not in source.read_text()


def test_of_two_in_place_at_once_the_second_fails_and_the_original_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "pairs.jsonl"
    before = f"{GOOD}\n{COMMA}\n"
    source.write_text(before)
    judge = mending._judge

    def meanwhile(*given: object) -> object:
        monkeypatch.setattr(mending, "_judge", judge)
        found = judge(*given)  # type: ignore[arg-type]
        mend(source, None, OPTIONS)
        return found

    monkeypatch.setattr(mending, "_judge", meanwhile)
    with pytest.raises(PrefdataError, match="backup of another"):
        mend(source, None, OPTIONS)
    assert (tmp_path / "pairs.jsonl.bak").read_text() == before
