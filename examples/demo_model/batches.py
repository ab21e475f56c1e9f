"""Training batches for the demo model: scenes and answers turned into tensors.

Between the task generator and `train.py`. A batch is the keyword arguments of the model's forward pass. Rows
without a picture have no image tokens, and `pixel_values` holds the pictures of the other rows only, as the model
expects it. The tokens are made by the same tokenizer and chat layout that ship with the model.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from build import IMAGE_TOKENS
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from prefdata.demo.scenes import Scene, render
from prefdata.demo.words import ASSISTANT, EOS, IMAGE, USER

IGNORED = -100


@dataclass(frozen=True, slots=True)
class Row:
    """One training row. The loss covers `answer` from the character `loss_from` on, and the end token."""

    scene: Scene
    question: str
    answer: str
    with_image: bool = True
    loss_from: int = 0


def pixels(scenes: Sequence[Scene]) -> Tensor:
    """The pictures as the model's processor would give them: `[scenes, 3, side, side]`, -1 to 1."""
    stacked = np.stack([np.asarray(render(scene)) for scene in scenes])
    return torch.from_numpy(stacked).permute(0, 3, 1, 2).float().div_(127.5).sub_(1.0)


def collate(rows: Sequence[Row], tokenizer: PreTrainedTokenizerFast) -> dict[str, Tensor]:
    """`input_ids`, `attention_mask`, `labels` (`[rows, tokens]`, padded right) and `pixel_values`."""
    sequences, labels = [], []
    for row in rows:
        prompt = f"{USER}{IMAGE * IMAGE_TOKENS if row.with_image else ''}{row.question}{ASSISTANT}"
        context = tokenizer.encode(prompt + row.answer[: row.loss_from], add_special_tokens=False)
        target = tokenizer.encode(row.answer[row.loss_from :] + EOS, add_special_tokens=False)
        sequences.append(context + target)
        labels.append([IGNORED] * len(context) + target)
    length = max(map(len, sequences))
    pad = tokenizer.pad_token_id
    batch = {
        "input_ids": torch.tensor([ids + [pad] * (length - len(ids)) for ids in sequences]),
        "attention_mask": torch.tensor([[1] * len(ids) + [0] * (length - len(ids)) for ids in sequences]),
        "labels": torch.tensor([ids + [IGNORED] * (length - len(ids)) for ids in labels]),
    }
    pictured = [row.scene for row in rows if row.with_image]
    if pictured:
        batch["pixel_values"] = pixels(pictured)
    return batch
