"""The self-check at start: does the shared path give the log-probabilities of plain separate sequences?

Where it stands: once per run, on the first trees, before anything is computed from either path. The ordinary side
uses the model's own logits, masks and positions on one unpadded sequence at a time, so that a fault in the attention,
the positions, the layout, the padding or the replaced head shows. The decision to question: it falls back to the padded
path instead of stopping, because that one is checked just the same; `--require-share` stops.

A model outside the table of `families.py` is let in by this check alone. It cannot see a sliding window that is longer
than its rows, so such a model takes the padded path where its rows may be longer than its window.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from prefdata.errors import EXIT_DATA, PrefdataError
from prefdata.progress import say
from trainers.logprobs import AnswerHead
from trainers.positions import modality
from trainers.rows import RowMaker
from trainers.trees import Tree, measured

_TREES = 3
_TOLERANCE = {torch.float32: 2e-5, torch.bfloat16: 3e-2}
"""Largest mean difference per token. Packing changes the order of sums: about 1e-6 in fp32, 1e-2 in bf16; a wrong
mask shows as 1e-2 and more in fp32, wrong positions as 6e-5 and more."""


class _Refused(PrefdataError):
    """A model's own error about its inputs."""

    def __init__(self, place: str, reason: str) -> None:
        self.reason = reason
        super().__init__(
            f"{place}: the model refuses this row ({reason}); its processor, its weights and this trainer do not "
            "agree.",
            exit_code=EXIT_DATA,
        )


def sharing_holds(
    model: Any, head: AnswerHead, trees: Sequence[Tree], maker: RowMaker, *, required: bool
) -> bool:
    """Compare the shared path with plain sequences and say what was found; False = use the padded path."""
    first = _some(trees)
    fault = _unseen_window(trees, maker) or _other_positions(model, first, maker)
    if fault is None:
        fault = _other_logps(model, head, first, maker, ordinary_logps(model, first, maker))
    fault = _agreed(fault, maker)
    if fault is None:
        return True
    if required:
        raise PrefdataError(
            f"{_name(maker)}: {fault}; train without --require-share to use the padded path.",
            exit_code=EXIT_DATA,
        )
    padded_holds(model, head, first, maker.plain())
    say(f"self-check: {fault}; using the plain padded path")
    return False


def padded_holds(model: Any, head: AnswerHead, trees: Sequence[Tree], maker: RowMaker) -> None:
    """Refuse a model whose padded path or replaced head gives other log-probabilities than its own logits."""
    first = _some(trees)
    difference, _ = compare(model, head, first, maker)
    if not difference <= _limit(maker):
        raise PrefdataError(
            f"{_name(maker)}: this trainer gets other log-probabilities than the model's own logits give "
            f"({difference:.1e} per token apart), so it cannot train this model; it may change its logits behind the "
            "head.",
            exit_code=EXIT_DATA,
        )


def compare(model: Any, head: AnswerHead, trees: Sequence[Tree], maker: RowMaker) -> tuple[float, float]:
    """Mean and largest absolute difference per supervised token between a path and ordinary logits."""
    return _difference(model, head, trees, maker, ordinary_logps(model, trees, maker))


@torch.no_grad()
def ordinary_logps(model: Any, trees: Sequence[Tree], maker: RowMaker) -> torch.Tensor:
    """Log-probabilities of supervised tokens from the model's own logits.

    Every branch by itself: it needs no padding, and one answer's logits are held at a time.
    """
    model.eval()
    found = []
    opened = maker.pixels.opened
    for tree in trees:
        for branch in tree.branches:
            row = maker.plain().make([replace(tree, branches=(branch,), pairs=())])
            forward = row["forward"]
            if maker.feed.positions.axes > 1:
                forward["mm_token_type_ids"] = modality(opened, forward["input_ids"])
            del forward["position_ids"]  # the model counts by itself
            forward["logits_to_keep"] = row["index"]
            with maker.autocast():
                logits = _run(tree, model, forward)[0]
            found.append(logits.float().log_softmax(1).gather(1, row["targets"][:, None])[:, 0])
    return torch.cat(found)


