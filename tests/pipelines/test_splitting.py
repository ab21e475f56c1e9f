"""Where answers are cut."""

from functools import cache
from pathlib import Path
from typing import Any

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


def test_no_cut_behind_what_opens() -> None:
    for text in (
        "The domain (TLD) is it.",
        "他说：“我来了。”然后走了。",
        "彼は「はい」と言った。",
        "See [1] and [2] there.",
    ):
        for percent in range(1, 100):
            assert not cut(text, percent / 100, "token").endswith(("(", "“", "「", "["))


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


WHOLE = [
    "$a + b = c$", r"\(x = y + z\)", r"\[E = m c^2\]", "$$a\n+ b$$", r"$\frac{1}{2}$",
    "```python\nx = 1\n```", "`a = b + c`",
    r"\begin{align*}\na &= b \\\\\nc &= d\n\end{align*}", r"\boxed{\frac{1}{2}}", r"\textbf{so it is}",
    "~~~\nx = 1\n~~~", "<think>", "</answer>", '<a href="b c">',
    "**very bold**", "**bold with *italics* inside**", "***both of them***", "*in italics*",
    "__also bold__", "[a link](http://a.b/c d)", "![shown](a b.png)", "https://a.b/c?d=e,f",
    "-3.5", "1.5e-3", "2024-05-01", "1,234.56", "3.14", "12:30", "50%", "1/2", "2024",
    "word", "don't", "well-known", "naïve", "Straße", "слово", "한국어",
    "हिन्दी", "भाषा", "दिखाई", "تَجْلِسُ", "القِطَّةُ", "می‌خواهم", "ตั้งอยู่", "ภาษาไทย", "e\u0301te\u0301", "Vie\u0323\u0302t",
    "👍🏽", "🇩🇪", "👨‍👩‍👧", "❤️", "🏴\U000e0067\U000e0062\U000e007f",
]  # fmt: skip
CJK = list("红色的公共汽车停在街角。赤いバスが止まる、？！")
BETWEEN = [" ", "  ", "\n", "\n\n", ", ", ". ", "，", "。", " (", ") ", ": "]


@st.composite
def documents(draw: st.DrawFn) -> tuple[str, list[tuple[int, int]]]:
    """An answer, and where in it the things lie that are never cut. What lies where is known by construction."""
    text = draw(st.sampled_from(["", " ", "\n\n", "  \n"]))
    spans = []
    for whole in draw(st.lists(st.sampled_from(WHOLE) | st.sampled_from(CJK), min_size=1, max_size=14)):
        spans.append((len(text), len(text) + len(whole)))
        text += whole + draw(st.sampled_from(BETWEEN))
    return text + draw(st.sampled_from(["", " ", "\n"])), spans


TOKENIZERS = {
    "bytes": (lambda text: list(text.encode()), lambda ids: bytes(ids).decode(errors="replace")),
    # Tokens across words, and a decoder that adds a blank in front.
    "chunks": (
        lambda text: [text[at : at + 5] for at in range(0, len(text), 5)],
        lambda ids: " " + "".join(ids),
    ),
}


@pytest.mark.parametrize("unit", ["token", "word", "sentence"])
@given(
    document=documents(),
    ratio=st.floats(0.01, 0.99),
    tokenizer=st.sampled_from(sorted(TOKENIZERS)),
)
def test_nothing_that_belongs_together_is_cut(
    unit: SplitUnit, document: tuple[str, list[tuple[int, int]]], ratio: float, tokenizer: str
) -> None:
    text, spans = document
    encode, decode = TOKENIZERS[tokenizer]
    prefix = prefix_of(text, ratio, unit, encode, decode)
    rest = text[len(prefix) :]
    assert prefix + rest == text
    assert rest.strip(), "something is left to be continued"
    for start, end in spans:
        assert not start < len(prefix) < end, (prefix, text[start:end])


@pytest.mark.parametrize("unit", ["token", "word", "sentence", "char"])
@given(document=documents(), low=st.floats(0.01, 0.99), high=st.floats(0.01, 0.99))
def test_a_higher_ratio_keeps_no_less(
    unit: SplitUnit, document: tuple[str, list[tuple[int, int]]], low: float, high: float
) -> None:
    text, _ = document
    low, high = sorted((low, high))
    assert len(cut(text, low, unit)) <= len(cut(text, high, unit))


