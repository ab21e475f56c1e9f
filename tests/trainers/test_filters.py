"""Filters: what each leaves out, and what must survive it."""

from pathlib import Path

import pytest

from prefdata.errors import PrefdataError
from prefdata.records import PreferencePair, message
from tests.support.forests import config
from trainers.filters import FILTERS, Sieve, lengths, make_sieve, parse_filters

CHINESE = "这张图片显示了一个三角形,我们可以用勾股定理来计算它的斜边。" * 20
THAI = "ภาพนี้แสดงรูปสามเหลี่ยมมุมฉาก" * 30
PROSE = "The triangle has a right angle, so its longest side follows. " * 12


def pair(chosen: str, rejected: str) -> PreferencePair:
    return PreferencePair(
        prompt=(message("user", "Why?"),),
        chosen=(message("assistant", chosen),),
        rejected=(message("assistant", rejected),),
    )


def left_out(name: str, text: str) -> bool:
    return FILTERS[name](text) is not None


@pytest.mark.parametrize("text", [CHINESE, THAI, PROSE + "https://example.org/" + "a1" * 80])
def test_what_the_original_deletes_and_we_keep(text: str) -> None:
    assert left_out("ixc-quality", text)
    assert not left_out("unbroken-run", text)


def test_a_rule_of_a_table_is_no_run() -> None:
    table = PROSE + "\n|" + "-" * 150 + "|\n"
    assert left_out("ixc-quality", table)
    assert not left_out("unbroken-run", table)


def test_a_run_is_found_in_long_answers_only() -> None:
    run = "qzx7" * 40
    assert left_out("unbroken-run", PROSE + run)
    assert left_out("ixc-quality", PROSE + run)
    assert not left_out("unbroken-run", run)
    assert not left_out("ixc-quality", run)


@pytest.mark.parametrize(
    ("name", "bad", "good"),
    [
        ("template-leak", "It is 4.<|im_end|>\n<|im_start|>user", "It is 4."),
        ("empty-answer", " \n", "4"),
        ("repetition", "It is so. " * 40, PROSE[:60]),
        ("ixc-quality", "4<|im_end|>", "4"),
        ("ixc-quality", " ", "4"),
    ],
)
def test_either_side_leaves_the_pair_out(name: str, bad: str, good: str) -> None:
    sieve = Sieve(names=(name,))
    assert sieve.reason(pair(good, good)) is None
    assert str(sieve.reason(pair(bad, good))).startswith(f"filter {name}: chosen ")
    assert str(sieve.reason(pair(good, bad))).startswith(f"filter {name}: rejected ")
    assert sieve.counts == {name: 2}


def test_sft_asks_about_the_side_it_trains_on() -> None:
    sieve = make_sieve(config(Path("m"), Path("d"), stage="sft", filters="empty-answer"), len)
    assert sieve.reason(pair("4", " ")) is None
    assert sieve.reason(pair(" ", "4")) is not None


def test_the_last_message_is_looked_at() -> None:
    leak, fine = message("assistant", "<|im_end|>"), message("assistant", "4")
    talk = PreferencePair(
        prompt=(message("user", "Why?"),),
        chosen=(leak, message("user", "And?"), fine),
        rejected=(leak, message("user", "And?"), fine),
    )
    assert Sieve(names=("template-leak",)).reason(talk) is None


def test_lengths_are_words_or_characters_by_the_writing() -> None:
    assert lengths("one two", "three", "auto") == (2, 1, "words")
    assert lengths("三角形", "圆", "auto") == (3, 1, "characters")
    assert lengths("three words here", "这是三角形", "auto") == (16, 5, "characters")
    assert lengths("세 개의 각", "원", "auto") == (3, 1, "words")
    assert lengths("ສາມຫຼ່ຽມ", "ok", "auto")[2] == "characters"  # Lao, which `script_of` has no name for
    assert lengths("one two", "three", "characters") == (7, 5, "characters")
    assert lengths("one two", "three", "tokens", len) == (7, 5, "tokens")


def test_length_ratios() -> None:
    long, short = "word " * 30, "word " * 10
    both, one_sided = Sieve(max_ratio=2.5), Sieve(max_chosen_ratio=2.5)
    said = "filter max-length-ratio: chosen has 30 words, rejected 10"
    assert both.reason(pair(long, short)) == said
    assert both.reason(pair(short, long)) is not None
    assert both.reason(pair(short, short)) is None
    assert one_sided.reason(pair(long, short)) == said.replace("length", "chosen")
    assert one_sided.reason(pair(short, long)) is None
    assert Sieve(max_ratio=3).reason(pair(long, short)) is None  # at the limit
    assert Sieve(max_ratio=2, min_gap=21).reason(pair(long, short)) is None
    assert Sieve(max_ratio=2, min_gap=20).reason(pair(long, short)) is not None
    assert both.counts == {"max-length-ratio": 2}


def test_names_of_filters() -> None:
    assert parse_filters(" repetition, empty-answer,repetition") == ("repetition", "empty-answer")
    assert parse_filters("") == ()
    with pytest.raises(
        PrefdataError, match="--filters long: there is no such filter; choose from template-leak"
    ):
        parse_filters("long")
