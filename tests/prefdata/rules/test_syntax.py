"""Keys and types that the readers of a format stop at, and pairs under other names."""

import json
from pathlib import Path
from typing import Any

import pytest

from prefdata.findings import entry
from prefdata.formats import BadRow, get
from prefdata.records import PreferencePair
from prefdata.validate import Options, validate

ASKED = [{"role": "user", "content": "What?"}]
GOOD, BAD = ([{"role": "assistant", "content": text}] for text in ("A cat.", "A dog."))


def told(tmp_path: Path, row: dict[str, Any], format_id: str | None = None) -> list[tuple[str, str, str]]:
    """(code, field, detail) of what is found in one row."""
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(row) + "\n")
    report = validate([path], Options(format=format_id, images="none"))
    before = {found.code: entry(found.code).message.partition("{detail}")[0] for found in report.findings}
    return [(each.code, each.field, each.message.removeprefix(before[each.code])) for each in report.findings]


@pytest.mark.parametrize("key", ["query", "input"])
def test_a_question_under_another_key_is_no_implicit_prompt(key: str, tmp_path: Path) -> None:
    row = {key: "What is shown?", "chosen": "A game of soccer", "rejected": "A cat"}
    assert told(tmp_path, row) == [("PD023", key, f"`{key}` should be `question`")]
    assert told(tmp_path, row, "trl") == [("PD023", key, f"`{key}` should be `prompt`")]
    with pytest.raises(BadRow, match=f"{key}: `{key}` should be `prompt`"):
        get("trl").to_record(row)


@pytest.mark.parametrize(
    ("chosen", "rejected", "prompt"),
    [
        ("A game of soccer", "A cat", None),
        ("Yes.", "No.", None),
        ("The sky is blue.", "The sky is green.", "The sky is"),
        ("Hm?Yes", "Hm?No", "Hm?"),
    ],
)
def test_letters_of_a_first_word_are_no_prompt(
    chosen: str, rejected: str, prompt: str | None, tmp_path: Path
) -> None:
    row = {"chosen": chosen, "rejected": rejected}
    assert [code for code, _, _ in told(tmp_path, row)] == ([] if prompt else ["PD206"])
    if prompt is None:
        with pytest.raises(BadRow, match="no prompt before the answers"):
            get("trl").to_record(row)
    else:
        record = get("trl").to_record(row)
        assert isinstance(record, PreferencePair)
        assert record.prompt[0].text == prompt


@pytest.mark.parametrize(
    ("row", "field", "what"),
    [
        ({"prompt": "What?", "chosen": "A cat.", "rejected": BAD}, "rejected", "`prompt` and `chosen` are"),
        ({"prompt": ASKED, "chosen": "A cat.", "rejected": BAD}, "chosen", "`chosen` is a text"),
        ({"prompt": "What?", "chosen": GOOD, "rejected": BAD}, "prompt", "`prompt` is a text"),
        ({"prompt": ASKED, "completion": "A cat.", "label": True}, "completion", "`completion` is a text"),
    ],
)
def test_trl_needs_texts_or_messages_throughout(
    row: dict[str, Any], field: str, what: str, tmp_path: Path
) -> None:
    ((code, place, detail),) = told(tmp_path, row, "trl")
    assert (code, place) == ("PD022", field)
    assert what in detail
    # What is meant is plain, so it is read all the same.
    assert get("trl").to_record(row).prompt[0].text == "What?"  # type: ignore[union-attr]


@pytest.mark.parametrize("format_id", ["trl", "xtuner-pref"])
def test_a_side_that_begins_with_the_prompt_again(format_id: str, tmp_path: Path) -> None:
    row = {"prompt": ASKED, "chosen": ASKED + GOOD, "rejected": ASKED + BAD}
    again = "the side begins with the prompt again; write the answer alone, or leave out `prompt`"
    assert told(tmp_path, row, format_id) == [
        ("PD103", f"{side}[0]", again) for side in ("chosen", "rejected")
    ]
    with pytest.raises(BadRow, match="chosen: begins with the prompt again"):
        get(format_id).to_record(row)
    if format_id == "trl":
        ((code, _, detail),) = told(tmp_path, row | {"prompt": "What?"})
        assert (code, "leave out `prompt`" in detail) == ("PD022", True)


def test_llama_factory_reads_turns_and_sides_by_the_same_tags(tmp_path: Path) -> None:
    row = {"conversations": [{"from": "human", "value": "What?"}], "chosen": GOOD[0], "rejected": BAD[0]}
    found = told(tmp_path, row)
    assert [(code, place) for code, place, _ in found] == [
        ("PD023", f"{side}.{key}") for side in ("chosen", "rejected") for key in ("content", "role")
    ]
    record = get("lf-sharegpt").to_record(row)
    assert isinstance(record, PreferencePair)
    assert record.chosen[0].text == "A cat."
    texts = row | {"chosen": "A cat.", "rejected": "A dog."}
    assert told(tmp_path, texts) == [
        ("PD022", side, f"expected an object with from and value ('{text}')")
        for side, text in (("chosen", "A cat."), ("rejected", "A dog."))
    ]


def test_pairs_under_other_names_are_no_questions(tmp_path: Path) -> None:
    for better, worse in (("good", "bad"), ("response", "rejected_response")):
        assert told(tmp_path, {"question": "What?", better: "A cat.", worse: "A dog."}) == [
            ("PD023", worse, f"`{worse}` should be `rejected`"),
            ("PD023", better, f"`{better}` should be `chosen`"),
        ]


def test_a_worse_answer_that_nothing_reads(tmp_path: Path) -> None:
    talk = {"messages": ASKED + GOOD}
    right = "`rejected` should be `rejected_response`"
    assert told(tmp_path, talk | {"rejected": "A dog."}) == [("PD023", "rejected", right)]
    with pytest.raises(BadRow, match=right):
        get("swift").to_record(talk | {"rejected": "A dog."})
    assert told(tmp_path, talk | {"bad": "A dog."}) == [("PD029", "bad", "`bad`")]
    assert told(tmp_path, talk | {"rejected": True, "bad": 0, "negative": ""}) == []
    turns = [{"from": "human", "value": "What?"}, {"from": "gpt", "value": "A cat."}]
    row = {"conversations": turns, "rejected_response": "A dog."}
    assert told(tmp_path, row) == [("PD029", "rejected_response", "`rejected_response`")]
