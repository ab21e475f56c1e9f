"""Loops are found in every script, and what repeats by nature is let through."""

import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prefdata.rules.repetition import loop, may_repeat

DRAW = random.Random(0)
CHINESE = "".join(chr(DRAW.randrange(0x4E00, 0x9000)) for _ in range(1500))
CODED = "".join(DRAW.choices("abcdefXYZ0189+/", k=900))


def code(text: str) -> str | None:
    found = loop(text)
    assert found is None or may_repeat(text)
    return found and found[0]


@pytest.mark.parametrize(
    "text",
    [
        "The cat sits on the mat. " * 9,
        "no " * 80,
        f"Let me think.\n{'So the answer is 6. ' * 20}\nFinal answer: 7",
        "这是一只猫。" * 12,
        "哈" * 80,
        "これは猫です。" * 12,
        "แมวนั่งอยู่" * 10,
        "кот " * 40,
        f"A paragraph with a long sentence, {CODED[:300]} " * 5,
    ],
)
def test_loops(text: str) -> None:
    assert code(text) == "PD211"
    assert code(f"First, {CODED[:50]} {CHINESE[:40]} {text}") == "PD211"


@pytest.mark.parametrize("unit", ["!", "A", "0", "ha", "\ufffd", "😀"])
def test_runs_without_sense(unit: str) -> None:
    assert code(unit * 250) == "PD212"
    assert code(f"The answer is {unit * 250}") == "PD212"


@pytest.mark.parametrize(
    "text",
    [
        f"| a | b |\n|{'---|' * 120}\n| 1 | 2 |",
        "| Name |" + " Yes |" * 60,
        r"\begin{pmatrix}" + r" 0 & 0 & 0 & 0 & 0 \\" * 30,
        r"\begin{array}{" + "c" * 60 + "}" + r" a & 0 & a & 0 \\" * 40,
        f"data:image/png;base64,{'A' * 300}{CODED}",
        f"{CODED}{'A' * 250}{CODED}",
        f"https://example.org/{CODED}",
        CHINESE,
        f"Chapter 1 {'.' * 300} 12",
        f"Name: {'_' * 300}",
        "Chapter " + ". " * 300,
        f"<tr>{'<td></td>' * 80}</tr>",
        "0, " * 300,
        "█" * 200,
        " " * 1000,
        "\n" * 500,
        "Na na na na, na na na na, hey hey hey, goodbye. " * 3,
    ],
)
def test_what_repeats_by_nature(text: str) -> None:
    assert code(text) is None


def test_many_runs_in_one_word_take_linear_time() -> None:
    text = "".join("".join(DRAW.choices(CODED, k=300)) + "A" * 240 for _ in range(2000))
    started = time.process_time()
    assert code(text) is None
    # A twentieth of a second each time, where looking at the whole word for every run took ten.
    assert time.process_time() - started < 2


@pytest.mark.parametrize(("around", "expected"), [(140, "PD212"), (150, "PD212"), (151, None), (600, None)])
@pytest.mark.parametrize("blank", [" ", "\n", ""])
def test_a_run_counts_where_it_is_half_of_a_word(around: int, expected: str | None, blank: str) -> None:
    word = f"{CODED[:around]}{'!' * 300}{CODED[-around:]}"
    assert code(f"{CODED}{blank}{word}{blank}{CODED}" if blank else word) == expected


@given(
    unit=st.text('ab c因é\n\\"', min_size=1, max_size=120),
    times=st.integers(3, 40),
    before=st.text(max_size=300),
    after=st.text(max_size=300),
)
@settings(max_examples=300, deadline=None)
def test_nothing_is_overlooked(unit: str, times: int, before: str, after: str) -> None:
    """The quick search finds every run that is long enough, wherever it lies."""
    size = len(unit.encode())
    if size <= 512 and times * size >= 200 and times >= (8 if size < 40 else 5):
        assert may_repeat(before + unit * times + after)
