"""The counts of a `cot-pairs` run: what run.json, the card and the summary say about it."""

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import product
from typing import Any

from pipelines.pairing import Judged, Paired

_COUNTS = (
    *("questions", "paired", "samples", "pairs", "format_pairs", "duplicates", "near_duplicates"),
    *("forced", "rationales_refused", "answers_fixed"),
)
_SIDES = ("mixed", "hard", "easy", "open", "out_of_band")


class Tally:
    """Counts one question after the other."""

    def __init__(self) -> None:
        self._numbers: Counter[str] = Counter()
        self._outcomes: Counter[str] = Counter()
        self._reasons: Counter[str] = Counter()
        self._gap: dict[str, float] = {}
        self._distance: dict[str, float] = {}

    def add(self, samples: Sequence[Judged], paired: Paired, *, refused: bool) -> None:
        """One question. refused: it brought a rationale that is not right."""
        self._numbers.update(questions=1, samples=len(samples), rationales_refused=refused)
        self._numbers.update(duplicates=paired.duplicates, near_duplicates=paired.near_duplicates)
        self._numbers.update(pairs=len(paired.pairs), format_pairs=len(paired.format_pairs))
        self._numbers.update((paired.side,))
        self._numbers.update(out_of_band=not paired.in_band, forced=paired.forced)
        self._numbers.update(answers_fixed=sum(one.fix is not None for one in samples))
        self._outcomes.update(one.verdict.outcome for one in samples)
        self._reasons.update(one.verdict.reason for one in samples if one.verdict.outcome == "undecided")
        if paired.pairs:
            self._numbers["paired"] += 1
            every = _gaps(product(*paired.candidates))
            kept = _gaps(paired.pairs)
            for name, gaps in (("before", every), ("after", kept)):
                self._gap[name] = self._gap.get(name, 0.0) + sum(gaps) / len(gaps)
                self._distance[name] = self._distance.get(name, 0.0) + sum(map(abs, gaps)) / len(gaps)

    def counts(self) -> dict[str, Any]:
        """All counts.

        length_gap: mean of chosen minus rejected in characters, over questions with pairs: all combinations of the
        right and wrong samples that a pair may hold, then the pairs. length_distance: the same of their absolute
        difference. samples_per_pair: what a kept pair cost.
        """
        paired = self._numbers["paired"]
        return {
            **{name: self._numbers[name] for name in _COUNTS},
            **{name: self._outcomes[name] for name in ("correct", "wrong", "undecided")},
            "undecided_by_reason": dict(sorted(self._reasons.items())),
            **{name: self._numbers[name] for name in _SIDES},
            "length_gap": {name: round(total / paired, 6) for name, total in self._gap.items()},
            "length_distance": {name: round(total / paired, 6) for name, total in self._distance.items()},
            "samples_per_pair": samples_per_pair(self._numbers),
        }


def _gaps(pairs: Iterable[tuple[Judged, ...]]) -> list[int]:
    return [len(chosen.response) - len(rejected.response) for chosen, rejected in pairs]


def samples_per_pair(counts: Any) -> float | None:
    """Samples drawn for each kept pair; None without pairs."""
    return round(counts["samples"] / counts["pairs"], 3) if counts["pairs"] else None


def joined(tallies: Sequence[dict[str, Any]], total: dict[str, Any]) -> dict[str, Any]:
    """The tally of several shards: `total` holds their sums; a mean is weighted by what it is a mean over."""
    means = {
        mean: {
            name: round(
                sum(tally[mean][name] * tally["paired"] for tally in tallies if tally["paired"]) / paired, 6
            )
            for name in ("before", "after")
            if (paired := total["paired"])
        }
        for mean in ("length_gap", "length_distance")
    }
    return total | means | {"samples_per_pair": samples_per_pair(total)}
