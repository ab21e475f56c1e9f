"""Pixel inputs of trees: made once by the processor, kept in memory up to a budget, made again beyond it.

Where it stands: `build.py` runs each prompt with images through `run`, `forest.py` asks for a tree's tensors with
`load`. Trees that ask about the same image share one copy. The decision to question: the budget is plain memory
instead of a cache on disk; a few thousand pictures fit, and beyond it reading the picture again costs less than
reading its much larger tensor.
"""

from pathlib import Path
from typing import Any

import torch

from prefdata.errors import PrefdataError
from trainers.families import Opened
from trainers.trees import BadRow, Tree

Images = tuple[Path | bytes, ...]


class PixelStore:
    """Tensors of pixel inputs by the images they come from."""

    def __init__(self, opened: Opened, budget: int = 2 << 30) -> None:
        self.opened, self.room = opened, budget
        self._kept: dict[Images, dict[str, torch.Tensor]] = {}

    def run(self, text: str, images: Images) -> tuple[int, ...]:
        """Token ids of a rendered prompt with its image tokens expanded; the pixel inputs are kept for later."""
        try:
            out = self.opened.processor(
                text=[text],
                images=[_open(image) for image in images],
                add_special_tokens=self.opened.adds_special(text),
                return_tensors="pt",
            )
        except (PrefdataError, OSError, ValueError) as error:
            raise BadRow(
                f"has an image that cannot be read ({' '.join(str(error).split()).rstrip('.')})"
            ) from error
        self._keep(images, {key: out[key] for key in self.opened.pixel_keys})
        return tuple(out["input_ids"][0].tolist())

    def load(self, tree: Tree) -> dict[str, torch.Tensor]:
        """The pixel inputs of a tree."""
        kept = self._kept.get(tree.images)
        if kept is None:
            out = self.opened.processor.image_processor(
                [_open(image) for image in tree.images], return_tensors="pt"
            )
            kept = {key: out[key] for key in self.opened.pixel_keys}
        return kept

    def _keep(self, images: Images, tensors: dict[str, torch.Tensor]) -> None:
        size = sum(value.nbytes for value in tensors.values())
        if images not in self._kept and size <= self.room:
            self.room -= size
            self._kept[images] = tensors


def _open(source: Path | bytes) -> Any:
    from prefdata import images

    return images.load_rgb(source)
