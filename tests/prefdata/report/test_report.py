"""The report's file: what it holds, what bounds it, and that data stays data."""

import json
import re
from pathlib import Path
from random import Random

import pytest
from PIL import Image

from prefdata.cli.main import cli
from prefdata.mixtures import load
from prefdata.report import Limits, write_report
from prefdata.report.figures import histogram
from prefdata.report.page import embedded, short_names
from prefdata.report.sample import Sample

DATA = re.compile(r'<script id="data" type="application/json">(.*?)</script>', re.DOTALL)


def rows_of(path: Path, rows: list[dict[str, object]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def report(path: Path, **limits: int) -> tuple[str, dict]:
    out = path.with_suffix(".html")
    write_report(out, load(path).sources, limits=Limits(**limits))
    text = out.read_text()
    return text, json.loads(DATA.findall(text)[0])


def pair(number: int, **more: object) -> dict[str, object]:
    return {"question": f"Q{number}?", "chosen": f"yes {number} it is", "rejected": f"yes {number}"} | more


def test_summary_findings_and_rows(tmp_path: Path) -> None:
    rows = [pair(0), pair(1, image="none.png"), pair(2, chosen="same", rejected="same")]
    text, data = report(rows_of(tmp_path / "p.jsonl", rows))
    assert dict(data["tiles"])["pairs"] == "3"
    assert {found["code"]: found["count"] for found in data["findings"]}["PD401"] == 1
    assert [[hit[0] for hit in row["hits"]] for row in data["rows"]][1] == ["PD401"]
    assert data["rows"][1]["images"][0]["thumb"] is None
    assert text.count("<svg") >= 4


def test_rows_that_cannot_be_read_are_counted_not_shown(tmp_path: Path) -> None:
    path = rows_of(tmp_path / "p.jsonl", [pair(0), pair(1)])
    path.write_text(path.read_text() + '{"question": 5, "chosen": "a", "rejected": "b"}\n{"torn\n')
    _, data = report(path)
    assert len(data["rows"]) == 2
    assert any(note.startswith("2 rows cannot be read") for note in data["notes"])


def test_a_group_of_findings_is_named_by_what_its_findings_share(tmp_path: Path) -> None:
    same = [pair(n, chosen=f"same {n}", rejected=f"same {n}") for n in range(2)]
    _, data = report(rows_of(tmp_path / "p.jsonl", [*same, pair(5), pair(5), pair(6, image="gone.png")]))
    titles = {found["code"]: found["title"] for found in data["findings"]}
    assert titles["PD202"] == "chosen and rejected are the same"
    assert titles["PD401"].startswith("no such image: ")
    assert titles["PD501"].startswith("the same row again, first at ")
    assert all(not title.endswith(" at") for title in titles.values())


def test_nothing_in_the_data_becomes_markup(tmp_path: Path) -> None:
    evil = (
        "</script><script>document.title='owned'</script><img src=x onerror=alert(1)>{{script}}\u2028\ud800"
    )
    path = rows_of(tmp_path / "p.jsonl", [pair(0)])
    path.write_text(
        path.read_text()
        + json.dumps(pair(1, question=evil.replace("\ud800", ""), meta={"a": evil[:20]}))
        + "\n"
    )
    text, data = report(path)
    assert text.count("<script") == 2
    assert "<img" not in text
    assert data["rows"][1]["prompt"][0]["text"] == evil.replace("\ud800", "")


def test_the_policy_allows_only_the_page_itself(tmp_path: Path) -> None:
    text, _ = report(rows_of(tmp_path / "p.jsonl", [pair(0)]))
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', text)
    assert policy.startswith("default-src 'none'; img-src data:; style-src 'sha256-")
    assert "unsafe" not in policy
    assert not re.findall(r"""(?:src|href)=["'](?!#|data:)""", text)


def test_thumbnails_are_bounded_and_stored_once(tmp_path: Path) -> None:
    for number in range(4):
        Image.new("RGB", (900, 300), (number, 0, 0)).save(tmp_path / f"{number}.png")
    rows = [pair(number, image=f"{number % 4}.png") for number in range(8)]
    _, data = report(rows_of(tmp_path / "p.jsonl", rows), thumbnails=3, edge=64)
    assert len(data["thumbs"]) == 3
    assert [row["images"][0]["thumb"] for row in data["rows"]] == [0, 1, 2, None] * 2
    assert data["rows"][0]["images"][0]["note"] == "900×300"
    assert "limit" in data["rows"][3]["images"][0]["note"]


def test_rows_with_findings_are_shown_first_and_the_rest_is_drawn(tmp_path: Path) -> None:
    rows = [pair(number) for number in range(200)]
    rows[150]["chosen"] = rows[150]["rejected"]
    path = rows_of(tmp_path / "p.jsonl", rows)
    _, data = report(path, rows=20)
    lines = [row["line"] for row in data["rows"]]
    assert len(lines) == 20
    assert 151 in lines
    assert lines == sorted(lines)
    assert report(path, rows=20)[1]["rows"] == data["rows"]


@pytest.mark.parametrize(("marked", "others", "shown"), [(50, 0, 20), (50, 5, 15), (50, 50, 10), (3, 50, 3)])
def test_rows_with_findings_fill_what_others_leave(marked: int, others: int, shown: int) -> None:
    sample: Sample[bool] = Sample(20, 0)
    for flag in [True] * marked + [False] * others:
        place = sample.wanted(marked=flag)
        if place is not None:
            sample.put(place, flag, marked=flag)
    assert sum(sample.result()) == shown
    assert len(sample.result()) == min(20, marked + others)


def test_the_sample_is_uniform() -> None:
    seen = [0] * 10
    for seed in range(400):
        sample: Sample[int] = Sample(3, seed)
        for number in range(10):
            place = sample.wanted(marked=False)
            if place is not None:
                sample.put(place, number, marked=False)
        for number in sample.result():
            seen[number] += 1
    assert sum(seen) == 1200
    assert all(80 < count < 160 for count in seen)


def test_long_texts_are_cut_and_say_so(tmp_path: Path) -> None:
    _, data = report(rows_of(tmp_path / "p.jsonl", [pair(0, chosen="a" * 20_000)]))
    answer = data["rows"][0]["answers"][0]
    assert len(answer["text"]) + answer["cut"] == 20_000
    assert answer["cut"] > 0


def test_verdicts_and_provenance_are_told(tmp_path: Path) -> None:
    meta = {
        "model": "m", "method": "correctness",
        "verdicts": {"chosen": {"outcome": "correct", "rule": "exact", "extracted": "1", "gold": "1"}},
    }  # fmt: skip
    _, data = report(rows_of(tmp_path / "p.jsonl", [pair(0, meta=meta)]))
    row = data["rows"][0]
    assert row["answers"][0]["verdict"] == {
        "outcome": "correct",
        "told": "by rule exact, extracted 1, gold 1",
    }
    assert row["origin"][:2] == [["method", "correctness"], ["model", "m"]]


def test_a_figure_counts_every_value_once() -> None:
    random = Random(0)
    values = [int(random.gauss(300, 80)) for _ in range(1000)] + [100_000]
    drawn = histogram("Characters", [("plain", "x", values)])
    heights = [float(number) for number in re.findall(r'height="([\d.]+)"', drawn)]
    top = int(re.findall(r"most in one bar: (\d+)", drawn)[0])
    assert round(sum(heights) / max(heights) * top) in range(970, 1030)
    assert histogram("Characters", [("plain", "x", [])]) == ""


def test_embedded_json_ends_no_element() -> None:
    assert "<" not in embedded({"a": "</script><!--"})
    assert json.loads(embedded("<\u2028>")) == "<\u2028>"


def test_sources_are_called_by_what_tells_them_apart() -> None:
    assert short_names([Path("a/x/p.jsonl"), Path("a/y/p.jsonl"), Path("q.jsonl")]) == [
        "x/p.jsonl",
        "y/p.jsonl",
        "q.jsonl",
    ]


def test_validate_writes_the_same_page(tmp_path: Path) -> None:
    rows_of(tmp_path / "p.jsonl", [pair(0), pair(1, image="gone.png")])
    meta = {"s": {"root": "img", "annotation": "p.jsonl", "repeat_time": 1}}
    (tmp_path / "meta.json").write_text(json.dumps(meta))
    out = tmp_path / "r.html"
    with pytest.raises(SystemExit, match="1"):
        cli.main(["validate", "-q", str(tmp_path / "meta.json"), "--report", str(out)], standalone_mode=False)
    data = json.loads(DATA.findall(out.read_text())[0])
    assert [row["line"] for row in data["rows"]] == [1, 2]
    assert "PD401" in {hit[0] for hit in data["rows"][1]["hits"]}
