"""Trees -> one packed row: token ids, positions that restart per tree, the layout, and where answers are scored.

Where it stands: between `plan.py` (which trees share a row) and `trainer.py`. `pack` makes the shared form, `pad` the
plain form with one padded sequence per branch; both come out as the same `Row`, so everything after the model's
forward is common and the two can be compared.

The decision to question: a branch's last token is left out of the input. Nothing is predicted from it, and leaving
it out saves one position per answer. Where a score is read there, the branch says so (`Branch.whole`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

import torch

from trainers.positions import Positions
from trainers.trees import Tree


@dataclass(frozen=True)
class Feed:
    """What a row needs besides tokens: pixel inputs of a tree, positions, and how pixel inputs are joined."""

    pixels: Callable[[Tree], dict[str, torch.Tensor]]
    positions: Positions
    join: int = 0
    """The axis along which pixel inputs of trees are joined."""

    def joined(self, uses: Sequence[tuple[dict[str, torch.Tensor], int]]) -> dict[str, torch.Tensor]:
        """Pixel inputs in the order in which the image tokens appear, each `times` times for the plain form."""
        found: dict[str, list[torch.Tensor]] = {}
        for pixels, times in uses:
            for key, value in pixels.items():
                found.setdefault(key, []).extend([value] * times)
        return {
            key: torch.cat(values, dim=0 if key.endswith("_thw") else self.join)
            for key, values in found.items()
        }


class Row(TypedDict):
    """One forward pass. Branches are numbered over the row; `index`, `targets` and `branch` list supervised tokens."""

    forward: dict[str, Any]
    """Keyword arguments of the model."""
    index: torch.Tensor
    """[supervised] position of the predicting hidden state, counted over the flattened input"""
    targets: torch.Tensor
    """[supervised] token ids"""
    branch: torch.Tensor
    """[supervised] number of the branch a token belongs to"""
    pairs: torch.Tensor
    """[pairs, 2] branch numbers of chosen and rejected"""
    liked: torch.Tensor
    """[branches] weight of a branch's tokens in the generation loss"""
    trees: list[Tree]


def pack(trees: Sequence[Tree], feed: Feed) -> Row:
    """The shared form: batch 1, trunks once, branches after their trunk. A tree without branches is trunk alone."""
    ids: list[int] = []
    positions: list[torch.Tensor] = []
    segments: list[tuple[int, int, int, int]] = []
    pixels: list[dict[str, torch.Tensor]] = []
    scored = _Scored()
    for number, tree in enumerate(trees):
        trunk_start, trunk = len(ids), len(tree.trunk)
        pixels.append(feed.pixels(tree))
        at = feed.positions.trunk(tree.trunk, pixels[-1])
        ids += tree.trunk
        positions.append(at)
        segments.append((number, trunk_start, trunk, 1))
        scored.tree(tree)
        for branch in tree.branches:
            start, length = len(ids), len(branch.inputs)
            if length:
                segments.append((number, start, length, 0))
            ids += branch.inputs
            positions.append(feed.positions.branch(at, length))
            scored.branch(branch.ids, branch.supervised, first=trunk_start + trunk - 1, rest=start)
    forward = {
        "input_ids": torch.tensor([ids]),
        "position_ids": _shaped(torch.cat(positions, dim=1)[:, None]),
        "attention_mask": torch.tensor(segments, dtype=torch.int32)[None, None],
        "use_cache": False,
        **feed.joined([(one, 1) for one in pixels]),
    }
    return scored.row(forward, list(trees))


def pad(trees: Sequence[Tree], feed: Feed, pad_id: int) -> Row:
    """The plain form: one right-padded sequence per branch, an ordinary mask made from lengths.

    A tree without branches is one sequence of its trunk.
    """
    inputs = [[branch.inputs for branch in tree.branches] or [()] for tree in trees]
    width = max(len(tree.trunk) + len(end) for tree, ends in zip(trees, inputs, strict=True) for end in ends)
    rows = sum(map(len, inputs))
    ids = torch.full((rows, width), pad_id)
    mask = torch.zeros(rows, width, dtype=torch.long)
    positions = torch.zeros(feed.positions.axes, rows, width, dtype=torch.long)
    pixels: list[tuple[dict[str, torch.Tensor], int]] = []
    scored = _Scored()
    row = 0
    for tree, ends in zip(trees, inputs, strict=True):
        scored.tree(tree)
        pixels.append((feed.pixels(tree), len(ends)))
        trunk = len(tree.trunk)
        at = feed.positions.trunk(tree.trunk, pixels[-1][0])
        for number, end in enumerate(ends):
            length = trunk + len(end)
            ids[row, :length] = torch.tensor([*tree.trunk, *end])
            mask[row, :length] = 1
            positions[:, row, :trunk] = at
            positions[:, row, trunk:] = feed.positions.branch(at, width - trunk)
            if tree.branches:
                branch = tree.branches[number]
                start = row * width + trunk
                scored.branch(branch.ids, branch.supervised, first=start - 1, rest=start)
            row += 1
    forward = {
        "input_ids": ids,
        "attention_mask": mask,
        "position_ids": _shaped(positions),
        "use_cache": False,
        **feed.joined(pixels),
    }
    return scored.row(forward, list(trees))


def _shaped(positions: torch.Tensor) -> torch.Tensor:
    """[axes, rows, tokens] as models take it: without the first axis where there is one kind of position."""
    return positions[0] if len(positions) == 1 else positions


class _Scored:
    """Collects supervised tokens and pairs while a row is built."""

    def __init__(self) -> None:
        self.index: list[int] = []
        self.targets: list[int] = []
        self.branches: list[int] = []
        self.pairs: list[tuple[int, int]] = []
        self.liked: list[float] = []

    def tree(self, tree: Tree) -> None:
        """Note the pairs of a tree whose branches come next."""
        base = len(self.liked)
        self.pairs += [(base + chosen, base + rejected) for chosen, rejected in tree.pairs]
        self.liked += [float(branch.liked) for branch in tree.branches]
        self._next = base

    def branch(self, ids: Sequence[int], supervised: Sequence[bool], *, first: int, rest: int) -> None:
        """Token 0 is predicted at `first` (the trunk's end), token i at `rest + i - 1`."""
        for offset, (token, wanted) in enumerate(zip(ids, supervised, strict=True)):
            if wanted:
                self.index.append(first if offset == 0 else rest + offset - 1)
                self.targets.append(token)
                self.branches.append(self._next)
        self._next += 1

    def row(self, forward: dict[str, Any], trees: list[Tree]) -> Row:
        """The finished row."""
        return Row(
            forward=forward,
            index=torch.tensor(self.index),
            targets=torch.tensor(self.targets),
            branch=torch.tensor(self.branches),
            pairs=torch.tensor(self.pairs, dtype=torch.long).reshape(-1, 2),
            liked=torch.tensor(self.liked),
            trees=trees,
        )
