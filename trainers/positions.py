"""Position ids of one sequence as its model counts them, so that a branch can go on where its trunk ends.

Where it stands: `forest.py` asks for a trunk's positions and continues every branch behind the largest one. Most
families count tokens; Qwen-VL gives an image token a time, a height and a width, by its own `get_rope_index`.
The decision to question: that method is taken from the model's class without building the model, because rows are made
where no model is (workers that load ahead). It reads the configuration alone; the self-check compares with the model's.
"""

from collections.abc import Sequence
from typing import Any

import torch

from trainers.families import Opened


def modality(opened: Opened, ids: torch.Tensor) -> torch.Tensor:
    """What kind of token each is, as Qwen-VL's `mm_token_type_ids` say it: 0 text, 1 image, 2 video."""
    kinds = torch.zeros_like(ids, dtype=torch.int)
    for kind, name in ((1, "image_token_id"), (2, "video_token_id")):
        kinds[ids.eq(getattr(opened.config, name, -1))] = kind
    return kinds


class Positions:
    """Counts positions for one family."""

    def __init__(self, opened: Opened) -> None:
        self.opened, self.axes = opened, opened.family.axes
        self._model = _without_weights(opened.config) if self.axes > 1 else None

    def trunk(self, ids: Sequence[int], pixels: dict[str, torch.Tensor]) -> torch.Tensor:
        """[axes, tokens] for the tokens of one trunk and its pixel inputs."""
        if self._model is None or not pixels:
            return torch.arange(len(ids)).expand(self.axes, -1)
        tokens = torch.tensor([ids])
        grids = {key: value for key, value in pixels.items() if key.endswith("_grid_thw")}
        found, _ = self._model.get_rope_index(
            tokens, mm_token_type_ids=modality(self.opened, tokens), **grids
        )
        positions: torch.Tensor = found[:, 0]
        return positions

    def branch(self, trunk: torch.Tensor, length: int) -> torch.Tensor:
        """[axes, length] behind the largest position of a trunk, equal on all axes."""
        first = int(trunk.max()) + 1 if trunk.numel() else 0
        return torch.arange(first, first + length).expand(self.axes, -1)


def _without_weights(config: Any) -> Any:
    """An empty module of the model's class that knows its configuration."""
    import transformers as hf

    kind: Any = hf.MODEL_MAPPING[type(config)]
    bare = kind.__new__(kind)
    torch.nn.Module.__init__(bare)
    bare.config = config
    return bare
