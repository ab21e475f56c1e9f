"""Reading and writing meta.json."""

import json
from decimal import Decimal
from pathlib import Path

import pytest

from prefdata.errors import PrefdataError
from prefdata.mixtures import Mixture, Source, load, write_meta
from prefdata.mixtures.meta import decode_meta, source_problems

ROW = '{"question":"Q","chosen":"a","rejected":"b"}\n'


def test_written_and_read_back(tmp_path: Path) -> None:
    (tmp_path / "ann").mkdir()
    (tmp_path / "ann" / "a.jsonl").write_text(ROW)
    source = Source(
        name="a/x",
        annotation=tmp_path / "ann" / "a.jsonl",
        root=tmp_path,
        repeat_time=Decimal("0.1"),
        length=1,
        max_dynamic_patch=12,
        format="mmpr",
    )
    write_meta(tmp_path / "meta.json", Mixture((source,)))
    assert load(tmp_path / "meta.json") == Mixture((source,))
    entry = json.loads((tmp_path / "meta.json").read_text())["a/x"]
    assert entry == {
        "root": ".",
        "annotation": "ann/a.jsonl",
        "data_augment": False,
        "repeat_time": 0.1,
        "max_dynamic_patch": 12,
        "length": 1,
    }


def test_whole_factors_are_written_as_integers(tmp_path: Path) -> None:
    write_meta(tmp_path / "meta.json", Mixture((Source(name="a", annotation=tmp_path / "a.jsonl"),)))
    assert '"repeat_time": 1\n' in (tmp_path / "meta.json").read_text()


def test_one_data_file_is_a_mixture_of_one(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(ROW)
    (source,) = load(tmp_path / "a.jsonl").sources
    assert (source.name, source.format, source.repeat_time, source.root) == ("a", "mmpr", Decimal(1), None)


def test_a_trailing_comma_is_read_and_placed() -> None:
    document = decode_meta(b'{"a, }": {"annotation": "x,]",\n},\n}')
    assert document.sources == {"a, }": {"annotation": "x,]"}}
    assert document.trailing == (1, 2)


@pytest.mark.parametrize(
    ("entry", "codes"),
    [
        ({"annotation": "a.jsonl", "repeat_time": 1}, []),
        ({"annotation": "a.jsonl", "repeat_time": Decimal("0.005")}, []),
        ({"annotation": "a.jsonl"}, ["PD709"]),
        ({"repeat_time": 1}, ["PD704"]),
        ({"annotation": "a.jsonl", "repeat_time": 0}, ["PD705"]),
        ({"annotation": "a.jsonl", "repeat_time": True}, ["PD705"]),
        ({"annotation": 5, "repeat_time": 1}, ["PD705"]),
        ({"annotation": "a.jsonl", "repeat_time": 1, "length": "9"}, ["PD705"]),
        ({"annotation": "a.jsonl", "repeat_time": 1, "repeat": 2}, ["PD708"]),
        ("text", ["PD705"]),
    ],
)
def test_problems_of_a_source(entry: object, codes: list[str]) -> None:
    assert [problem.code for problem in source_problems("a", entry)] == codes


def test_a_missing_annotation_is_named(tmp_path: Path) -> None:
    (tmp_path / "meta.json").write_text('{"geo": {"annotation": "none.jsonl", "repeat_time": 1}}')
    with pytest.raises(PrefdataError, match=r"source 'geo': no file .*none\.jsonl"):
        load(tmp_path / "meta.json")


def test_the_real_mixture_of_148_sources(shared_data: Path) -> None:
    path = shared_data / "upstream" / "junha1125+llava-ov-data-processor" / "MMPR-v1.2" / "meta.json"
    document = decode_meta(path.read_bytes())
    assert len(document.sources) == 148
    assert not [
        problem for name, entry in document.sources.items() for problem in source_problems(name, entry)
    ]
    want = sum(Decimal(str(entry["repeat_time"])) * entry["length"] for entry in document.sources.values())
    assert round(want, 1) == Decimal("179155.5")