@torch.no_grad()
def _difference(
    model: Any, head: AnswerHead, trees: Sequence[Tree], maker: RowMaker, ordinary: torch.Tensor
) -> tuple[float, float]:
    model.eval()
    row = maker.make(trees)
    head.want(row["index"], row["targets"])
    try:
        with maker.autocast():
            found = _run(trees[0], model, row["forward"])[0, :, 0].float()
    finally:
        head.forget()  # a pass that failed before its head would leave the wish to the next one
    gap = (found - ordinary).abs()
    return float(gap.mean()), float(gap.max())


def _other_logps(
    model: Any, head: AnswerHead, trees: Sequence[Tree], maker: RowMaker, ordinary: torch.Tensor
) -> str | None:
    """Compare log-probabilities of the shared path with ordinary ones."""
    try:
        difference, worst = _difference(model, head, trees, maker, ordinary)
    except _Refused as error:
        return f"the shared path does not run ({error.reason})"
    limit = _limit(maker)
    if not difference <= limit:  # true for NaN as well
        return f"the shared path differs from plain sequences by {difference:.1e} per token, more than {limit:.0e}"
    say(
        f"self-check: shared and plain log-probabilities differ by {difference:.1e} on average, {worst:.1e} at most "
        f"({len(trees)} trees, allowed {limit:.0e})"
    )
    return None


def _other_positions(model: Any, trees: Sequence[Tree], maker: RowMaker) -> str | None:
    """Compare position ids as whole numbers: log-probabilities of a small model hardly move when they are wrong."""
    positions = maker.feed.positions
    inner = getattr(model, "base_model", model)
    counts = getattr(inner, "get_rope_index", None)
    if counts is None:
        return None
    if positions.axes == 1:
        return "its image tokens have positions of several axes, which the shared path does not know for it"
    for tree in trees:
        for branch in tree.branches:
            row = maker.host([replace(tree, branches=(branch,), pairs=())])["forward"]
            ids = row["input_ids"]
            grids = {key: value for key, value in row.items() if key.endswith("_grid_thw")}
            wanted = counts(ids, mm_token_type_ids=modality(maker.pixels.opened, ids), **grids)[0]
            if row["position_ids"].shape != wanted.shape or not torch.equal(row["position_ids"], wanted):
                return "its position ids differ from those that the model counts"
    return None


def _unseen_window(trees: Sequence[Tree], maker: RowMaker) -> str | None:
    opened = maker.pixels.opened
    if opened.proven or opened.window is None:
        return None
    longest = max(tree.longest for tree in trees)  # reads every tree, so it is asked last
    if longest <= opened.window:
        return None
    return (
        f"`{opened.config.model_type}` has a sliding window of {opened.window} tokens and is not proven with a "
        f"shared trunk (the longest row has {longest})"
    )


def _run(tree: Tree, model: Any, forward: dict[str, Any]) -> torch.Tensor:
    """A model's logits; one sentence with the row where it refuses its inputs, which models say in several ways."""
    try:
        logits: torch.Tensor = model(**forward).logits
        return logits
    except torch.OutOfMemoryError:
        raise
    except (ValueError, RuntimeError, IndexError, TypeError) as error:
        raise _Refused(tree.place, " ".join(str(error).split())[:200].rstrip(".")) from error


def _agreed(fault: str | None, maker: RowMaker) -> str | None:
    """A fault that any process has found, as that process says it: all must take the same path.

    Devices round differently, so that near the limit one may find a fault where the others find none.
    """
    found: list[str | None] = [fault]
    if maker.processes > 1:
        found = [None] * maker.processes
        torch.distributed.all_gather_object(found, fault)
    return next((said for said in found if said is not None), None)


def _some(trees: Sequence[Tree]) -> list[Tree]:
    """The first trees, one with an image among them where there is one."""
    pictured = next((number for number, measure in enumerate(measured(trees)) if measure.images), 0)
    return [trees[number] for number in sorted({*range(min(_TREES, len(trees))), pictured})]


def _limit(maker: RowMaker) -> float:
    return _TOLERANCE[maker.autocast_to or maker.dtype]


def _name(maker: RowMaker) -> str:
    return maker.pixels.opened.name
