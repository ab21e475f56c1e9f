"""Every code of the catalogue: its examples do what they say, and the page in docs/ is up to date."""

import json
from pathlib import Path

import pytest

from prefdata.errors import PrefdataError
from prefdata.findings import Chosen, Entry, catalogue, entry, group
from prefdata.findings_page import page
from prefdata.validate import Options, validate

ROOT = Path(__file__).resolve().parents[2]
RUNNABLE = [(code, each) for code, each in catalogue().items() if not each.needs]


def codes(folder: Path, format_id: str, text: str, select: tuple[str, ...] = ()) -> set[str]:
    """Codes found in one row (or one meta.json)."""
    (folder / "i").mkdir()
    (folder / "geo.jsonl").write_text(
        json.dumps({"question": "Area?", "chosen": "6", "rejected": "8"}) + "\n"
    )
    (folder / "geo.json").write_text((folder / "geo.jsonl").read_text())
    file = folder / ("meta.json" if format_id == "meta" else "rows.jsonl")
    file.write_text(text)
    options = Options(format=None if format_id == "meta" else format_id, images="none", select=select)
    return set(validate([file], options).counts)


@pytest.mark.parametrize(("code", "each"), RUNNABLE, ids=[code for code, _ in RUNNABLE])
def test_bad_and_good_examples(code: str, each: Entry, tmp_path: Path) -> None:
    (tmp_path / "bad").mkdir()
    (tmp_path / "good").mkdir()
    select = ("PD", code) if each.on_request else ()
    assert code in codes(tmp_path / "bad", each.format, each.bad, select)
    assert codes(tmp_path / "good", each.format, each.good, select) == set()


def test_codes_are_ordered_and_grouped() -> None:
    assert list(catalogue()) == sorted(catalogue())
    assert all(len(code) == 5 and code.startswith("PD") and group(code) for code in catalogue())


def test_every_entry_tells_what_to_do() -> None:
    for code, each in catalogue().items():
        assert each.hint.endswith("."), code
        assert not each.message.endswith("."), code


def test_unknown_codes_are_named() -> None:
    with pytest.raises(PrefdataError, match="PD999"):
        entry("PD999")
    with pytest.raises(PrefdataError, match="XX1"):
        Chosen(select=("XX1",))


def test_selection_takes_prefixes() -> None:
    chosen = Chosen(select=("PD4,PD201",), ignore=("pd408",))
    assert [code in chosen for code in ("PD401", "PD408", "PD201", "PD202")] == [True, False, True, False]


def test_codes_on_request_are_named_in_full() -> None:
    every = [Chosen(), Chosen(select=("PD0",)), Chosen(select=("PD", "pd028")), Chosen(ignore=("PD4",))]
    assert ["PD028" in chosen for chosen in every] == [False, False, True, False]
    assert "PD027" in every[2]


def test_the_page_in_docs_is_up_to_date() -> None:
    """`python -m prefdata.findings_page > docs/findings.md` writes it."""
    assert (ROOT / "docs" / "findings.md").read_text(encoding="utf-8") == page()
