"""The compiled scanner accepts only what the rules accept, counts what they count, and survives any bytes."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from prefdata.blocks import Block
from prefdata.checkfile import FileCheck, Tally
from prefdata.findings import Chosen
from prefdata.formats import get
from prefdata.rowscan import SCANNERS
from prefdata.rules.image import ImageChecker

pytestmark = pytest.mark.skipif("mmpr" not in SCANNERS, reason="built without a C compiler")

WORDS = (
    *("<image>", "<image1>", "<ImageHere>", "<|im_end|>", "</s>", "[INST]", "[UNUSED_TOKEN_145]", "<video>"),
    *("I cannot see the image", "As an AI model I view", "I can’t access the picture", "language model"),
    *(
        "So it is. " * 25,
        '"\n' * 100,
        "很好。" * 30,
        "!" * 250,
        "final answer: ",
        "<answer>",
        "\fFinal answer: ",
        "\u00a0Final answer: ",
        "\u3000Final answer: ",
        "<think>",
        "</think>",
    ),
    *("\n- ", "\n1. ", "\n12. ", "\n# ", "\n|", "\n```", "\n**", "# ", "1"),
    *("unable to directly view images", "not able to see photos", "cannot be seen", " not ", "AI"),
    *(
        " ",
        "\n",
        "\\",
        '"',
        "\\n",
        ".",
        "!",
        "。",
        "，",
        "6",
        "a",
        "A",
        "é",
        "因",
        "😀",
        "ſ",
        "\u00a0",
        "x" * 20,
    ),
)
texts = st.lists(st.sampled_from(WORDS), max_size=6).map("".join)
images = st.sampled_from(
    [
        None,
        "",
        "a.png",
        "/a.png",
        "http://x/a.png",
        "a\nb",
        "a:b",
        [],
        ["a.png"],
        ["a.png", "b.png"],
        "x" * 5000,
    ]
)
extra = st.sampled_from(
    [
        {"finish_reason": "length"},
        {"finish_reason": {"chosen": "length"}},
        {},
        [1, 2.5, -0.0, 1e300, None],
        "😀",
    ]
)
rows = st.fixed_dictionaries(
    {"question": texts, "chosen": texts, "rejected": texts},
    optional={
        "image": images,
        "meta": extra,
        "id": st.integers(),
        "images": images,
        "video": images,
        "system_prompt": texts,
        "margin": st.floats(allow_nan=False),
        "ключ": texts,
    },
)


def tally_of(data: bytes, *, compiled: bool) -> Tally:
    tally = Tally()
    check = FileCheck(get("mmpr"), ImageChecker(None, Path(), "none"), tally, Chosen(), 1000)
    if not compiled:
        # Every row through all the rules.
        check._scan = None
        check.raw = check.explain  # type: ignore[method-assign]
    check.block(Block(data))
    tally.hits.sort(key=lambda each: (each[0], each[1].code, each[1].field, each[1].detail))
    return tally


def assert_same(data: bytes) -> None:
    fast, slow = tally_of(data, compiled=True), tally_of(data, compiled=False)
    assert fast.hits == slow.hits
    assert (fast.rows, fast.lines, fast.lengths) == (slow.rows, slow.lines, slow.lengths)
    assert (fast.firsts, fast.references) == (slow.firsts, slow.references)
    pairs = [sorted(zip(each.duplicates.lines, each.duplicates.keys, strict=True)) for each in (fast, slow)]
    assert pairs[0] == pairs[1]


@example([{"question": "Why?", "chosen": "# ", "rejected": "\n# "}], False, False)  # signs and blanks alone
@given(some=st.lists(rows, max_size=4), ascii_only=st.booleans(), spaced=st.booleans())
@settings(max_examples=300, deadline=None)
def test_rows(some: list[dict[str, Any]], ascii_only: bool, spaced: bool) -> None:
    separators = None if spaced else (",", ":")
    lines = [json.dumps(row, ensure_ascii=ascii_only, separators=separators) + "\n" for row in some]
    assert_same("".join(lines).encode())


@given(row=rows, spoil=st.data())
@settings(max_examples=400, deadline=None)
def test_spoilt_rows(row: dict[str, Any], spoil: st.DataObject) -> None:
    data = bytearray(msgspec.json.encode(row))
    for _ in range(spoil.draw(st.integers(1, 3))):
        at = spoil.draw(st.integers(0, len(data) - 1))
        piece = spoil.draw(
            st.sampled_from(
                [b"", b'"', b"\\", b"\n", b"\x00", b"\xff", b"\xed\xa0\x80", b"{", b"}", b",", b" "]
            )
        )
        data[at : at + spoil.draw(st.integers(0, 2))] = piece
    assert_same(bytes(data) + b"\n")


@pytest.mark.parametrize("blank", " \f\n\r\t\u0085\u00a0\u1680\u2003\u2028\u202f\u205f\u3000")
def test_blanks_before_a_bare_answer(blank: str) -> None:
    row = {"question": "Why?", "chosen": f"{blank}Final answer: 6", "rejected": "It is 2 + 2, so 4."}
    data = msgspec.json.encode(row) + b"\n"
    assert_same(data)
    assert [hit.code for _, hit in tally_of(data, compiled=True).hits] == ["PD213"]


@given(data=st.binary(max_size=60))
@example(b'{"question":"')
@example(b'{"a":' + b"[" * 100 + b"\n")
@example(b'{"question":"\xf0\x9f')
@settings(max_examples=300, deadline=None)
def test_any_bytes(data: bytes) -> None:
    SCANNERS["mmpr"](data, 1, True)


def test_ordinary_rows_are_accepted() -> None:
    row = {
        "image": "a/b.png",
        "question": "<image>\nHow long is \\(x\\)?",
        "chosen": "$x = \\frac{1}{2}$ 😀 6",
    }
    data = (
        msgspec.json.encode(
            row | {"rejected": "因为。所以是。", "meta": {"id": "x", "score": [1, -2.5, None]}}
        )
        + b"\n"
    )
    lines, keys, _, closer, references, first, *lengths = SCANNERS["mmpr"](data * 3, 1, True)
    assert (lines, len(keys), closer) == (3, 24, [])
    assert references == [(0, "a/b.png"), (1, "a/b.png"), (2, "a/b.png")]
    assert (first, lengths) == (0, [3, 0, 0, 0, 0])
