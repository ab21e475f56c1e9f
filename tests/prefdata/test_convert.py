"""Files in other formats: order, what is lost, and nothing half-written."""

import gzip
import json
import os
from pathlib import Path
from typing import Any

import pytest

from prefdata.convert import convert
from prefdata.errors import PrefdataError
from prefdata.outcome import Options

TURNS = [
    {"from": "human", "value": "Hi"},
    {"from": "gpt", "value": "Hello"},
    {"from": "human", "value": "More?"},
]
SIDES = {"chosen": {"from": "gpt", "value": "Yes"}, "rejected": {"from": "gpt", "value": "No"}}


def write(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def read(path: Path) -> list[Any]:
    text = path.read_text()
    return json.loads(text) if text.startswith("[") else [json.loads(line) for line in text.splitlines()]


def test_rows_that_do_not_fit_are_left_out_and_counted(tmp_path: Path) -> None:
    rows = [{"conversations": TURNS[:1], **SIDES}, {"conversations": TURNS, **SIDES}]
    outcome = convert(write(tmp_path / "a.jsonl", rows), tmp_path / "b.jsonl", Options(to="mmpr"))
    assert (outcome.read, outcome.written) == (2, 1)
    assert {name: (count.rows, count.lines) for name, count in outcome.left_out.items()} == {
        "a prompt of several turns (write it as a transcript with --flatten-turns)": (1, [2])
    }
    assert read(tmp_path / "b.jsonl") == [{"question": "Hi", "chosen": "Yes", "rejected": "No"}]


def test_the_suffix_says_the_container_unless_one_is_named(tmp_path: Path) -> None:
    source = write(tmp_path / "a.jsonl", [{"question": "Q", "chosen": "a", "rejected": "b"}])
    for name, to, container, array in [
        ("b.jsonl", "lf-sharegpt", None, False),
        ("b.json", "trl", None, True),
        ("b.data", "lf-sharegpt", None, True),
        ("b.json", "trl", "jsonl", False),
    ]:
        convert(source, tmp_path / name, Options(to=to, container=container))  # type: ignore[arg-type]
        assert (tmp_path / name).read_text().startswith("[") == array
    convert(source, tmp_path / "b.json.gz", Options(to="trl"))
    assert gzip.decompress((tmp_path / "b.json.gz").read_bytes()).startswith(b"[")


def test_a_system_turn_in_mmpr_is_carried_and_not_lost(tmp_path: Path) -> None:
    prompt = [{"role": "system", "content": "S"}, {"role": "user", "content": "Q"}]
    source = write(tmp_path / "a.jsonl", [{"prompt": prompt, "chosen": "a", "rejected": "b"}])
    outcome = convert(
        source, tmp_path / "b.jsonl", Options(to="mmpr", source="trl", on_loss="error", verify=True)
    )
    assert (outcome.lost, list(outcome.ignored)) == ({}, ["system_prompt (InternVL 3.5 alone reads it)"])
    assert read(tmp_path / "b.jsonl")[0]["system_prompt"] == "S"


def test_turns_are_flattened_only_when_asked(tmp_path: Path) -> None:
    source = write(tmp_path / "a.jsonl", [{"conversations": TURNS, **SIDES}])
    outcome = convert(source, tmp_path / "b.jsonl", Options(to="mmpr", flatten_turns=True))
    assert read(tmp_path / "b.jsonl")[0]["question"] == "User: Hi\n\nAssistant: Hello\n\nUser: More?"
    assert list(outcome.lost) == ["turn structure (written as a transcript)"]


def test_losses_are_named_with_their_lines(tmp_path: Path) -> None:
    message = [{"role": "user", "content": "Q"}]
    rows = [
        {"prompt": message, "chosen": "a", "rejected": "b", "margin": 0.5, "question": "taken", "kept": 1}
    ]
    outcome = convert(
        write(tmp_path / "a.jsonl", rows), tmp_path / "b.jsonl", Options(to="mmpr", source="trl")
    )
    assert list(outcome.lost) == ["margin (carried as an extra key)", "question"]
    assert list(outcome.ignored) == ["kept"]
    assert read(tmp_path / "b.jsonl") == [
        {"question": "Q", "chosen": "a", "rejected": "b", "margin": 0.5, "kept": 1}
    ]


@pytest.mark.parametrize(
    "row", [{"conversations": TURNS, **SIDES}, {"conversations": TURNS[:1], **SIDES, "question": "x"}]
)
def test_on_loss_error_stops_and_writes_nothing(row: dict[str, Any], tmp_path: Path) -> None:
    source = write(tmp_path / "a.jsonl", [{"conversations": TURNS[:1], **SIDES}, row])
    with pytest.raises(PrefdataError, match=r"a\.jsonl:2: `mmpr` (cannot hold|loses)") as caught:
        convert(source, tmp_path / "b.jsonl", Options(to="mmpr", on_loss="error"))
    assert caught.value.exit_code == 1
    assert [path.name for path in tmp_path.iterdir()] == ["a.jsonl"]


def test_unreadable_rows_are_counted_and_the_others_written(tmp_path: Path) -> None:
    source = tmp_path / "a.jsonl"
    source.write_text('{"question":"Q","chosen":"a","rejected":"b"}\n\n{"question":"Q"}\n{"question":"Q","ch')
    outcome = convert(source, tmp_path / "b.json", Options(to="ixc-reward"))
    assert (outcome.read, outcome.written, outcome.unread) == (3, 1, 2)
    assert {count.lines[0] for count in outcome.unreadable.values()} == {3, 4}
    assert len(read(tmp_path / "b.json")) == 1


def test_a_pair_does_not_become_a_conversation(tmp_path: Path) -> None:
    source = write(tmp_path / "a.jsonl", [{"question": "Q", "chosen": "a", "rejected": "b"}])
    with pytest.raises(PrefdataError, match="rows of `mmpr` are pairs, `llava` holds conversations"):
        convert(source, tmp_path / "b.json", Options(to="llava"))


def test_source_and_target_must_differ(tmp_path: Path) -> None:
    source = write(tmp_path / "a.jsonl", [{"question": "Q", "chosen": "a", "rejected": "b"}])
    with pytest.raises(PrefdataError, match="the same file"):
        convert(source, tmp_path / "." / "a.jsonl", Options(to="trl"))


def test_limit_and_order(tmp_path: Path) -> None:
    rows = [{"question": f"Q{i}", "chosen": "a", "rejected": "b"} for i in range(10)]
    outcome = convert(write(tmp_path / "a.jsonl", rows), tmp_path / "b.jsonl", Options(to="trl", limit=4))
    assert outcome.read == 4
    assert [row["prompt"][0]["content"] for row in read(tmp_path / "b.jsonl")] == ["Q0", "Q1", "Q2", "Q3"]


def test_a_real_file_around_the_circle(shared_data: Path, tmp_path: Path) -> None:
    source = shared_data / "upstream" / "hiyouga+LLaMA-Factory" / "data" / "dpo_en_demo.json"
    names = [("a.jsonl", "trl"), ("b.json", "ixc-reward"), ("c.json", "lf-sharegpt")]
    before = source
    for name, format_id in names:
        outcome = convert(before, tmp_path / name, Options(to=format_id))
        assert (outcome.written, outcome.lost) == (300, {})
        before = tmp_path / name
    assert read(before) == read(source)
    assert convert(source, tmp_path / "d.jsonl", Options(to="mmpr")).written == 194


def test_trl_rows_with_and_without_images_are_one_table_each(tmp_path: Path) -> None:
    """TRL loads through `datasets`, which loads through pyarrow's JSON reader: one type per column."""
    import pyarrow.json

    rows = [
        {"question": "Q0", "chosen": "a", "rejected": "b"},
        {
            "image": ["a.png", "b.png"],
            "question": "<image>\n<image>\nQ1",
            "system_prompt": "S",
            "chosen": "a",
            "rejected": "b",
        },
    ]
    for row, parts in zip(rows, (False, True), strict=True):
        convert(write(tmp_path / "a.jsonl", [row, row]), tmp_path / "b.jsonl", Options(to="trl"))
        table = pyarrow.json.read_json(tmp_path / "b.jsonl")
        assert table.num_rows == 2
        assert ("type" in str(table.schema.field("prompt").type)) == parts


RATED = {
    "instruction": "Q",
    "completions": [
        {"response": text, "overall_score": score, "annotations": {}}
        for text, score in (("a", 9), ("b", 3), ("c", 8))
    ],
}


def test_rankings_need_a_policy(tmp_path: Path) -> None:
    flat = {**RATED, "completions": RATED["completions"][:2]}
    source = write(tmp_path / "a.jsonl", [RATED, flat])
    with pytest.raises(PrefdataError, match="say which pairs to make of it with --pairing"):
        convert(source, tmp_path / "b.jsonl", Options(to="trl"))
    nectar = {"prompt": "Q", "answers": [{"answer": "a", "rank": 1}, {"answer": "b", "rank": 2}]}
    with pytest.raises(PrefdataError, match="rows of `nectar` are rankings; say which pairs"):
        convert(write(tmp_path / "n.jsonl", [nectar]), tmp_path / "b.jsonl", Options(to="trl"))
    options = Options(to="trl", pairing="all", min_gap=2, verify=True)
    outcome = convert(source, tmp_path / "b.jsonl", options)
    assert (outcome.read, outcome.written, outcome.verified) == (2, 3, True)
    assert [row["margin"] for row in read(tmp_path / "b.jsonl")] == [6.0, 5.0, 6.0]
    outcome = convert(source, tmp_path / "b.jsonl", Options(to="trl", pairing="adjacent", min_gap=5.5))
    assert [count.lines for count in outcome.left_out.values()] == [[1]]


@pytest.mark.parametrize("name", ["b.jsonl.gz", "b.jsonl.zst", "b.parquet"])
def test_packed_and_parquet_files_hold_the_same(name: str, tmp_path: Path) -> None:
    rows = [
        {"image": "a.png", "question": f"Q{i}", "chosen": "因为", "rejected": "b", "n": i} for i in range(3)
    ]
    rows += [{"question": "Q", "chosen": "a", "rejected": "b", "meta": {"k": [1.5]}}]
    source = write(tmp_path / "a.jsonl", rows)
    first = convert(source, tmp_path / name, Options(to="mmpr", verify=True))
    again = convert(tmp_path / name, tmp_path / "c.jsonl", Options(to="mmpr", verify=True))
    assert (first.written, again.written) == (4, 4)
    assert read(tmp_path / "c.jsonl") == rows
    before = (tmp_path / name).read_bytes()
    convert(source, tmp_path / name, Options(to="mmpr"))
    assert (tmp_path / name).read_bytes() == before


@pytest.mark.parametrize("name", ["b.jsonl.gz", "b.jsonl.zst"])
def test_damaged_packed_files_are_one_sentence(name: str, tmp_path: Path) -> None:
    rows = [{"question": os.urandom(40).hex(), "chosen": "a", "rejected": "b"} for _ in range(3000)]
    whole = tmp_path / name
    convert(write(tmp_path / "a.jsonl", rows), whole, Options(to="mmpr"))
    whole.write_bytes(whole.read_bytes()[:-2000])
    with pytest.raises(PrefdataError, match=r"damaged (gzip|zstd) data"):
        convert(whole, tmp_path / "c.jsonl", Options(to="mmpr"))
    assert not (tmp_path / "c.jsonl").exists()


def test_parquet_says_which_column_has_no_one_type(tmp_path: Path) -> None:
    rows = [{"question": "Q", "chosen": "a", "rejected": "b", "tag": tag} for tag in ("x", ["y"])]
    with pytest.raises(PrefdataError, match=r"cannot hold the column `tag` .* write JSON lines"):
        convert(write(tmp_path / "a.jsonl", rows), tmp_path / "b.parquet", Options(to="mmpr"))
    assert not (tmp_path / "b.parquet").exists()


def test_images_inside_the_rows(tmp_path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    picture = b"\x89PNG not really"
    rows = [
        {
            "image": {"bytes": picture, "path": None},
            "question": "Q",
            "chosen": "a",
            "rejected": "b",
            "idx": str(n),
        }
        for n in range(2)
    ]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "a.parquet")
    with pytest.raises(PrefdataError, match="image bytes"):
        convert(tmp_path / "a.parquet", tmp_path / "b.jsonl", Options(to="mmpr"))
    options = Options(to="mmpr", extract_images=tmp_path / "images", verify=True)
    convert(tmp_path / "a.parquet", tmp_path / "b.jsonl", options)
    (image,) = {row["image"] for row in read(tmp_path / "b.jsonl")}
    assert (tmp_path / image).read_bytes() == picture
    assert Path(image).suffix == ".png"
    # Parquet has a place for bytes, and one form for the whole column.
    convert(tmp_path / "a.parquet", tmp_path / "c.parquet", Options(to="trl", verify=True))
    column = pyarrow.parquet.read_table(tmp_path / "c.parquet").column("images").to_pylist()
    assert column == [[{"bytes": picture, "path": None}]] * 2


def test_verify_refuses_a_result_that_reads_differently(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from prefdata.formats.trl import Trl

    honest = Trl.write

    def careless(self: Trl, record: Any) -> Any:
        written = honest(self, record)
        written.row["chosen"][0]["content"] += "!"
        return written

    monkeypatch.setattr(Trl, "write", careless)
    source = write(tmp_path / "a.jsonl", [{"question": "Q", "chosen": "a", "rejected": "b"}])
    with pytest.raises(PrefdataError, match=r"a\.jsonl:1: row 1 of the result reads back as another record"):
        convert(source, tmp_path / "b.jsonl", Options(to="trl", verify=True))
    assert [path.name for path in tmp_path.iterdir()] == ["a.jsonl"]


def test_what_is_only_read_is_not_written(tmp_path: Path) -> None:
    source = write(tmp_path / "a.jsonl", [{"question": "Q", "chosen": "a", "rejected": "b"}])
    with pytest.raises(PrefdataError, match="`hh` is only read; choose one of mmpr, trl"):
        convert(source, tmp_path / "b.jsonl", Options(to="hh"))


def test_what_is_no_file_is_not_replaced(tmp_path: Path) -> None:
    source = write(tmp_path / "a.jsonl", [{"question": "Q", "chosen": "a", "rejected": "b"}])
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for name, sentence in (("pipe", "not a regular file"), ("folder", "is a folder")):
        with pytest.raises(PrefdataError, match=sentence):
            convert(source, tmp_path / name, Options(to="trl"))
    assert (tmp_path / "pipe").is_fifo()


@pytest.mark.parametrize("image", ["", ["a.png", ""]])
def test_an_empty_reference_is_refused_with_its_place(image: Any, tmp_path: Path) -> None:
    row = {"question": "<image><image>Q", "chosen": "a", "rejected": "b"}
    source = write(tmp_path / "a.jsonl", [row | {"image": ["a.png", "b.png"]}, row | {"image": image}])
    outcome = convert(source, tmp_path / "b.jsonl", Options(to="trl"))
    assert (outcome.written, outcome.unread) == (1, 1)
    (reason,) = outcome.unreadable
    assert reason.startswith("image")
    assert "an empty text" in reason


def test_a_null_in_turns_survives_parquet_and_its_verification(tmp_path: Path) -> None:
    turns: list[dict[str, Any]] = [
        {"role": "user", "content": "q", "weight": 1},
        {"role": "assistant", "content": "x", "score": None},
    ]
    rows = [{"messages": turns}, {"messages": [{**turns[0], "weight": 0}, {**turns[1], "loss": True}]}]
    source = write(tmp_path / "a.jsonl", rows)
    for target in ("b.parquet", "c.jsonl"):
        outcome = convert(source, tmp_path / target, Options(to="trl", verify=True))
        assert (outcome.lost, outcome.verified) == ({}, True)
        assert set(outcome.ignored) == {"`weight` of a turn", "`loss` of a turn"}


def test_bytes_that_are_no_image_are_named_when_they_are_written_out(tmp_path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    turns = {key: [{"role": role, "content": key}] for key, role in SIDE_ROLES}
    rows = [{**turns, "images": [{"bytes": data, "path": None}]} for data in (b"<html>404</html>", b"")]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "a.parquet")
    options = Options(to="mmpr", extract_images=tmp_path / "images")
    outcome = convert(tmp_path / "a.parquet", tmp_path / "b.jsonl", options)
    assert outcome.lost["bytes that are no known image (written out as they are)"].lines == [1, 2]


SIDE_ROLES = (("prompt", "user"), ("chosen", "assistant"), ("rejected", "assistant"))


def test_what_validate_refuses_is_refused_here(tmp_path: Path) -> None:
    """A key that is there twice, and one limit of depth."""
    deep = '{"question":"Q","chosen":"a","rejected":"b","x":' + "[" * 900 + "]" * 900 + "}"
    twice = '{"question":"Q","chosen":"a","rejected":"b","chosen":"c"}'
    quoted = json.dumps({"question": 'say "chosen": "', "chosen": "a", "rejected": '"chosen'})
    (tmp_path / "a.jsonl").write_text("\n".join((quoted, deep, twice)))
    outcome = convert(tmp_path / "a.jsonl", tmp_path / "b.jsonl", Options(to="trl", verify=True))
    assert list(outcome.unreadable) == ["not a JSON row (PD009)", "not a JSON row (PD018)"]
    assert outcome.written == 1


def test_a_row_with_too_few_placeholders_is_refused(tmp_path: Path) -> None:
    row = {
        "image": ["1.png", "2.png"],
        "question": "<image>\nWhich?",
        "chosen": "The second.",
        "rejected": "The first.",
    }
    write(tmp_path / "in.jsonl", [row])
    with pytest.raises(PrefdataError, match="question: 1 of 2 images have a placeholder"):
        convert(tmp_path / "in.jsonl", tmp_path / "out.jsonl", Options(to="trl"))
