"""Files in other formats: order, what is lost, and nothing half-written."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from prefdata.convert import Options, convert
from prefdata.errors import PrefdataError

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
        "a prompt of several turns": (1, [2])
    }
    assert read(tmp_path / "b.jsonl") == [{"question": "Hi", "chosen": "Yes", "rejected": "No"}]


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


def test_what_is_no_file_is_not_replaced(tmp_path: Path) -> None:
    source = write(tmp_path / "a.jsonl", [{"question": "Q", "chosen": "a", "rejected": "b"}])
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for name, sentence in (("pipe", "not a regular file"), ("folder", "is a folder")):
        with pytest.raises(PrefdataError, match=sentence):
            convert(source, tmp_path / name, Options(to="trl"))
    assert (tmp_path / "pipe").is_fifo()
