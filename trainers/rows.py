"""Makes rows on the device: shared or plain, one way for training, for the reference and for the self-check.

Where it stands: holds what `forest.py` needs besides trees (pixels, padding, device) and the limit of `--max-tokens`.
The decision to question: the layout stays on the CPU. It is read there once per row; on a GPU every layer would wait
for its copy.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch

from trainers.forest import Feed, Row, pack, pad
from trainers.pixels import PixelStore
from trainers.plan import pack_rows
from trainers.positions import Positions
from trainers.trees import Tree, measured


@dataclass(frozen=True)
class RowMaker:
    """Settings of row making; `share` chooses the form."""

    pixels: PixelStore
    pad_id: int
    max_tokens: int
    device: torch.device
    dtype: torch.dtype
    """Type of the weights and of pixel inputs."""
    autocast_to: torch.dtype | None = None
    """Compute type where it is not the weights' own."""
    share: bool = True
    rank: int = 0
    processes: int = 1
    dummy: Tree | None = None
    """Added to rows without images, see `with_dummy`."""

    def plain(self) -> "RowMaker":
        """The same with the padded form."""
        return replace(self, share=False)

    def with_dummy(self) -> "RowMaker":
        """The same, but rows without an image carry one that no answer sees.

        Every process then runs the vision tower in every pass: under ZeRO-3 its weights are gathered by all together,
        and elsewhere their gradients are summed by all together; a process that has none would leave the others
        waiting. Nothing is scored on the image's tokens, so its gradients are exactly zero. One process does the
        same, for AdamW moves a weight with a zero gradient and leaves one without.
        """
        return replace(self, dummy=self.pixels.dummy())

    def autocast(self) -> torch.autocast:
        """The context in which the model runs outside Trainer."""
        return torch.autocast(self.device.type, self.autocast_to, enabled=self.autocast_to is not None)

    def make(self, trees: Sequence[Tree]) -> Row:
        """A row of these trees, ready for the model."""
        return self.move(self.host(trees))

    def host(self, trees: Sequence[Tree]) -> Row:
        """A row on the CPU: what a loader prepares ahead."""
        fed = list(trees)
        if self.dummy is not None and not any(tree.images for tree in trees):
            fed.append(self.dummy)
        row = pack(fed, self.feed) if self.share else pad(fed, self.feed, self.pad_id)
        return {**row, "trees": list(trees)}

    @cached_property
    def feed(self) -> Feed:
        """What rows need besides tokens."""
        opened = self.pixels.opened
        return Feed(self.pixels.load, Positions(opened), opened.family.join)

    def move(self, row: Row) -> Row:
        """Put a row on the device; the layout of a shared row stays where it is."""
        forward = {key: self._moved(key, value) for key, value in row["forward"].items()}
        tensors: Any = {
            key: value.to(self.device, non_blocking=True)
            for key, value in row.items()
            if isinstance(value, torch.Tensor)
        }
        moved: Row = {**row, **tensors, "forward": forward}
        return moved

    def cut(self, trees: Sequence[Tree]) -> list[list[int]]:
        """Tree numbers in rows of at most `max_tokens`, for a pass over all trees."""
        sizes = [measure.shared if self.share else measure.plain for measure in measured(trees)]
        return pack_rows(list(range(len(trees))), sizes, self.max_tokens)

    def _moved(self, key: str, value: Any) -> Any:
        if not isinstance(value, torch.Tensor) or (self.share and key == "attention_mask"):
            return value
        return value.to(self.device, self.dtype if value.is_floating_point() else None, non_blocking=True)


def some_have_images(*trees: Sequence[Tree]) -> bool:
    """Whether images go with some of the trees and not with others."""
    return len({one.images > 0 for some in trees for one in measured(some)}) > 1
