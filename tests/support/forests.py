"""Opens a tiny model and its trees the way a run does, for tests that look inside."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from prefdata import images
from trainers import attention, families
from trainers.config import TrainConfig
from trainers.grow import grow as grow_trees
from trainers.logprobs import AnswerHead
from trainers.pixels import PixelStore
from trainers.rows import RowMaker
from trainers.trees import Branch, Tree

TREES = tempfile.TemporaryDirectory(prefix="prefdata-trees-")
"""Tokenised rows of all tests of one process."""


@dataclass
class Grove:
    """A loaded model, its trees and what makes rows of them."""

    opened: families.Opened
    model: Any
    head: AnswerHead
    trees: Sequence[Tree]
    maker: RowMaker


def config(model: Path, data: Path, output: Path | str = "unused", **settings: Any) -> TrainConfig:
    """Settings of a small run without DeepSpeed."""
    usual: dict[str, Any] = {
        "stage": "mpo", "batch_size": 4, "learning_rate": 1e-3, "deepspeed": "none", "tree_cache": TREES.name,
    }  # fmt: skip
    return TrainConfig(model=str(model), data=str(data), output_dir=str(output), **usual | settings)


def grow(model: Path, data: Path, **settings: Any) -> Grove:
    """Model with the forest attention, and the trees of `data`."""
    opened = families.open_model(str(model))
    store = PixelStore(opened)
    return plant(opened, store, grow_trees(config(model, data, **settings), opened, store).trees)


def plant(opened: families.Opened, store: PixelStore, trees: Sequence[Tree]) -> Grove:
    """A freshly loaded model with the forest attention, for trees that were made before."""
    loaded = families.load_weights(opened, torch.float32)
    attention.install(loaded)
    maker = RowMaker(store, opened.pad_id, 4096, torch.device("cpu"), torch.float32)
    return Grove(opened, loaded, AnswerHead(loaded), trees, maker)


def ordinary_logps(grove: Grove, trees: Sequence[Tree]) -> torch.Tensor:
    """The oracle: each branch alone through a freshly loaded model's ordinary forward, logits and log_softmax."""
    model = families.load_weights(grove.opened, torch.float32)
    return torch.cat([logps for tree in trees for logps in alone(model, grove, tree)])


def alone(model: Any, grove: Grove, tree: Tree) -> list[torch.Tensor]:
    """Log-probabilities of each branch's supervised tokens, one plain forward per branch.

    The model counts positions and makes masks itself, from nothing but ids and what the processor makes of the images.
    """
    found = []
    for branch in tree.branches:
        logits = model(**plain_inputs(grove, tree, branch)).logits[0, len(tree.trunk) - 1 : -1]
        wanted = torch.tensor(branch.supervised)
        targets = torch.tensor(branch.ids)
        found.append(logits.log_softmax(-1)[torch.arange(len(targets)), targets][wanted])
    return found


def plain_inputs(grove: Grove, tree: Tree, branch: Branch) -> dict[str, Any]:
    """What anybody would give the model for one whole conversation."""
    processor = grove.opened.processor
    ids = torch.tensor([[*tree.trunk, *branch.ids]])
    inputs: dict[str, Any] = {}
    if tree.images:
        pictures = [images.load_rgb(image) for image in tree.images]
        text = processor.image_token * len(pictures)
        out = processor(text=[text], images=pictures, return_tensors="pt")
        inputs = {key: out[key] for key in grove.opened.family.pixels if key in out}
        if "mm_token_type_ids" in out:
            inputs["mm_token_type_ids"] = ids.eq(grove.opened.image_token_id or -1).int()
    return {"input_ids": ids, **inputs}


def one_branch(tree: Tree, number: int) -> Tree:
    """A tree with one of its branches only."""
    return replace(tree, branches=(tree.branches[number],), pairs=())