REAL = {
    "chinese": "图中有一只红色的狗和一只白色的猫，它们坐在窗边的沙发上，看起来很放松。",
    "japanese": "写真には赤い車が写っていて、その隣に二人の男性が立っています。天気は晴れです。",
    "korean": "소파 위에 빨간 개가 앉아 있고 하얀 고양이는 부엌에서 자고 있습니다.",
    "latex": r"By the formula $x = \frac{-b \pm \sqrt{b^2 - 4ac}}{2a}$ we get \(x = 3\), so $$x^2 = 9$$ holds.",
    "code": "Use this:\n\n```python\ndef f(x):\n    return x ** 2\n```\n\nIt returns the square of its argument.",
    "bold": "The **first important thing** is that **nothing else matters** here at all.",
    "numbers": "It costs 1,234.56 euros, which is 12.5% more than the 1,097.39 euros of 2019 at 12:30.",
    "blanks": "  \n Two blanks,  a break\n\nand\ta tab before the end of it all. \n ",
    "list": "1. First, open the door.\n2. Then, go in.\n3. Finally, close it again behind you.",
}


@pytest.mark.parametrize("name", REAL)
def test_with_a_real_tokenizer_about_half_is_kept(smollm2: Path, name: str) -> None:
    tokenizer = real_tokenizer(smollm2)
    text = REAL[name]
    for percent in range(5, 100, 5):
        prefix = prefix_of(
            text,
            percent / 100,
            "token",
            lambda part: tokenizer.encode(part, add_special_tokens=False).ids,
            tokenizer.decode,
        )
        assert text.startswith(prefix)
        assert "\ufffd" not in prefix
        if name in ("chinese", "japanese", "korean", "numbers", "list"):
            # No long atoms: the cut is where it was asked for, to a word.
            assert abs(len(prefix) - percent / 100 * len(text)) <= 0.2 * len(text)


@cache
def real_tokenizer(folder: Path) -> Any:
    tokenizers = pytest.importorskip("tokenizers")
    return tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))


def test_one_word_has_no_place_to_cut() -> None:
    assert cut("yes") == ""
    assert cut("42", unit="token") == ""
    for one in (
        "猫",
        " yes ",
        "$x = 1$",
        "```\ncode\n```",
        "**bold**",
        "https://a.b/c",
        "1,234.56",
        "\n",
        "",
    ):
        for unit in ("token", "word", "sentence"):
            assert cut(one, unit=unit) == "", (one, unit)


def test_ratio_zero_keeps_nothing() -> None:
    assert cut("one two three four", 0.0) == ""


def test_sentences() -> None:
    assert cut("One is 3.14 here. Two! Three? Four.", unit="sentence") == "One is 3.14 here. Two!"
    assert cut("只有一句话。第二句。", unit="sentence") == "只有一句话。"
    assert cut("Only one sentence here.", unit="sentence") == ""


def test_sentences_of_other_scripts() -> None:
    assert cut("यह एक है। वह दो है।", unit="sentence") == "यह एक है।"
    assert cut("أين القطة؟ هي هنا.", unit="sentence") == "أين القطة؟"


def test_marks_are_no_ends_of_words() -> None:
    assert cut("हिन्दी भाषा यहाँ दिखाई देता है।", 0.2) == "हिन्दी"
    assert cut("تَجْلِسُ القِطَّةُ هُنَا.", 0.4) == "تَجْلِسُ"
    assert cut("نمی‌خواهم بروم به خانه", 0.25) == "نمی‌خواهم"


@pytest.mark.parametrize("whole", ["👍🏽", "🇩🇪", "👨‍👩‍👧", "\r\n", "हि", "🏴\U000e0067\U000e0062\U000e007f"])
@pytest.mark.parametrize("unit", ["char", "token", "word"])
def test_no_cut_inside_what_a_reader_counts_as_one(whole: str, unit: SplitUnit) -> None:
    text = whole * 6
    for percent in range(1, 100):
        assert len(cut(text, percent / 100, unit)) % len(whole) == 0


def test_accents_and_emoji_stay_whole() -> None:
    text = "e\u0301" * 4 + "👨‍👩‍👧"
    for percent in range(1, 100):
        rest = text[len(cut(text, percent / 100, "char")) :]
        assert rest[0] not in "\u0301\u200d👩👧" or rest[0] == "👨"


def test_a_tokenizer_that_rewrites_text_is_counted_in_proportion() -> None:
    prefix = prefix_of("Ten Words", 0.5, "token", lambda s: [0] * 4, lambda ids: "ten")
    assert prefix == "Ten"
