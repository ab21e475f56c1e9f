"""`--group-by-question`: all answers of one question under one trunk, with all their pairs.

Where it stands: between the trees of single rows (`grow.py`) and the plan. The rows that an epoch draws are grouped, so
a mixture's counts hold: a row drawn twice has its pairs twice. The decision to question: nothing is approximated.
An answer that stands in several pairs is run once and takes part in each of them; its weight in the generation loss is
how often it is chosen. The gradient is therefore that of the single pairs, from a fraction of the tokens; only which
pairs share a step differs, and steps no longer mix as many questions.
"""

from collections.abc import Sequence
from dataclasses import replace

from trainers.config import TrainConfig
from trainers.trees import Branch, LazyTrees, Measure, Tree, measured


def merge(trees: Sequence[Tree]) -> Tree:
    """One tree with the answers and pairs of all, which have the same trunk and images."""
    branches: dict[str, Branch] = {}
    numbers: dict[str, int] = {}
    pairs: list[tuple[int, int]] = []
    margins: list[float] = []
    for tree in trees:
        for key, branch in zip(tree.branch_keys, tree.branches, strict=True):
            if key in branches:
                kept = branches[key]
                branches[key] = replace(kept, liked=kept.liked + branch.liked)
            else:
                numbers[key] = len(branches)
                branches[key] = branch
        at = [numbers[key] for key in tree.branch_keys]
        pairs += [(at[chosen], at[rejected]) for chosen, rejected in tree.pairs]
        margins += tree.margins or [0.0] * len(tree.pairs)
    first = trees[0]
    place = first.place + (f" and {len(trees) - 1} more" if len(trees) > 1 else "")
    kept_margins = tuple(margins) if any(tree.margins for tree in trees) else ()
    return Tree(place, first.trunk, tuple(branches.values()), tuple(pairs), first.images, kept_margins)


class Groups(LazyTrees):
    """The trees of single rows, and behind them the grouped trees that epochs asked for, merged when they are read."""

    def __init__(self, single: Sequence[Tree], config: TrainConfig) -> None:
        """A question with more pairs than a step or more tokens than a row becomes several trees."""
        self.single = single
        self.batch_size, self.max_tokens = config.batch_size, config.max_tokens
        self._measures: list[Measure] = list(measured(single))
        self._members: list[tuple[int, ...]] = []
        self._known: dict[tuple[int, ...], list[int]] = {}

    def order(self, drawn: Sequence[int]) -> list[int]:
        """An epoch's grouped trees from its single ones: a question comes where its first row was drawn."""
        questions: dict[str, list[int]] = {}
        for number in drawn:
            questions.setdefault(self._measures[number].question, []).append(number)
        # Sorted, so that a question whose rows are drawn in another order is the same group again.
        return [tree for members in questions.values() for tree in self._grouped(tuple(sorted(members)))]

    @property
    def measures(self) -> Sequence[Measure]:
        """Those of the single trees and of the groups so far."""
        return self._measures

    def __len__(self) -> int:
        return len(self._measures)

    def tree(self, number: int) -> Tree:
        """A single tree, or a group behind them."""
        if number < len(self.single):
            return self.single[number]
        return merge([self.single[member] for member in self._members[number - len(self.single)]])

    def _grouped(self, members: tuple[int, ...]) -> list[int]:
        if members not in self._known:
            self._known[members] = self._cut(members) if len(members) > 1 else [members[0]]
        return self._known[members]

    def _cut(self, members: tuple[int, ...]) -> list[int]:
        """One new tree, or as many as the pairs of a step and the tokens of a row make necessary."""
        trees = {number: self.single[number] for number in members}
        parts: list[list[int]] = []
        answers: set[str] = set()
        tokens = units = 0  # of the last part; counted, because merging to count hashes every answer again
        for number in members:
            tree, more = trees[number], self._measures[number].units
            lengths = {key: len(b.inputs) for key, b in zip(tree.branch_keys, tree.branches, strict=True)}
            fresh = sum(length for key, length in lengths.items() if key not in answers)
            if not parts or tokens + fresh > self.max_tokens or units + more > self.batch_size:
                parts.append([])
                answers, tokens, units = set(), len(tree.trunk), 0
                fresh = sum(lengths.values())
            parts[-1].append(number)
            answers |= lengths.keys()
            tokens, units = tokens + fresh, units + more
        return [self._number(tuple(part), trees) for part in parts]

    def _number(self, members: tuple[int, ...], trees: dict[int, Tree]) -> int:
        if len(members) == 1:
            return members[0]
        self._members.append(members)
        self._measures.append(merge([trees[one] for one in members]).measure)
        return len(self._measures) - 1
