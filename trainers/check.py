"""The self-check at start: does the shared path give the log-probabilities of plain separate sequences?

Where it stands: once per run, on the first trees, before anything is computed from the shared path. The plain side
uses the model's ordinary logits and ordinary masks, so that a fault in the attention, the positions, the layout or
the replaced head shows. The decision to question: it falls back instead of stopping, because the plain path is always
right, only slower; `--require-share` stops.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from prefdata.errors import EXIT_DATA, PrefdataError
from prefdata.progress import say
from trainers.logprobs import AnswerHead, token_logps
from trainers.rows import RowMaker
from trainers.trees import Tree

_TREES = 3
_TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 3e-2}
"""Largest mean difference per token. Packing changes the order of sums: about 1e-6 in fp32, 1e-2 in bf16; a wrong
mask or position shows as 1e-2 and more in fp32."""


def sharing_holds(
    model: Any, head: AnswerHead, trees: Sequence[Tree], maker: RowMaker, *, required: bool
) -> bool:
    """Compare both paths on the first trees and say what was found; False = use the plain path."""
    first = list(trees[:_TREES])
    difference, worst = compare(model, head, first, maker)
    dtype = maker.autocast_to or maker.dtype
    limit = _TOLERANCE[dtype]
    held = difference <= limit  # False for NaN as well
    say(
        f"self-check: shared and plain log-probabilities differ by {difference:.1e} on average, {worst:.1e} at most "
        f"({len(first)} trees, allowed {limit:.0e})" + ("" if held else "; using the plain padded path")
    )
    if not held and required:
        raise PrefdataError(
            f"The shared path differs from plain sequences by {difference:.1e} per token, more than {limit:.0e}; "
            "train without --require-share to use the plain path.",
            exit_code=EXIT_DATA,
        )
    return held


@torch.no_grad()
def compare(model: Any, head: AnswerHead, trees: Sequence[Tree], maker: RowMaker) -> tuple[float, float]:
    """Mean and largest absolute difference per supervised token between the shared path and ordinary logits.

    The ordinary side runs every branch by itself, so it needs no padding and holds one answer's logits at a time.
    """
    model.eval()
    alone = [replace(tree, branches=(branch,), pairs=()) for tree in trees for branch in tree.branches]
    with maker.autocast():
        shared = token_logps(model, head, maker.make(trees))
        plain = []
        for tree in alone:
            row = maker.plain().make([tree])
            logits = model(**row["forward"], logits_to_keep=row["index"]).logits[0].float()
            plain.append(logits.log_softmax(1).gather(1, row["targets"][:, None])[:, 0])
    gap = (shared - torch.cat(plain)).abs()
    return float(gap.mean()), float(gap.max())
