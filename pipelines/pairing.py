"""Right with wrong: which samples of one question become pairs.

Judged samples of one question come in, pairs go out; there is no randomness, so the same samples give the same
pairs. Only `correct` x `wrong` is a correctness pair and only `correct` x `undecided(format)` a format pair: an
undecided answer is never rejected for being wrong, and right never stands against right. The decision to question:
every wrong *answer* is used once before any is used twice, and of the right samples whose turn it is the one nearest
in length is taken, because pairs that differ in length teach length. Responses that say the same in the same words,
but for case, marks or one word in twenty, count once.
"""

import re
from collections.abc import Sequence
from functools import cached_property
from typing import Any, Final, Literal

import msgspec

from pipelines.filters import alike, numbers_of, words_of
from pipelines.judging.verdict import CUT_OFF, Verdict
from prefdata.formats.mmpr import squeezed

_NO_DIGITS: Final = re.compile(r"\D+")
_OPEN: Final = frozenset(("format", "truncated"))
"""Reasons that leave no answer to look at; any other undecided answer might be right, so the question stays open."""


class Fix(msgspec.Struct, frozen=True, kw_only=True):
    """Another spelling of a right answer: `to` in place of `response[at[0]:at[1]]`, and the verdict on that."""

    at: tuple[int, int]
    to: str
    verdict: Verdict


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """One sample with its verdict. `meta` is provenance that travels into the pair.

    fix: what stands in the pair where the sample is chosen (its answer spelt as the reference is). reference: the
    response was given with the question, not sampled.
    """

    response: str
    verdict: Verdict
    finish_reason: str = "stop"
    seed: int | None = None
    meta: dict[str, Any] = {}
    fix: Fix | None = None
    reference: bool = False

    @property
    def answer(self) -> str:
        """The form by which two answers are the same."""
        return self.verdict.normalised or self.verdict.extracted or ""


class Paired(msgspec.Struct, frozen=True, kw_only=True):
    """What one question gave. `side` says whether all of its answers were right (easy) or wrong (hard).

    duplicates, near_duplicates: samples left out for saying the same as another one. forced: the chosen side of its
    pairs is the reference. candidates: the right and the wrong ones that its pairs were selected from.
    """

    pairs: tuple[tuple[Judged, Judged], ...] = ()
    candidates: tuple[Sequence[Judged], Sequence[Judged]] = ((), ())
    format_pairs: tuple[tuple[Judged, Judged], ...] = ()
    side: Literal["hard", "easy", "mixed", "open"]
    duplicates: int = 0
    near_duplicates: int = 0
    forced: bool = False
    in_band: bool = True


class Usable(msgspec.Struct, frozen=True, kw_only=True):
    """The samples of one question that may stand in a pair, each thing said once."""

    right: list[Judged]
    wrong: list[Judged]
    unformed: list[Judged]
    duplicates: int
    near_duplicates: int


def usable(samples: Sequence[Judged]) -> Usable:
    """Which samples pairs can be made of."""
    kept, duplicates, near = distinct(samples)
    # An answer that was cut off has no end to learn from: it is right, but not chosen.
    right = [s for s in kept if s.verdict.outcome == "correct" and s.finish_reason not in CUT_OFF]
    answers = {s.answer for s in right}
    return Usable(
        right=right,
        # The same normalised answer on both sides would be a judge at odds with itself: such a sample is not used.
        wrong=[s for s in kept if s.verdict.outcome == "wrong" and s.answer not in answers],
        unformed=[s for s in kept if s.verdict.outcome == "undecided" and s.verdict.reason == "format"],
        duplicates=duplicates,
        near_duplicates=near,
    )


class _Said:
    """A response as it is compared with others; most are never compared, as their digits or answers differ."""

    def __init__(self, text: str) -> None:
        self._text = text

    @cached_property
    def squeezed(self) -> str:
        return squeezed(self._text)

    @cached_property
    def numbers(self) -> list[str]:
        return numbers_of(self._text)

    @cached_property
    def words(self) -> list[str]:
        return words_of(self._text)

    def near(self, other: "_Said") -> bool:
        return self.numbers == other.numbers and alike(self.words, other.words)


