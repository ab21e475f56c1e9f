"""Which trees go into which step, on which process, in which packed row: decided before training, the same everywhere.

Where it stands: between the trees and the loop. Every process draws the same epochs (`prefdata.mixtures.epoch`), works
out the whole plan and takes its own part, so ranks see disjoint trees whose union is the plan, and a resumed run
continues in the same order.

The decision to question: the number of packed rows per step is one constant, because the loop underneath has a
constant number of accumulation steps and all processes must take part in each. A step that needs fewer is cut into
more rows; a process with too few trees gets a row of weight 0. The loss is divided by the counts of the whole step
(`pairs`, `tokens`), so none of this changes it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil

from prefdata.errors import PrefdataError
from prefdata.records import content_id
from trainers.trees import Tree


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
        """A hash of the rows in their order; `claim.py` compares the settings."""
        return content_id([[trees[number].key for number in step.trees] for step in self.steps])


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

    order: the tree numbers of an epoch in training order, all epochs equally long; a tree may be there twice.
    """
    if batch_size % processes:
        raise PrefdataError(
            f"--batch-size {batch_size} cannot be divided over {processes} processes; choose a multiple of {processes}."
        )
    drawn = {0: order(0)}
    per_epoch = ceil(len(drawn[0]) / batch_size)
    total = max_steps or max(1, ceil(per_epoch * epochs))
    sizes = [tree.shared_tokens if share else tree.plain_tokens for tree in trees]
    dealt = []
    for number in range(total):
        epoch, place = divmod(number, per_epoch)
        if epoch not in drawn:
            drawn = {epoch: order(epoch)}
        members = list(drawn[epoch][place * batch_size : (place + 1) * batch_size])
        dealt.append(_deal(members, sizes, processes))
    packed = [[pack_rows(members, sizes, max_tokens) for members in step] for step in dealt]
    rows_per_step = max(len(rows) for step in packed for rows in step)
    smallest = min(range(len(trees)), key=lambda tree: (sizes[tree], tree))
    steps = []
    for step in packed:
        members = [tree for rank in step for row in rank for tree in row]
        steps.append(
            Step(
                rows=tuple(_fill(rows, rows_per_step, smallest) for rows in step),
                pairs=sum(len(trees[tree].pairs) for tree in members),
                tokens=sum(trees[tree].liked_tokens for tree in members),
                answers=sum(trees[tree].liked_answers for tree in members),
            )
        )
    return Plan(tuple(steps), rows_per_step)


def _deal(members: list[int], sizes: list[int], processes: int) -> list[list[int]]:
    """Give processes equal numbers of trees with about equal tokens: longest first, back and forth."""
    ranks: list[list[int]] = [[] for _ in range(processes)]
    for number, tree in enumerate(sorted(members, key=lambda tree: (-sizes[tree], tree))):
        turn, place = divmod(number, processes)
        ranks[place if turn % 2 == 0 else processes - 1 - place].append(tree)
    return ranks


def pack_rows(members: list[int], sizes: list[int], max_tokens: int) -> list[list[int]]:
    """Best fit of trees, longest first, into rows of at most `max_tokens`; a longer tree has a row of its own."""
    rows: list[list[int]] = []
    room: list[int] = []
    for tree in sorted(members, key=lambda tree: (-sizes[tree], tree)):
        fitting = [row for row in range(len(rows)) if room[row] >= sizes[tree]]
        if fitting:
            best = min(fitting, key=lambda row: (room[row], row))
            rows[best].append(tree)
            room[best] -= sizes[tree]
        else:
            rows.append([tree])
            room.append(max_tokens - sizes[tree])
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
