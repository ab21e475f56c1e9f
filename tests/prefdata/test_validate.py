"""Whole files: bad rows never hide others, nothing ends in a traceback, and the totals are right."""

import json
from pathlib import Path

import pytest
from PIL import Image

from prefdata.errors import PrefdataError
from prefdata.mixtures import load
from prefdata.rules.length import Ratio
from prefdata.rules.tokens import TokenLimit
from prefdata.validate import Options, Report, validate

GOOD = b'{"question":"Q?","chosen":"a","rejected":"b"}\n'


def check(tmp_path: Path, data: bytes, name: str = "rows.jsonl", **options: object) -> Report:
    (tmp_path / name).write_bytes(data)
    return validate([tmp_path / name], Options(**options))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("data", "counts"),
    [
        pytest.param(
            b'{"question":' + b"[" * 100_000 + b"]" * 100_000 + b"}\n" + GOOD, {"PD009": 1}, id="deep"
        ),
        pytest.param(
            GOOD + b'{"question":"' + b"x" * 10_000_000 + b'","chosen":"a","rejected":"b"}',
            {},
            id="10 MB line",
        ),
        pytest.param(GOOD + b'{"question":' + b"9" * 100_000 + b"}\n", {"PD016": 1}, id="long number"),
        pytest.param(GOOD + b'{"question":"\0"}\n', {"PD003": 1}, id="NUL"),
        pytest.param(GOOD + b'{"question":"Q","chosen":"\xff","rejected":"b"}\n', {"PD002": 1}, id="latin-1"),
        pytest.param(
            GOOD + b'{"question":"Q","chosen":"a","rejected":"b","x":"\xff"}\n',
            {"PD002": 1},
            id="in an extra key",
        ),
        pytest.param(
            GOOD + b'{"question":"\\ud83d","chosen":"a","rejected":"b"}\n', {"PD008": 1}, id="surrogate"
        ),
        pytest.param(GOOD + b'{"question":"Q?","chos', {"PD006": 1}, id="torn"),
        pytest.param(GOOD + b"\n" + GOOD.replace(b"Q", b"P"), {"PD005": 1}, id="blank"),
        pytest.param(b"\xef\xbb\xbf" + GOOD, {"PD004": 1}, id="BOM"),
        pytest.param(GOOD + b"[1]\n3\nnull\n", {"PD010": 3}, id="not objects"),
        pytest.param(GOOD.replace(b"\n", b"\r\n"), {}, id="CRLF"),
        pytest.param(b"[" + GOOD + b',{"question":"Q', {"PD013": 1}, id="torn array"),
        pytest.param(
            b"[" + GOOD + b"," + GOOD.replace(b"Q", b"P") + b",]", {"PD015": 1}, id="comma in array"
        ),
        pytest.param(
            b"[" + GOOD + b',{"question":' + b"[" * 100_000 + b"}]", {"PD013": 1}, id="deep in array"
        ),
    ],
)
def test_hostile_rows_are_findings_and_the_others_are_checked(
    data: bytes, counts: dict[str, int], tmp_path: Path
) -> None:
    report = check(tmp_path, data)
    assert report.counts == counts
    assert report.rows >= 1
    assert report.unreadable == []


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"\0" * 4096 + GOOD, "starts with 4096 NUL bytes"),
        (GOOD.decode().encode("utf-16"), "UTF-16"),
        (b"\x1f\x8b\x08\x00", "damaged gzip data"),
        (b"PAR1 and no more", "parquet"),
    ],
)
def test_files_without_readable_rows_get_a_sentence(data: bytes, sentence: str, tmp_path: Path) -> None:
    report = check(tmp_path, data)
    assert len(report.unreadable) == 1
    assert sentence in report.unreadable[0]


@pytest.mark.parametrize("data", [b"", b"\n \n", b"[]", b"\xef\xbb\xbf[ ]\n"])
def test_a_file_without_rows_is_a_finding(data: bytes, tmp_path: Path) -> None:
    report = check(tmp_path, data)
    assert report.counts == {"PD017": 1}
    assert report.unreadable == []
    assert (report.rows, report.files[0].format) == (0, "empty")


