"""How verdicts agree with labels: the two ways to be wrong are told apart, and undecided is neither."""

from collections import Counter

from pipelines.judging.verdict import Outcome


class Agreement:
    """Counts of (verdict, label) over some answers; a label says whether the answer is right."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[Outcome, bool]] = Counter()

    def add(self, outcome: Outcome, label: bool) -> None:
        """Count one answer."""
        self._counts[outcome, label] += 1

    @property
    def answers(self) -> int:
        """All answers."""
        return self._counts.total()

    @property
    def right(self) -> int:
        """Answers labelled right."""
        return sum(count for (_, label), count in self._counts.items() if label)

    @property
    def agreed(self) -> int:
        """Decided, and as the label says."""
        return self._counts["correct", True] + self._counts["wrong", False]

    @property
    def false_wrong(self) -> int:
        """Right answers called wrong: the most harmful mistake, they would be rejected in a pair."""
        return self._counts["wrong", True]

    @property
    def false_correct(self) -> int:
        """Wrong answers called correct."""
        return self._counts["correct", False]

    @property
    def decided(self) -> int:
        """Answers called correct or wrong."""
        return self.agreed + self.false_wrong + self.false_correct

    def undecided(self, label: bool) -> int:
        """Undecided answers of this label."""
        return self._counts["undecided", label]
