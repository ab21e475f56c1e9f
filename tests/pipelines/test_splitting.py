"""Where answers are cut."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.choices import SplitUnit
from pipelines.splitting import prefix_of


def cut(text: str, ratio: float = 0.5, unit: SplitUnit = "word") -> str:
    return prefix_of(
        text, ratio, unit, lambda s: list(s.encode()), lambda ids: bytes(ids).decode(errors="replace")
    )


@pytest.mark.parametrize("unit", ["token", "word", "sentence", "char"])
@given(text=st.text(), ratio=st.floats(0, 0.99))
def test_the_prefix_is_a_proper_prefix_of_the_answer(unit: SplitUnit, text: str, ratio: float) -> None:
    prefix = cut(text, ratio, unit)
    assert text.startswith(prefix)
    assert not text or len(prefix) < len(text)
    if unit != "char":
        assert prefix == prefix.rstrip() or not prefix


def test_words_are_counted_and_inner_white_space_is_kept() -> None:
    assert cut("A  red\nbus stops at  the corner.") == "A  red\nbus"


def test_chinese_and_japanese_are_cut_between_characters() -> None:
    assert cut("红色的公共汽车停在街角。", unit="token") == "红色的公共汽"
    assert cut("赤いバスが角に止まる。", unit="word") == "赤いバスが"


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        (r"So we get $a + b = c + d$ in the end.", r"$a + b = c + d$"),
        ("Run ```print(1)\nprint(2)``` to see it now.", "```print(1)\nprint(2)```"),
        ("It is **very very important** to look.", "**very very important**"),
        ("The total is 1,234.56 euros in all.", "1,234.56"),
        (r"Hence \(x = y + z\) holds.", r"\(x = y + z\)"),
        ("See [the long page](http://a.b/c d) for more.", "[the long page](http://a.b/c d)"),
    ],
)
def test_no_cut_inside_formulas_code_bold_numbers_links(text: str, whole: str) -> None:
    start = text.index(whole)
    for percent in range(1, 100):
        for unit in ("token", "word"):
            end = len(cut(text, percent / 100, unit))
            assert not start < end < start + len(whole)


def test_one_word_has_no_place_to_cut() -> None:
    assert cut("yes") == ""
    assert cut("42", unit="token") == ""


def test_ratio_zero_keeps_nothing() -> None:
    assert cut("one two three four", 0.0) == ""


def test_sentences() -> None:
    assert cut("One is 3.14 here. Two! Three? Four.", unit="sentence") == "One is 3.14 here. Two!"
    assert cut("只有一句话。第二句。", unit="sentence") == "只有一句话。"
    assert cut("Only one sentence here.", unit="sentence") == ""


def test_accents_and_emoji_stay_whole() -> None:
    text = "e\u0301" * 4 + "👨‍👩‍👧"
    for percent in range(1, 100):
        rest = text[len(cut(text, percent / 100, "char")) :]
        assert rest[0] not in "\u0301\u200d👩👧" or rest[0] == "👨"


def test_a_tokenizer_that_rewrites_text_is_counted_in_proportion() -> None:
    prefix = prefix_of("Ten Words", 0.5, "token", lambda s: [0] * 4, lambda ids: "ten")
    assert prefix == "Ten"
