"""Right with wrong: which samples of one question become pairs.

Judged samples of one question come in, pairs go out; there is no randomness, so the same samples give the same
pairs. Only `correct` x `wrong` is a correctness pair and only `correct` x `undecided(format)` a format pair: an
undecided answer is never rejected for being wrong, and right never stands against right. The decision to question:
every wrong *answer* is used once before any is used twice, and of the right samples whose turn it is the one nearest
in length is taken, because pairs that differ in length teach length.
"""

from collections.abc import Sequence
from typing import Any, Final, Literal

import msgspec

from pipelines.judging.verdict import CUT_OFF, Verdict
from prefdata.formats.mmpr import squeezed

_OPEN: Final = frozenset(("format", "truncated"))
"""Reasons that leave no answer to look at; any other undecided answer might be right, so the question stays open."""


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """One sample with its verdict. `meta` is provenance that travels into the pair."""

    response: str
    verdict: Verdict
    finish_reason: str = "stop"
    seed: int | None = None
    meta: dict[str, Any] = {}

    @property
    def answer(self) -> str:
        """The form by which two answers are the same."""
        return self.verdict.normalised or self.verdict.extracted or ""


class Paired(msgspec.Struct, frozen=True, kw_only=True):
    """What one question gave. `side` says whether all of its answers were right (easy) or wrong (hard)."""

    pairs: tuple[tuple[Judged, Judged], ...] = ()
    format_pairs: tuple[tuple[Judged, Judged], ...] = ()
    side: Literal["hard", "easy", "mixed", "open"]
    duplicates: int = 0
    in_band: bool = True


def distinct(samples: Sequence[Judged]) -> tuple[list[Judged], int]:
    """Samples without those that say the same as an earlier one, and how many were left out.

    Signs carry meaning in answers, so two responses are the same only if their answers are too.
    """
    seen: set[tuple[str, str]] = set()
    kept = []
    for sample in samples:
        key = (squeezed(sample.response), sample.answer)
        if key not in seen:
            seen.add(key)
            kept.append(sample)
    return kept, len(samples) - len(kept)


def pair(samples: Sequence[Judged], limit: int, band: tuple[float, float] = (0.0, 1.0)) -> Paired:
    """Pair the samples of one question: at most `limit` correctness pairs and as many format pairs.

    band: pairs are made only where the share of right among right and wrong lies in it (both ends included).
    """
    right = [s for s in samples if s.verdict.outcome == "correct"]
    wrong = [s for s in samples if s.verdict.outcome == "wrong"]
    open_ = [s for s in samples if s.verdict.outcome == "undecided" and s.verdict.reason not in _OPEN]
    side: Literal["hard", "easy", "mixed", "open"]
    side = (
        "mixed"
        if right and wrong
        else "open"
        if open_ or not (right or wrong)
        else "easy"
        if right
        else "hard"
    )
    kept, duplicates = distinct(samples)
    if right or wrong:
        accuracy = len(right) / (len(right) + len(wrong))
        if not band[0] <= accuracy <= band[1]:
            return Paired(side=side, duplicates=duplicates, in_band=False)
    # An answer that was cut off has no end to learn from: it is right, but not chosen.
    right = [s for s in kept if s.verdict.outcome == "correct" and s.finish_reason not in CUT_OFF]
    answers = {s.answer for s in right}
    # The same normalised answer on both sides would be a judge at odds with itself: such a sample is not used.
    wrong = [s for s in kept if s.verdict.outcome == "wrong" and s.answer not in answers]
    unformed = [s for s in kept if s.verdict.outcome == "undecided" and s.verdict.reason == "format"]
    return Paired(
        pairs=tuple(_select(right, _by_distinct_answer(wrong), limit)),
        format_pairs=tuple(_select(right, unformed, limit)),
        side=side,
        duplicates=duplicates,
    )


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