def distinct(samples: Sequence[Judged]) -> tuple[list[Judged], int, int]:
    """Samples without those that say the same as an earlier one: (kept, the same, nearly the same).

    Signs carry meaning in answers, so two responses are the same only if their answers are too.
    """
    said: dict[tuple[str, str], list[_Said]] = {}
    kept = []
    duplicates = near = 0
    for sample in samples:
        one = _Said(sample.response)
        others = said.setdefault((sample.answer, _NO_DIGITS.sub("", sample.response)), [])
        if any(one.squeezed == other.squeezed for other in others):
            duplicates += 1
        elif any(one.near(other) for other in others):
            near += 1
        else:
            others.append(one)
            kept.append(sample)
    return kept, duplicates, near


def pair(
    samples: Sequence[Judged],
    limit: int,
    band: tuple[float, float] = (0.0, 1.0),
    reference: Judged | None = None,
) -> Paired:
    """Pair the samples of one question: at most `limit` correctness pairs and as many format pairs.

    band: pairs are made only where the share of right among right and wrong lies in it (both ends included).
    reference: stands against the wrong samples where no sample is right.
    """
    right = sum(s.verdict.outcome == "correct" for s in samples)
    wrong = sum(s.verdict.outcome == "wrong" for s in samples)
    found = usable(samples)
    made = Paired(
        side=_side(samples, right, wrong),
        duplicates=found.duplicates,
        near_duplicates=found.near_duplicates,
    )
    if right or wrong:
        accuracy = right / (right + wrong)
        if not band[0] <= accuracy <= band[1]:
            return msgspec.structs.replace(made, in_band=False)
    chosen = found.right
    forced = reference is not None and not right and bool(found.wrong)
    if forced and reference is not None:
        chosen = [reference]
    return msgspec.structs.replace(
        made,
        pairs=tuple(_select(chosen, _by_distinct_answer(found.wrong), limit)),
        candidates=(chosen, found.wrong),
        format_pairs=tuple(_select(found.right, found.unformed, limit)),
        forced=forced,
    )


def _side(samples: Sequence[Judged], right: int, wrong: int) -> Literal["hard", "easy", "mixed", "open"]:
    if right and wrong:
        return "mixed"
    unsure = any(s.verdict.outcome == "undecided" and s.verdict.reason not in _OPEN for s in samples)
    if unsure or not (right or wrong):
        return "open"
    return "easy" if right else "hard"


def _by_distinct_answer(samples: Sequence[Judged]) -> list[Judged]:
    """Round-robin over distinct answers, in the order of their first appearance."""
    turns: dict[str, int] = {}
    order = []
    for index, sample in enumerate(samples):
        turn = turns.get(sample.answer, 0)
        turns[sample.answer] = turn + 1
        order.append((turn, index))
    return [samples[index] for _, index in sorted(order)]


def _select(chosen: Sequence[Judged], rejected: Sequence[Judged], limit: int) -> list[tuple[Judged, Judged]]:
    """Up to `limit` pairs in turns: each turn uses every chosen once, so no chosen is used twice more than another.

    The next rejected is the least used one, in the order given; it meets the chosen nearest to it in length.
    """
    pairs: list[tuple[Judged, Judged]] = []
    taken: set[tuple[int, int]] = set()
    used = [0] * len(rejected)
    waiting: list[int] = []
    for _ in range(min(limit, len(chosen) * len(rejected))):
        waiting = waiting or list(range(len(chosen)))
        for r in sorted(range(len(rejected)), key=lambda r: (used[r], r)):
            free = [c for c in waiting if (c, r) not in taken]
            if free:
                size = len(rejected[r].response)
                best = min(free, key=lambda c: (abs(len(chosen[c].response) - size), c))
                waiting.remove(best)
                taken.add((best, r))
                used[r] += 1
                pairs.append((chosen[best], rejected[r]))
                break
    return pairs