def test_all_problems_of_a_row_are_told(tmp_path: Path) -> None:
    row = {"image": ["a.png", ""], "question": "<image> <ImageHere>", "chosen": " ", "rejected": 5}
    report = check(tmp_path, json.dumps(row).encode(), images="header", format="mmpr")
    assert {(found.code, found.field) for found in report.findings} == {
        ("PD022", "rejected"),
        ("PD201", "chosen"),
        ("PD304", "question"),
        ("PD401", "image[0]"),
        ("PD416", "image[1]"),
    }


def test_duplicates_and_contradictions_across_files(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(GOOD)
    (tmp_path / "b.jsonl").write_bytes(GOOD + b'{"question":"Q?","chosen":"b","rejected":"a"}\n')
    report = validate([tmp_path], Options())
    assert [(found.code, Path(found.path).name, found.line) for found in report.findings] == [
        ("PD501", "b.jsonl", 1),
        ("PD502", "b.jsonl", 2),
    ]
    assert "a.jsonl:1" in report.findings[0].message


def test_length_bias_is_told_once(tmp_path: Path) -> None:
    rows = [{"question": f"Q{i}", "chosen": f"a long answer {i}", "rejected": f"{i}"} for i in range(200)]
    report = check(tmp_path, "\n".join(map(json.dumps, rows)).encode())
    assert report.counts == {"PD601": 1}
    assert "chosen one in 100% of 200 pairs" in report.findings[0].message


def test_type_drift_is_told_once(tmp_path: Path) -> None:
    rows = (
        b'{"image":"a","question":"Q","chosen":"a","rejected":"b"}\n'
        b'{"image":["a"],"question":"<image>P","chosen":"a","rejected":"b"}\n'
    )
    assert check(tmp_path, rows, images="none").counts == {"PD024": 1}


def test_an_image_is_looked_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from prefdata import images

    looked: list[Path] = []

    def look(path: Path, tier: str) -> tuple[()]:
        looked.append(path)
        return ()

    monkeypatch.setattr(images, "check", look)
    rows = [{"image": "a.png", "question": f"Q{i}", "chosen": "a", "rejected": "b"} for i in range(5)]
    check(tmp_path, "\n".join(map(json.dumps, rows)).encode())
    assert looked == [tmp_path / "a.png"]


def test_a_mixture_is_checked_with_its_sources(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(
        GOOD + b'{"image":"x.png","question":"P","chosen":"","rejected":"b"}\n'
    )
    (tmp_path / "images").mkdir()
    (tmp_path / "meta.json").write_text(
        '{"a": {"root": "images", "annotation": "a.jsonl", "repeat_time": 1, "length": 3},\n'
        ' "b": {"root": "images", "annotation": "b.jsonl", "repeat_time": 1},\n}'
    )
    report = validate([tmp_path / "meta.json"], Options())
    assert report.counts == {"PD201": 1, "PD401": 1, "PD701": 1, "PD702": 1, "PD703": 1}
    assert [(file.format, file.rows) for file in report.files] == [("meta", 0), ("mmpr", 2)]


def test_a_folder_lists_what_it_did_not_check(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(GOOD)
    (tmp_path / "other.json").write_text('{"version": 3}')
    report = validate([tmp_path], Options())
    assert [file.format for file in report.files] == ["mmpr", "unknown"]
    with pytest.raises(PrefdataError, match="Unknown format"):
        validate([tmp_path / "a.jsonl"], Options(format="nonsense"))


def test_real_files_have_the_findings_that_they_have(shared_data: Path) -> None:
    data = shared_data / "upstream"
    expected = {
        "hiyouga+LLaMA-Factory/data/dpo_en_demo.json": {"PD212": 1, "PD501": 5},
        "hiyouga+LLaMA-Factory/data/mllm_demo.json": {},
        "axolotl-ai-cloud+axolotl/tests/fixtures/conversation.missingturns.json": {"PD104": 1},
        "oumi-ai+oumi/data/dataset_examples/vision_language_dpo_format.jsonl": {
            "PD022": 3,
            "PD415": 3,
        },
        "InternLM+InternLM-XComposer/InternLM-XComposer-2.5-Reward/training/data/example.json": {},
    }
    for name, counts in expected.items():
        assert validate([data / name], Options()).counts == counts, name


def test_rows_over_the_limit_of_tokens(tmp_path: Path) -> None:
    pytest.importorskip("tokenizers")
    rows = [
        '{"question":"Area?","chosen":"6","rejected":"8"}',
        '{"question":"Area?","chosen":"6'
        + " and more".join("abcdefghijklmnopqrstuvwxyz" * 3)
        + '","rejected":"8"}',
        '{"question":"Area?' + " and more" * 90 + '","chosen":"6","rejected":"8"}',
        '{"image":"none.png","question":"Area?","chosen":"6","rejected":"8"}',
    ]
    file = tmp_path / "rows.jsonl"
    file.write_text("\n".join(rows) + "\n")
    for workers in (1, 2):
        tokens = TokenLimit(tokenizer="demo", limit=100)
        report = validate([file], Options(images="none", tokens=tokens, workers=workers))
        found = {(each.line, each.code, each.field) for each in report.findings}
        assert found == {(2, "PD603", "chosen"), (3, "PD604", ""), (4, "PD604", "")}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("data.txt", "rows.jsonl 0.001\ngone.jsonl 0.001\nrows2.jsonl 0.0002\n"),
        ("mix.yaml", "sources: [{path: rows.jsonl}, {path: gone.jsonl}, {path: rows2.jsonl, factor: 0.2}]"),
        (
            "dataset_info.json",
            '{"a": {"file_name": "rows.jsonl"}, "b": {"file_name": "gone.jsonl"}, "c": {"hf_hub_url": "x/y"}}',
        ),
    ],
)
def test_mixtures_of_every_form_are_checked_with_their_files(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / "rows.jsonl").write_bytes(GOOD + b'{"question":"P?","chosen":"","rejected":"b"}\n')
    (tmp_path / "rows2.jsonl").write_bytes(GOOD.replace(b"Q", b"R"))
    report = check(tmp_path, text.encode(), name)
    assert report.unreadable == []
    assert report.counts["PD201"] == report.counts["PD702"] == 1
    assert report.counts.get("PD710", 0) == (name != "dataset_info.json")


def test_a_counted_file_is_checked(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_bytes(GOOD)
    report = validate([tmp_path / "rows.jsonl#3"], Options())
    assert (report.rows, report.counts, report.unreadable) == (1, {}, [])


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b'{"question":"Q?","chosen":"a","rej', "PD006"),
        (b'{"question":"Q?","chosen":"a","rejected":"b","s":NaN}\n', "PD007"),
        (b'{"question":"Q?","chosen":"a","rejected":"b"},\n', "PD001"),
        (b'{"question":"Q\\ud83d","chosen":"a","rejected":"b"}\n', "PD008"),
        (b'{"question":"caf\xe9","chosen":"a","rejected":"b"}\n', "PD002"),
        (b'{"question":"Q?","x":' + b"[" * 900 + b"]" * 900 + b"}\n", "PD009"),
        (b'{"question":"Q?","chosen":"four","rejected":"five","chosen":"six"}\n', "PD018"),
        (b'{"question":"Q?","answer":"four","answer_type":"text","answer":"six","question":"R"}\n', "PD018"),
        (b'{"question":"Q?","chosen":"four","rejceted":"five"}\n', "PD023"),
        (b'{"question":"Q?","choosen":"four","rejected":"five"}\n', "PD023"),
        (b'{"question":"Is it four?","chosen":"four","rejected":"five","imgae":"a.png"}\n', "PD023"),
        (b'{"question":"Is it four?","chosen":"four","rejected":"five","Image":"a.png"}\n', "PD023"),
        (b'{"question":"Is it four?","chosen":"four","rejected":"five","image_path":"a.png"}\n', "PD023"),
        (b'{"question":"Is it four?","answer":"four","Image":"a.png"}\n', "PD023"),
        (
            b'[{"conversations":[{"from":"human","value":"Hi"},{"from":"gpt","value":"Ho"}],"imag":"a.png"}]',
            "PD023",
        ),
    ],
)
def test_rows_that_are_all_bad_show_what_is_wrong(data: bytes, code: str, tmp_path: Path) -> None:
    report = check(tmp_path, data)
    assert report.unreadable == []
    assert set(report.counts) == {code}


