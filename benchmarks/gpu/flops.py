"""How many floating-point operations a step has to do, and what share of the GPU's peak that is.

Where it stands: `benchmarks/gpu/train.py` turns seconds into MFU with it. A multiplication and an addition are two
operations; a backward pass costs two forwards; recomputation (gradient checkpointing, a chunked head) is not counted,
as usual for MFU. The decision to question: every subject is charged for the tokens that it runs itself, so MFU says how
well the GPU is used, and pairs/s alone says who is faster.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

PEAKS = {"H200": 989e12, "H100": 989e12, "H800": 989e12, "A100": 312e12, "A800": 312e12, "L40S": 362e12}
"""Dense bf16 operations per second, by a part of the device's name (NVIDIA's data sheets, SXM where there are two)."""

_TRAINED, _REFERENCE = 3, 1
"""Forwards' worth of a training pass, and of a reference pass."""


@dataclass(frozen=True)
class Run:
    """What one subject runs in a step."""

    images: int
    sequences: Sequence[tuple[int, int]]
    """(tokens, tokens before them that they see besides their own) of every trunk, branch or whole sequence"""
    scored: int
    """answer tokens"""
    reference: bool
    """whether the reference runs too"""


def operations(config: Any, run: Run, image_tokens: int) -> float:
    """Of one optimiser step, without the optimiser."""
    text = config.get_text_config()
    head_width = text.hidden_size // text.num_attention_heads
    width = text.num_attention_heads * head_width
    projections = 2 * text.hidden_size * (width + text.num_key_value_heads * head_width)
    weights = text.num_hidden_layers * (projections + 3 * text.hidden_size * text.intermediate_size)
    forward: float = 2.0 * text.vocab_size * text.hidden_size * run.scored
    for tokens, before in run.sequences:
        seen = tokens * (before + tokens / 2)
        forward += 2.0 * weights * tokens + 4.0 * text.num_hidden_layers * width * seen
    forward += run.images * _image(config, image_tokens)
    return float(forward) * (_TRAINED + (_REFERENCE if run.reference else 0))


def _image(config: Any, tokens: int) -> float:
    """Tower and projector for one picture; both models join four patches into a token."""
    vision, text = config.vision_config, config.get_text_config()
    patches, joined = 4 * tokens, 4 * vision.hidden_size
    if config.model_type == "qwen2_5_vl":
        layers, mlp, inner = vision.depth, 3, joined
        window = (vision.window_size // vision.patch_size) ** 2
        full = len(vision.fullatt_block_indexes)
        seen = full * patches + (layers - full) * min(window, patches)
    else:
        layers, mlp, inner = vision.num_hidden_layers, 2, text.hidden_size
        side, patch = vision.image_size, vision.patch_size
        tile = (side[0] // patch[0]) * (side[1] // patch[1])
        seen = layers * tile
    weights = layers * (4 * vision.hidden_size**2 + mlp * vision.hidden_size * vision.intermediate_size)
    tower = 2.0 * weights * patches + 4.0 * vision.hidden_size * patches * seen
    return float(tower + 2.0 * tokens * (joined * inner + inner * text.hidden_size))


def peak_of(device: str) -> float | None:
    """The peak of a device by its name; None where it is not in the table."""
    return next((peak for name, peak in PEAKS.items() if name in device), None)
