"""Pixel inputs of trees: made once by the processor, kept in memory up to a budget, made again beyond it.

Where it stands: `build.py` runs each prompt with images through `run`, `forest.py` asks for a tree's tensors with
`load`. Trees that ask about the same image share one copy. The decision to question: the budget is plain memory
instead of a cache on disk; a few thousand pictures fit, and beyond it reading the picture again costs less than
reading its much larger tensor.
"""

from pathlib import Path
from typing import Any

import torch
from xxhash import xxh3_128_hexdigest

from prefdata.errors import EXIT_DATA, PrefdataError
from trainers.families import Opened
from trainers.trees import BadRow, Tree

Images = tuple[Path | bytes, ...]
Key = tuple[Path | str, ...]
"""Images by path, or by a hash of their content: an embedded picture is not kept beside its tensors."""

_DUMMY_SIDE = 64
"""Pixels; processors make of it whatever their models take."""


class PixelStore:
    """Tensors of pixel inputs by the images they come from."""

    def __init__(self, opened: Opened, budget: int = 2 << 30) -> None:
        self.opened, self.room = opened, budget
        self._kept: dict[Key, dict[str, torch.Tensor]] = {}

    def run(self, text: str, images: Images) -> tuple[int, ...]:
        """Token ids of a rendered prompt with its image tokens expanded; the pixel inputs are kept for later."""
        try:
            out = self._process(text, images)
        except (PrefdataError, OSError, ValueError) as error:
            raise BadRow(
                f"has an image that cannot be read ({' '.join(str(error).split()).rstrip('.')})"
            ) from error
        self._keep(images, self._pixels(out))
        return tuple(out["input_ids"][0].tolist())

    def load(self, tree: Tree) -> dict[str, torch.Tensor]:
        """The pixel inputs of a tree; none without images."""
        if not tree.images:
            return {}
        kept = self._kept.get(_key(tree.images))
        if kept is not None:
            return kept
        try:
            # The processor as a whole, not its image part: settings such as tiling are passed between the two.
            out = self._process(self.opened.processor.image_token * len(tree.images), tree.images)
        except (PrefdataError, OSError, ValueError) as error:
            raise PrefdataError(
                f"{tree.place}: has an image that can no longer be read ({' '.join(str(error).split()).rstrip('.')}).",
                exit_code=EXIT_DATA,
            ) from error
        token = self.opened.image_token_id
        now, then = out["input_ids"][0].tolist().count(token), tree.trunk.count(token)
        if now != then:
            raise PrefdataError(
                f"{tree.place}: its images make {now} image tokens and its prompt has {then}: a picture has changed "
                "since the rows were read; start again.",
                exit_code=EXIT_DATA,
            )
        pixels = self._pixels(out)
        if torch.utils.data.get_worker_info() is None:  # each loading process would keep its own
            self._keep(tree.images, pixels)
        return pixels

    def dummy(self) -> Tree:
        """A trunk of one small grey image and no branch: it takes part in a pass and in no loss."""
        from io import BytesIO

        from PIL import Image

        data = BytesIO()
        Image.new("RGB", (_DUMMY_SIDE, _DUMMY_SIDE), (128, 128, 128)).save(data, "PNG")
        images: Images = (data.getvalue(),)
        settings = dict.fromkeys(self.opened.family.one_tile, False)
        out = self._process(self.opened.processor.image_token, images, **settings)
        self._kept[_key(images)] = self._pixels(out)
        return Tree("dummy image", tuple(out["input_ids"][0].tolist()), (), (), images)

    def _process(self, text: str, images: Images, **settings: Any) -> Any:
        return self.opened.processor(
            text=[text],
            images=[_open(image) for image in images],
            add_special_tokens=self.opened.adds_special(text),
            return_tensors="pt",
            **settings,
        )

    def _pixels(self, out: Any) -> dict[str, torch.Tensor]:
        # A mask of pixels is as large as the picture in 8-byte integers; the models read it as true or false.
        return {
            key: out[key].bool() if key.endswith("_mask") else out[key]
            for key in self.opened.family.pixels
            if key in out
        }

    def _keep(self, images: Images, tensors: dict[str, torch.Tensor]) -> None:
        size, key = sum(value.nbytes for value in tensors.values()), _key(images)
        if key not in self._kept and size <= self.room:
            self.room -= size
            self._kept[key] = tensors


def _key(images: Images) -> Key:
    return tuple(image if isinstance(image, Path) else xxh3_128_hexdigest(image) for image in images)


def _open(source: Path | bytes) -> Any:
    from prefdata import images

    return images.load_rgb(source)