@pytest.mark.parametrize(
    "key", ["idx", "image_id", "images_count", "image_size", "usage", "answers", "choices"]
)
def test_other_keys_are_no_slips(key: str, tmp_path: Path) -> None:
    row = b'{"question":"Is it four?","chosen":"four","rejected":"five","%s":"x"}\n' % key.encode()
    assert check(tmp_path, row).counts == {}
    assert check(tmp_path, row.replace(b'"rejected"', b'"model"')).counts == {}


def test_images_inside_the_rows_are_checked(tmp_path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    sides = {"prompt": "Q?", "chosen": "four", "rejected": "five"}
    rows = [
        {**sides, "prompt": f"Q{number}?", "images": [{"bytes": data, "path": None}]}
        for number, data in enumerate((b"<html>404</html>", b"", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"))
    ]
    path = tmp_path / "rows.parquet"
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    for tier in ("header", "decode"):
        report = validate([path], Options(images=tier))
        assert [(found.line, found.code, found.field) for found in report.findings] == [
            (1, "PD403", "images[0]"),
            (2, "PD402", "images[0]"),
            (3, "PD404", "images[0]"),
        ]
    assert validate([path], Options(images="none")).counts == {}


@pytest.mark.parametrize("after", [b"\n" + GOOD, b", " + GOOD, b"]"])
def test_rows_after_an_array_are_told_as_lost(tmp_path: Path, after: bytes) -> None:
    assert check(tmp_path, b"[" + GOOD + b"]" + after).counts == {"PD013": 1}


@pytest.mark.parametrize("after", [b"\n \n", b",\n"])
def test_a_comma_after_an_array_loses_nothing(tmp_path: Path, after: bytes) -> None:
    assert set(check(tmp_path, b"[" + GOOD + b"]" + after).counts) <= {"PD015"}


def test_blanks_do_not_hide_rows(tmp_path: Path) -> None:
    report = check(tmp_path, b"\n" * 2_500_000 + GOOD)
    assert (report.rows, set(report.counts)) == (1, {"PD005"})


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "utf-16-le", "utf-32", "utf-32-be", "utf-32-le"])
def test_another_encoding_is_named(tmp_path: Path, encoding: str) -> None:
    report = check(tmp_path, GOOD.decode().encode(encoding))
    name = f"UTF-{encoding[4:6]}"
    assert f": {name}" in report.unreadable[0]


def test_a_damaged_parquet_file_is_one_sentence(tmp_path: Path) -> None:
    report = check(tmp_path, b"PAR1" + b"\0" * 50 + b"PAR1")
    assert "rows.jsonl: a damaged parquet file" in report.unreadable[0]
    assert "\n" not in report.unreadable[0]


def test_half_of_a_pair_is_shown_with_its_place(tmp_path: Path) -> None:
    report = check(tmp_path, b'{"question":"\\ud83d\\ude00 \\ud83d!","chosen":"a","rejected":"b"}\n')
    assert r"\ud83d at byte 27 of the row" in report.findings[0].message


def test_a_data_uri_is_not_on_the_network(tmp_path: Path) -> None:
    row = b'{"image":"data:image/png;base64,AAAA","question":"Q?","chosen":"a","rejected":"b"}\n'
    report = check(tmp_path, row, images="none")
    assert "data URI" in report.findings[0].message
    assert "network" not in report.findings[0].message


@pytest.mark.parametrize(
    ("meta", "code"),
    [
        ('{"s":{"root":".","repeat_time":1}}', "PD704"),
        ('{"s":{}}', "PD704"),
        ('{"s":null}', "PD705"),
        ('{"s":{"annotation":"meta.json","repeat_time":1}}', "PD705"),
        ('{"s":{"annotation":"rows.jsonl","repeat_time":1e999}}', "PD705"),
        ('{"s":{"annotation":"rows.jsonl","repeat_time":1e8}}', "PD705"),
        ('{"s":{"annotation":"rows.jsonl","repeat_time":1},\n"s":{"annotation":"rows.jsonl"}}', "PD711"),
    ],
)  # fmt: skip
def test_a_wrong_mixture_is_a_finding_and_no_plan(tmp_path: Path, meta: str, code: str) -> None:
    (tmp_path / "rows.jsonl").write_bytes(GOOD)
    (tmp_path / "meta.json").write_text(meta)
    report = validate([tmp_path / "meta.json"], Options())
    assert code in report.counts
    assert not report.unreadable
    if code == "PD711":
        assert [found.line for found in report.findings if found.code == code] == [2]
    with pytest.raises(PrefdataError):
        load(tmp_path / "meta.json")


def rows_with_images(folder: Path, count: int) -> Path:
    file = folder / "rows.jsonl"
    rows = (
        {"image": f"sub/{i}.png", "question": f"{i}?", "chosen": "6", "rejected": "8"} for i in range(count)
    )
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


@pytest.mark.parametrize("workers", [1, 2])
def test_a_wrong_image_root_is_told_once(tmp_path: Path, workers: int) -> None:
    file = rows_with_images(tmp_path, 30)
    for folder in ("wrong", "right/sub"):
        (tmp_path / folder).mkdir(parents=True)
    report = validate([file], Options(image_root=tmp_path / "wrong", workers=workers))
    assert report.counts == {"PD418": 1}
    assert "all 30 are missing" in report.findings[0].message
    for index in range(1, 30):
        Image.new("RGB", (8, 8)).save(tmp_path / f"right/sub/{index}.png")
    found = validate([file], Options(image_root=tmp_path / "wrong", workers=workers)).findings
    assert f"there under {tmp_path / 'right'}" in found[0].message
    asked = Options(image_root=tmp_path / "wrong", workers=workers, select=("PD418",))
    assert validate([file], asked).findings == found
    some = validate([file], Options(image_root=tmp_path / "right", workers=workers))
    assert some.counts == {"PD401": 1}


def test_a_file_named_with_two_roots_is_counted_once(tmp_path: Path) -> None:
    file = rows_with_images(tmp_path, 3)
    for folder in ("a/sub", "b"):
        (tmp_path / folder).mkdir(parents=True)
    for index in range(3):
        Image.new("RGB", (8, 8)).save(tmp_path / f"a/sub/{index}.png")
    for name in "ab":
        mixture = {name: {"root": name, "annotation": file.name, "repeat_time": 1, "length": 3}}
        (tmp_path / f"{name}.json").write_text(json.dumps(mixture))
    report = validate([tmp_path / "a.json", tmp_path / "b.json"], Options())
    assert (report.rows, report.counts) == (3, {"PD401": 3})
    assert [each.rows for each in report.files] == [0, 3, 0]


def test_files_of_ixc_hold_images_in_all_rows_or_in_none(tmp_path: Path) -> None:
    def row(value: str, **image: str) -> dict[str, object]:
        sides = {
            f"conversations_{side}": [{"from": "human", "value": value}, {"from": "bot", "value": side}]
            for side in "ab"
        }
        return {**image, **sides}

    file = tmp_path / "rows.json"
    for rows, expected in (
        ([row("1", image="a.png"), row("2")], {"PD026": 1}),
        ([row("1"), row("2")], {}),
    ):
        file.write_text(json.dumps(rows))
        assert validate([file], Options(images="none")).counts == expected


def test_a_misspelt_image_is_not_told_as_a_placeholder_too_many(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text('{"imgae":"a.png","question":"<image>Area?","chosen":"6","rejected":"8"}\n')
    assert validate([file], Options(format="mmpr")).counts == {"PD023": 1}


def test_markdown_on_one_side_is_told(tmp_path: Path) -> None:
    rows = [
        {"question": f"{i}?", "chosen": f"Look:\n- {i}" + " " * (i % 2), "rejected": f"Look at {i + 1}"}
        for i in range(200)
    ]
    for format_id, name in (("mmpr", "question"), ("trl", "prompt")):
        file = tmp_path / f"{format_id}.jsonl"
        file.write_text(
            "".join(json.dumps({name: row.pop("question"), **row}) + "\n" for row in map(dict, rows))
        )
        found = [each for each in validate([file], Options()).findings if each.code == "PD605"]
        assert "100% of the chosen and 0% of the rejected answers of 200 pairs" in found[0].message


@pytest.mark.parametrize("workers", [1, 2])
def test_answers_of_very_different_length_are_told_on_request(tmp_path: Path, workers: int) -> None:
    rows = [
        {"question": "1?", "chosen": "six", "rejected": "seven " + "abc def " * 20},
        {"question": "2?", "chosen": "six", "rejected": "seven of them"},
        {
            "question": "3?",
            "chosen": "six of them and " + "one more " * 3,
            "rejected": "seven of them or ten",
        },
    ]
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    lines = [
        [each.line for each in validate([file], Options(workers=workers, ratio=ratio)).findings]
        for ratio in (None, Ratio(3, 100), Ratio(3))
    ]
    assert lines == [[], [1], [1, 2]]
