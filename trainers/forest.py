"""Trees -> one packed row: token ids, positions that restart per tree, the layout, and where answers are scored.

Where it stands: between `plan.py` (which trees share a row) and `trainer.py`. `pack` makes the shared form, `pad` the
plain form with one padded sequence per branch; both come out as the same `Row`, so everything after the model's
forward is common and the two can be compared.

The decision to question: a branch's last token is left out of the input. Nothing is predicted from it, and leaving
it out saves one position per answer. Where a score is read there, the branch says so (`Branch.whole`).
"""

from collections.abc import Callable, Sequence
from typing import Any, TypedDict

import torch

from trainers.trees import Tree

PixelLoader = Callable[[Tree], dict[str, torch.Tensor]]


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


def pack(trees: Sequence[Tree], pixels: PixelLoader) -> Row:
    """The shared form: batch 1, trunks once, branches after their trunk."""
    ids: list[int] = []
    positions: list[int] = []
    segments: list[tuple[int, int, int, int]] = []
    scored = _Scored()
    for number, tree in enumerate(trees):
        trunk_start, trunk = len(ids), len(tree.trunk)
        ids += tree.trunk
        positions += range(trunk)
        segments.append((number, trunk_start, trunk, 1))
        scored.tree(tree)
        for branch in tree.branches:
            start, length = len(ids), len(branch.inputs)
            if length:
                segments.append((number, start, length, 0))
            ids += branch.inputs
            positions += range(trunk, trunk + length)
            scored.branch(branch.ids, branch.supervised, first=trunk_start + trunk - 1, rest=start)
    forward = {
        "input_ids": torch.tensor([ids]),
        "position_ids": torch.tensor([positions]),
        "attention_mask": torch.tensor(segments, dtype=torch.int32)[None, None],
        "use_cache": False,
        **_pixels([(tree, 1) for tree in trees], pixels),
    }
    return scored.row(forward, list(trees))


def pad(trees: Sequence[Tree], pixels: PixelLoader, pad_id: int) -> Row:
    """The plain form: one right-padded sequence per branch, an ordinary mask made from lengths."""
    sequences = [(tree, branch) for tree in trees for branch in tree.branches]
    width = max(len(tree.trunk) + len(branch.inputs) for tree, branch in sequences)
    ids = torch.full((len(sequences), width), pad_id)
    mask = torch.zeros(len(sequences), width, dtype=torch.long)
    scored = _Scored()
    row = 0
    for tree in trees:
        scored.tree(tree)
        for branch in tree.branches:
            whole = [*tree.trunk, *branch.inputs]
            ids[row, : len(whole)] = torch.tensor(whole)
            mask[row, : len(whole)] = 1
            start = row * width + len(tree.trunk)
            scored.branch(branch.ids, branch.supervised, first=start - 1, rest=start)
            row += 1
    forward = {
        "input_ids": ids,
        "attention_mask": mask,
        "position_ids": torch.arange(width).expand(len(sequences), -1).contiguous(),
        "use_cache": False,
        **_pixels([(tree, len(tree.branches)) for tree in trees], pixels),
    }
    return scored.row(forward, list(trees))


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


def _pixels(uses: list[tuple[Tree, int]], load: PixelLoader) -> dict[str, torch.Tensor]:
    """Pixel inputs in the order in which the image tokens appear; `times` > 1 repeats them for the plain form."""
    found: dict[str, list[torch.Tensor]] = {}
    for tree, times in uses:
        if tree.images:
            for key, value in load(tree).items():
                found.setdefault(key, []).extend([value] * times)
    return {key: torch.cat(values) for key, values in found.items()}
