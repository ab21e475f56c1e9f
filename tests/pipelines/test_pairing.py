"""Which samples of a question become pairs."""

from collections import Counter

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from pipelines.judging.verdict import Verdict
from pipelines.pairing import Judged, pair


def judged(outcome: str, answer: str = "", response: str = "", reason: str = "") -> Judged:
    verdict = Verdict(outcome=outcome, rule="test", extracted=answer, normalised=answer, reason=reason)  # type: ignore[arg-type]
    return Judged(response=response or f"{outcome} {answer} {reason}", verdict=verdict)


right = st.builds(
    lambda n, r: judged("correct", "7", f"{r} so 7 ({n})"), st.integers(0, 9), st.text(max_size=20)
)
wrong = st.builds(
    lambda a, r: judged("wrong", str(a), f"{r} so {a}"), st.integers(10, 14), st.text(max_size=20)
)
unformed = st.builds(lambda r: judged("undecided", "", "nothing " + r, "format"), st.text(max_size=20))
cut = st.builds(lambda r: judged("undecided", "", "cut " + r, "truncated"), st.text(max_size=20))
unsure = st.builds(lambda r: judged("undecided", "x", "unsure " + r, "nomatch"), st.text(max_size=20))
samples = st.lists(st.one_of(right, wrong, unformed, cut, unsure), max_size=16)
limits = st.integers(1, 20)


@given(samples, limits)
def test_only_right_against_wrong_and_right_against_format(drawn: list[Judged], limit: int) -> None:
    paired = pair(drawn, limit)
    for chosen, rejected in paired.pairs:
        assert (chosen.verdict.outcome, rejected.verdict.outcome) == ("correct", "wrong")
        assert chosen.answer != rejected.answer
    for chosen, rejected in paired.format_pairs:
        assert chosen.verdict.outcome == "correct"
        assert rejected.verdict.reason == "format"


@given(samples, limits)
def test_caps_and_no_pair_twice(drawn: list[Judged], limit: int) -> None:
    paired = pair(drawn, limit)
    for made in (paired.pairs, paired.format_pairs):
        assert len(made) <= limit
        assert len({(a.response, b.response) for a, b in made}) == len(made)


@given(samples, limits)
def test_as_many_pairs_as_there_can_be(drawn: list[Judged], limit: int) -> None:
    paired = pair(drawn, limit)
    sides = [
        {(s.response.strip(), s.answer) for s in drawn if s.verdict.outcome == o}
        for o in ("correct", "wrong")
    ]
    if all(sides):
        assert paired.pairs


@given(samples, limits)
def test_balanced_over_the_right_answers(drawn: list[Judged], limit: int) -> None:
    used = Counter(chosen.response for chosen, _ in pair(drawn, limit).pairs)
    assert not used or max(used.values()) - min(used.values()) <= 1


@given(samples, limits)
def test_the_same_samples_give_the_same_pairs(drawn: list[Judged], limit: int) -> None:
    assert pair(drawn, limit) == pair(list(drawn), limit)


def test_every_wrong_answer_is_used_before_any_is_used_twice() -> None:
    drawn = [
        judged("correct", "7"),
        *[judged("wrong", a, f"{a} {i}") for i, a in enumerate(["1", "1", "1", "2", "3"])],
    ]
    assert [b.answer for _, b in pair(drawn, 3).pairs] == ["1", "2", "3"]


def test_the_nearest_in_length_is_taken() -> None:
    drawn = [
        judged("correct", "7", "x" * 10),
        judged("correct", "7", "y" * 100),
        judged("wrong", "1", "z" * 90),
    ]
    ((chosen, _),) = pair(drawn, 1).pairs
    assert chosen.response == "y" * 100


def test_duplicates_are_left_out_and_counted() -> None:
    drawn = [
        judged("correct", "7", "It is 7."),
        judged("correct", "7", "it is  7"),
        judged("wrong", "8", "It is 8."),
    ]
    paired = pair(drawn, 15)
    assert (len(paired.pairs), paired.duplicates) == (1, 1)


def test_signs_keep_two_responses_apart() -> None:
    drawn = [judged("correct", "5", "It is 5."), judged("wrong", "-5", "It is -5.")]
    assert len(pair(drawn, 15).pairs) == 1


def test_sides() -> None:
    a, b = judged("correct", "7"), judged("wrong", "8")
    unsure, unread = judged("undecided", "x", reason="nomatch"), judged("undecided", reason="format")
    assert pair([a, b], 1).side == "mixed"
    assert pair([a, unread], 1).side == "easy"
    assert pair([b, unread], 1).side == "hard"
    assert pair([b, unsure], 1).side == "open"  # the undecided one may be right
    assert pair([unread], 1).side == "open"


def test_the_accuracy_band_holds_back_pairs() -> None:
    drawn = [judged("correct", "7"), *[judged("wrong", str(n)) for n in range(3)]]
    assert pair(drawn, 15, (0.3, 0.8)).pairs == ()
    assert not pair(drawn, 15, (0.3, 0.8)).in_band
    assert pair(drawn, 15, (0.25, 0.8)).pairs


def test_a_right_answer_that_was_cut_off_is_not_chosen() -> None:
    cut_off = msgspec.structs.replace(judged("correct", "7", "so 7, and then"), finish_reason="length")
    whole, bad = judged("correct", "7", "so it is 7"), judged("wrong", "8")
    assert pair([cut_off, bad], 5).pairs == ()
    assert [chosen.response for chosen, _ in pair([cut_off, whole, bad], 5).pairs] == ["so it is 7"]


def test_near_duplicates_are_left_out_and_counted() -> None:
    words = " ".join(f"word{chr(97 + n)}" for n in range(26))
    drawn = [
        judged("correct", "7", f"{words} gives 7"),
        judged("correct", "7", f"{words} makes 7"),  # one word of 28 differs
        judged("correct", "7", f"{words} gives 7 of 9"),  # another number
        judged("wrong", "8", f"{words} gives 7"),  # another answer
    ]
    paired = pair(drawn, 15)
    assert (paired.duplicates, paired.near_duplicates) == (0, 1)
    assert [chosen.response for chosen, _ in paired.pairs] == [drawn[0].response, drawn[2].response]


def test_a_reference_stands_in_only_where_nothing_is_right() -> None:
    given = msgspec.structs.replace(judged("correct", "7", "given"), reference=True)
    a, b = judged("correct", "7"), judged("wrong", "8")
    forced = pair([b], 5, reference=given)
    assert [(chosen.response, forced.forced, forced.side) for chosen, _ in forced.pairs] == [
        ("given", True, "hard")
    ]
    assert not pair([a, b], 5, reference=given).forced
    assert pair([a], 5, reference=given).pairs == ()
    assert pair([judged("undecided", reason="format")], 5, reference=given).pairs == ()
