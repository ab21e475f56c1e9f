"""Which trees go into which step, on which process, in which packed row: decided before training, the same everywhere.

Where it stands: between the trees and the loop. Every process draws the same epochs (`prefdata.mixtures.epoch`), works
out the whole plan and takes its own part, so ranks see disjoint trees whose union is the plan, and a resumed run
continues in the same order.

The decision to question: the number of packed rows per step is one constant, because the loop underneath has a
constant number of accumulation steps and all processes must take part in each. A step that needs fewer is cut into
more rows; a process with too few trees gets a row of weight 0. The loss is divided by the counts of the whole step
(`pairs`, `tokens`), so none of this changes it.
"""

from bisect import bisect_left, insort
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil

from prefdata.records import content_id
from trainers.needs import refuse_division
from trainers.trees import Measure, Tree, measured


@dataclass(frozen=True)
class PlannedRow:
    """Tree numbers of one packed row; `weight` is 0 for a row that only keeps processes in step."""

    trees: tuple[int, ...]
    weight: int = 1


@dataclass(frozen=True)
class Step:
    """One optimiser step: rows by process, and what its sums are divided by."""

    rows: tuple[tuple[PlannedRow, ...], ...]
    """[processes][rows per step]"""
    pairs: int
    tokens: int
    """Tokens in the generation loss."""
    answers: int = 0
    """Answers in the generation loss."""
    inputs: int = 0
    """Tokens that the model runs."""
    plain_inputs: int = 0
    """Tokens that it would run if every answer had its own copy of the prompt."""

    @property
    def trees(self) -> list[int]:
        """All tree numbers of the step."""
        return [tree for rank in self.rows for row in rank if row.weight for tree in row.trees]

    @property
    def row_count(self) -> int:
        """How many packed rows count, over all processes."""
        return sum(row.weight for rank in self.rows for row in rank)


@dataclass(frozen=True)
class Plan:
    """All steps of a run."""

    steps: tuple[Step, ...]
    rows_per_step: int

    def rows_of(self, rank: int) -> list[tuple[Step, PlannedRow]]:
        """The rows of one process in training order."""
        return [(step, row) for step in self.steps for row in step.rows[rank]]

    @property
    def used(self) -> list[int]:
        """Numbers of the trees that any step holds."""
        return sorted({tree for step in self.steps for tree in step.trees})

    def fingerprint(self, trees: Sequence[Tree]) -> str:
        """A hash of the rows in their order and of how they are dealt out, for a checkpoint counts packed rows;
        `claim.py` compares the settings."""
        measures = measured(trees)
        dealt = [len(self.steps[0].rows), self.rows_per_step]
        return content_id(dealt, [[measures[number].key for number in step.trees] for step in self.steps])


def make_plan(
    trees: Sequence[Tree],
    order: Callable[[int], Sequence[int]],
    *,
    batch_size: int,
    epochs: float,
    max_steps: int,
    processes: int,
    max_tokens: int,
    share: bool,
) -> Plan:
    """Cut the epochs into steps, deal them to processes, pack them into rows.

    order: the tree numbers of an epoch in training order; a tree may be there twice. `batch_size` counts pairs (or
    conversations): a step takes whole trees up to it, so with grouped trees it may hold a few less.
    """
    refuse_division(batch_size, processes)
    members: list[list[int]] = []
    epoch = 0
    while len(members) < max_steps if max_steps else epoch < epochs:
        steps_of_epoch = cut_steps(order(epoch), measured(trees), batch_size)
        share_of_epoch = 1.0 if max_steps else min(1.0, epochs - epoch)
        members += steps_of_epoch[: max(1, ceil(len(steps_of_epoch) * share_of_epoch))]
        epoch += 1
    del members[max_steps or len(members) :]
    measures = measured(trees)  # after the last epoch was drawn: drawing may add grouped trees
    sizes = [one.shared if share else one.plain for one in measures]
    dealt = [_deal(step, sizes, processes) for step in members]
    packed = [[pack_rows(rank, sizes, max_tokens) for rank in step] for step in dealt]
    rows_per_step = max(len(rows) for step in packed for rows in step)
    smallest = min(range(len(sizes)), key=lambda tree: (sizes[tree], tree))
    steps = [
        Step(
            rows=tuple(_fill(rows, rows_per_step, smallest) for rows in step),
            pairs=sum(measures[tree].pairs for tree in inside),
            tokens=sum(measures[tree].tokens for tree in inside),
            answers=sum(measures[tree].answers for tree in inside),
            inputs=sum(sizes[tree] for tree in inside),
            plain_inputs=sum(measures[tree].plain for tree in inside),
        )
        for step, inside in zip(packed, members, strict=True)
    ]
    return Plan(tuple(steps), rows_per_step)


def cut_steps(order: Sequence[int], measures: Sequence[Measure], batch_size: int) -> list[list[int]]:
    """Tree numbers of each step: whole trees in their order, while their pairs fit into `batch_size`."""
    steps: list[list[int]] = []
    room = 0
    for tree in order:
        units = measures[tree].units
        if not steps or units > room:
            steps.append([])
            room = batch_size
        steps[-1].append(tree)
        room -= units
    return steps


def _deal(members: list[int], sizes: list[int], processes: int) -> list[list[int]]:
    """Give processes equal numbers of trees with about equal tokens: longest first, back and forth."""
    ranks: list[list[int]] = [[] for _ in range(processes)]
    for number, tree in enumerate(sorted(members, key=lambda tree: (-sizes[tree], tree))):
        turn, place = divmod(number, processes)
        ranks[place if turn % 2 == 0 else processes - 1 - place].append(tree)
    return ranks


def pack_rows(members: Sequence[int], sizes: Sequence[int], max_tokens: int) -> list[list[int]]:
    """Best fit of trees, longest first, into rows of at most `max_tokens`; a longer tree has a row of its own."""
    rows: list[list[int]] = []
    free: list[tuple[int, int]] = []  # (room, row) of rows that are not full, sorted
    for tree in sorted(members, key=lambda tree: (-sizes[tree], tree)):
        place = bisect_left(free, (sizes[tree], 0))
        if place < len(free):
            room, row = free.pop(place)
        else:
            room, row = max_tokens, len(rows)
            rows.append([])
        rows[row].append(tree)
        if room > sizes[tree]:
            insort(free, (room - sizes[tree], row))
    return rows


def _fill(rows: list[list[int]], wanted: int, smallest: int) -> tuple[PlannedRow, ...]:
    """Exactly `wanted` rows: split the fullest, then add rows of weight 0."""
    rows = [list(row) for row in rows]
    while len(rows) < wanted and any(len(row) > 1 for row in rows):
        fullest = max(range(len(rows)), key=lambda number: (len(rows[number]), -number))
        row = rows[fullest]
        rows[fullest] = row[::2]
        rows.append(row[1::2])
    planned = [PlannedRow(tuple(row)) for row in rows]
    return (*planned, *[PlannedRow((smallest,), weight=0)] * (wanted - len(planned)))
