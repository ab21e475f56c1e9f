"""Placeholders, one format's convention at a time."""

from collections.abc import Mapping
from typing import Any

import pytest

from prefdata.formats import BadRow, CannotHold, get
from prefdata.records import Media, MediaRef, PreferencePair, Text, message


def convert(row: Mapping[str, object], source: str, target: str) -> dict[str, Any]:
    return get(target).from_record(get(source).to_record(dict(row))).row


MMPR = {
    "image": ["a.png", "b.png"],
    "question": "<image>\n<image>\nDiffer?",
    "chosen": "Yes",
    "rejected": "No",
}


def test_several_images_are_labelled_for_xcomposer() -> None:
    row = convert(MMPR, "mmpr", "ixc-reward")
    turn = {"from": "human", "value": "Image 1 <ImageHere>; \nImage 2 <ImageHere>; \nDiffer?"}
    assert row["conversations_a"] == [turn, {"from": "bot", "value": "Yes"}]
    assert convert(row, "ixc-reward", "mmpr") == MMPR


@pytest.mark.parametrize("label", ["Image1 <ImageHere>;", "Image 1 <ImageHere>; ", "Image1: <ImageHere>;"])
def test_all_three_labels_of_xcomposer_are_read(label: str) -> None:
    value = f"{label}and {label.replace('1', '2')}differ?"
    turns = [{"from": "human", "value": value}, {"from": "bot", "value": "Yes"}]
    row = {
        "image": ["a", "b"],
        "conversations_a": turns,
        "conversations_b": [turns[0], {"from": "bot", "value": "No"}],
    }
    record = get("ixc-reward").to_record(row)
    assert isinstance(record, PreferencePair)
    assert record.prompt[0].content == (MediaRef(0), Text("and "), MediaRef(1), Text("differ?"))


def test_one_image_without_a_marker_stays_without() -> None:
    row = {"image": "a.png", "question": "Area?", "chosen": "6", "rejected": "8"}
    trl = convert(row, "mmpr", "trl")
    assert trl["images"] == ["a.png"]
    assert trl["prompt"] == [{"role": "user", "content": "Area?"}]
    assert convert(trl, "trl", "mmpr") == row
    assert convert(row, "mmpr", "lf-sharegpt")["conversations"] == [
        {"from": "human", "value": "<image>\nArea?"}
    ]


def test_typed_parts_keep_the_place_of_each_image() -> None:
    trl = convert(MMPR, "mmpr", "trl")
    image = {"type": "image"}
    parts = [image, {"type": "text", "text": "\n"}, image, {"type": "text", "text": "\nDiffer?"}]
    assert trl["prompt"] == [{"role": "user", "content": parts}]


def test_markers_written_as_text_are_not_turned_into_images() -> None:
    pair = PreferencePair(
        prompt=(message("user", "What does <image> mean in HTML?"),),
        chosen=(message("assistant", "Nothing"),),
        rejected=(message("assistant", "A picture"),),
        media=(Media(uri="a.png"),),
    )
    with pytest.raises(CannotHold, match="literal text <image>"):
        get("mmpr").from_record(pair)
    assert get("trl").to_record(get("trl").from_record(pair).row) == pair


def test_implicit_prompts_are_the_common_beginning() -> None:
    shared = [{"role": "user", "content": "Hi"}]
    row = {side: [*shared, {"role": "assistant", "content": side}] for side in ("chosen", "rejected")}
    record = get("trl").to_record(row)
    assert isinstance(record, PreferencePair)
    assert [turn.text for turn in record.prompt] == ["Hi"]
    assert [turn.text for turn in (*record.chosen, *record.rejected)] == ["chosen", "rejected"]


def test_implicit_strings_are_split_as_trl_splits_them() -> None:
    from trl.data_utils import extract_prompt

    row: dict[str, Any] = {"chosen": "The sky is blue.", "rejected": "The sky is green."}
    record = get("trl").to_record(row)
    assert isinstance(record, PreferencePair)
    ours = {
        "prompt": record.prompt[0].text,
        "chosen": record.chosen[0].text,
        "rejected": record.rejected[0].text,
    }
    assert ours == extract_prompt(row)


@pytest.mark.parametrize(
    ("format_id", "row", "problem"),
    [
        ("mmpr", {"question": "Q", "chosen": "a"}, "rejected"),
        ("mmpr", {"question": "Q", "chosen": 1, "rejected": "b"}, "chosen: expected"),
        (
            "ixc-reward",
            {
                "conversations_a": [{"from": "tool", "value": "x"}, {"from": "bot", "value": "y"}],
                "conversations_b": [{"from": "tool", "value": "x"}, {"from": "bot", "value": "z"}],
            },
            "unknown role 'tool'",
        ),
        (
            "ixc-reward",
            {
                "conversations_a": [{"from": "human", "value": "x"}, {"from": "bot", "value": "y"}],
                "conversations_b": [{"from": "human", "value": "other"}, {"from": "bot", "value": "z"}],
            },
            "prompt turns of the two sides differ",
        ),
        ("lf-sharegpt", {"conversations": [{"from": "human"}]}, "conversations[0].value"),
        ("trl", {"prompt": "Hi", "chosen": [], "rejected": "No"}, "chosen: no answer turn"),
    ],
)
def test_bad_rows_are_refused_with_their_place(format_id: str, row: dict[str, object], problem: str) -> None:
    with pytest.raises(BadRow) as caught:
        get(format_id).to_record(row)
    assert problem in str(caught.value)
