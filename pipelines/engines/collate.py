"""Prepared requests to batches: prompts padded left, image tensors joined over the rows that have any.

Used by `transformers.py`. Processors disagree on the shape of image tensors. Flat ones ([images, channels, ...],
[patches, features]) join over rows, and rows without images may stand between them. Five-dimensional ones keep a
dimension per row or per image's tiles, so only rows of the very same shapes go together.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

# Values for the tokens that pad a prompt; everything else is padded with 0.
_PER_TOKEN = ("input_ids", "attention_mask", "token_type_ids", "mm_token_type_ids")


@dataclass(frozen=True, slots=True)
class Row:
    """One prepared request: its place in the group and its tensors."""

    place: int
    tensors: dict[str, torch.Tensor]

    @property
    def length(self) -> int:
        """Tokens of the prompt, image tokens included."""
        return int(self.tensors["input_ids"].shape[1])

    @property
    def shapes(self) -> tuple[Any, ...]:
        """What rows with images must have in common to share a batch; empty for a row without."""
        images = {name: value for name, value in self.tensors.items() if name not in _PER_TOKEN}
        rigid = any(value.ndim >= 5 for value in images.values())
        return tuple(
            sorted((name, rigid, tuple(value.shape[0 if rigid else 1 :])) for name, value in images.items())
        )


def split(rows: Sequence[Row], samples: Mapping[int, int], most: int) -> list[list[Row]]:
    """Cut a group into batches of at most `most` sequences, alike in shape and samples, long prompts first."""
    shapes = {row.shapes for row in rows} - {()}
    flat = [shape for shape in shapes if not any(rigid for _, rigid, _ in shape)]
    # Rows without images go along with those that have some, where there is only one kind of these.
    company = flat[0] if len(shapes) == len(flat) == 1 else ()
    kinds: dict[tuple[Any, ...], list[Row]] = {}
    for row in sorted(rows, key=lambda row: -row.length):
        kinds.setdefault((samples[row.place], row.shapes or company), []).append(row)
    batches = []
    for (copies, _), alike in kinds.items():
        size = max(1, most // copies)
        batches += [alike[start : start + size] for start in range(0, len(alike), size)]
    return batches


def collate(rows: Sequence[Row], pad_id: int) -> dict[str, torch.Tensor]:
    """The tensors of a batch, prompts padded left to [rows, tokens]."""
    width = max(row.length for row in rows)
    names = {name: None for row in rows for name in row.tensors}
    batch = {}
    for name in names:
        if name in _PER_TOKEN:
            value = pad_id if name == "input_ids" else 0
            columns = [row.tensors.get(name, torch.zeros(1, row.length, dtype=torch.long)) for row in rows]
            batch[name] = torch.cat(
                [torch.nn.functional.pad(part, (width - part.shape[1], 0), value=value) for part in columns]
            )
        else:
            batch[name] = torch.cat([row.tensors[name] for row in rows if name in row.tensors])
    return batch
