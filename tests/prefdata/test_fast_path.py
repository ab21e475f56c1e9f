"""The fast path may only accept what the rules would accept too."""

from pathlib import Path
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from prefdata.checkfile import FileCheck, Tally
from prefdata.containers import Raw
from prefdata.findings import Chosen
from prefdata.formats import get
from prefdata.rules import row_hits, syntax
from prefdata.rules.image import ImageChecker

PIECES = (
    *(
        "<image>",
        "<image1>",
        "<ImageHere>",
        "<|im_end|>",
        "</s>",
        "[INST]",
        "I cannot see the image",
        "As an AI model I view",
    ),
    *(
        "Sorry, I can't access the picture",
        "unable to view images",
        " ",
        "\n",
        "a",
        "A",
        ".",
        "6",
        "é",
        "因",
        "\\",
        '"',
        "So it is. " * 25,
        '"\n' * 100,
        "很好。" * 30,
        "!" * 250,
        "Final answer: ",
        "<think> </think>",
    ),
)
texts = st.lists(st.sampled_from(PIECES), max_size=4).map("".join)
images = st.sampled_from([None, "", "a.png", [], ["a.png"], ["a.png", "b.png"], ["a.png", ""]])
optional: dict[Any, Any] = {
    "image": images,
    "meta": st.sampled_from([{}, {"finish_reason": "length"}, {"finish_reason": "stop"}]),
}
mmpr = st.fixed_dictionaries({"question": texts, "chosen": texts, "rejected": texts}, optional=optional)
qa = st.fixed_dictionaries(
    {"question": texts},
    optional={
        **optional,
        "answer": st.sampled_from([None, "", " ", "6", 6, 0, [], ["6", "six"], [""]]),
        "chosen": texts,
    },
)
turns = st.lists(
    st.fixed_dictionaries({"from": st.sampled_from(["human", "gpt", "system", "bot"]), "value": texts}),
    max_size=4,
)
chat = st.fixed_dictionaries({"conversations": turns}, optional=optional)


class Spy(FileCheck):
    """Notes the rows that the fast path did not accept."""

    closely = False

    def explain(self, raw: Raw) -> None:
        """Instead of running the rules."""
        self.closely = True


def hits_of_both(format_id: str, row: dict[str, Any]) -> tuple[bool, list[str]]:
    """Whether the fast path accepted, and the codes of the slow path."""
    fmt = get(format_id)
    tally = Tally()
    check = Spy(fmt, ImageChecker(None, Path(), "none"), tally, Chosen(), 100)
    check.raw(Raw(1, msgspec.json.encode(row)))
    found = [hit.code for hit in (*syntax.shape(fmt, row), *row_hits(fmt.view(row), fmt, row))]
    found += ["PD416"] * len(fmt.view(row).blank_media)
    return not check.closely, found


@given(row=mmpr)
@settings(max_examples=150, deadline=None)
def test_mmpr(row: dict[str, Any]) -> None:
    accepted, found = hits_of_both("mmpr", row)
    assert not (accepted and found)


@given(row=qa)
@settings(max_examples=100, deadline=None)
def test_qa(row: dict[str, Any]) -> None:
    accepted, found = hits_of_both("qa", row)
    assert not (accepted and found)


@given(row=chat)
@settings(max_examples=100, deadline=None)
def test_internvl_sft(row: dict[str, Any]) -> None:
    accepted, found = hits_of_both("internvl-sft", row)
    assert not (accepted and found)


def test_ordinary_rows_take_the_fast_path() -> None:
    row = {"image": "a.png", "question": "<image>\nArea?", "chosen": "It is 6.", "rejected": "It is 8."}
    assert hits_of_both("mmpr", row) == (True, [])
    assert hits_of_both("qa", {"question": "2+2?", "answer": "4"}) == (True, [])
    talk = [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}]
    assert hits_of_both("internvl-sft", {"conversations": talk}) == (True, [])
