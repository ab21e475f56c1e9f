"""How much memory a run will take, before it takes it: weights, gradients, optimiser and the largest row.

Where it stands: `preview.py` prints it with the plan and warns where it exceeds the device. The decision to question: a
count of tensors, not a trial run. A trial would be exact and would end in the error that it is to prevent; the count is
within a third on what was measured (`tests/trainers/test_memory.py`) and says which of its parts to lower.
"""

from dataclasses import dataclass
from typing import Any

import torch

from trainers.forest import Row

_ADAM = 8
"""Bytes per trained parameter: two fp32 moments."""
_MASTER = 4
"""Bytes per trained parameter of DeepSpeed's fp32 copy of 16-bit weights."""
_LOGITS = 3
"""fp32 tensors of a chunk of logits that live at once: logits, their exponentials, their gradient."""


@dataclass(frozen=True)
class Sharding:
    """What is cut over processes, and what is moved off the device: DeepSpeed's ZeRO."""

    stage: int = 0
    processes: int = 1
    offload_optimizer: bool = False
    offload_weights: bool = False
    engine: bool = False
    """Whether DeepSpeed holds the weights; without it they are fp32."""


@dataclass(frozen=True)
class Estimate:
    """Bytes on one process's device."""

    weights: int
    gradients: int
    optimizer: int
    activations: int
    logits: int

    @property
    def total(self) -> int:
        """All of it."""
        return self.weights + self.gradients + self.optimizer + self.activations + self.logits

    def __str__(self) -> str:
        parts = [f"{name} {gib(value)}" for name, value in vars(self).items()]
        return f"{gib(self.total)} per process ({', '.join(parts)})"


def sharding(settings: dict[str, Any] | None, processes: int) -> Sharding:
    """From DeepSpeed's settings."""
    if not settings:
        return Sharding(processes=processes)
    zero = settings.get("zero_optimization", {})

    def offloaded(name: str) -> bool:
        device = (zero.get(name) or {}).get("device", "none")
        return bool(device != "none")

    return Sharding(
        int(zero.get("stage", 0)),
        processes,
        offloaded("offload_optimizer"),
        offloaded("offload_param"),
        engine=True,
    )


def estimate(
    model: Any, row: Row, logits_chunk: int, *, compute: torch.dtype, sharding: Sharding, checkpointing: bool
) -> Estimate:
    """model: as it will be trained, adapters included. row: the largest. logits_chunk: elements of one chunk of logits.

    Activations are what autograd keeps of decoder and vision layers (counted as in Korthikanti et al., arXiv
    2205.05198, for layers with three matrices and no dropout); attention keeps no scores.
    """
    weights = gradients = optimizer = 0
    for parameter in model.parameters():
        count, width = getattr(parameter, "ds_numel", parameter.numel()), parameter.element_size()
        weights += count * width
        if parameter.requires_grad:
            gradients += count * width
            optimizer += count * (_ADAM + (_MASTER if sharding.engine and width < 4 else 0))
    if sharding.stage >= 1:
        optimizer //= sharding.processes
    if sharding.stage >= 2:
        gradients //= sharding.processes
    if sharding.stage >= 3:
        weights //= sharding.processes
    logits = min(logits_chunk, len(row["index"]) * model.config.get_text_config().vocab_size)
    return Estimate(
        weights=0 if sharding.offload_weights else weights,
        gradients=gradients,
        optimizer=0 if sharding.offload_optimizer else optimizer,
        activations=activations(model.config, row, compute.itemsize, checkpointing),
        logits=_LOGITS * 4 * logits,
    )


def activations(config: Any, row: Row, width: int, checkpointing: bool) -> int:
    """Bytes that autograd keeps of one packed row."""
    text = config.get_text_config()
    tokens: int = row["forward"]["input_ids"].numel()
    heads = text.num_attention_heads
    head = getattr(text, "head_dim", None) or text.hidden_size // heads
    keys = (getattr(text, "num_key_value_heads", None) or heads) * head
    hidden, inner, queries = text.hidden_size, text.intermediate_size, heads * head
    # Inputs of two norms (kept in fp32, too), their outputs, queries and keys before and after rotation, values,
    # attention's output, gate, up, their product and the gate's activation.
    layer = tokens * (width * (4 * hidden + 3 * queries + 5 * keys + 4 * inner) + 4 * 2 * hidden)
    kept = tokens * hidden * width
    layers = text.num_hidden_layers
    total = int(layers * kept + layer if checkpointing else layers * layer)
    return total + _vision(config, row, width, checkpointing)


def _vision(config: Any, row: Row, width: int, checkpointing: bool) -> int:
    vision = getattr(config, "vision_config", None)
    pixels = row["forward"].get("pixel_values")
    if vision is None or pixels is None:
        return 0
    patch = vision.patch_size[0] if isinstance(vision.patch_size, list | tuple) else vision.patch_size
    patches = pixels.numel() // (3 * patch * patch * getattr(vision, "temporal_patch_size", 1))
    hidden = vision.hidden_size
    inner = getattr(vision, "intermediate_size", 4 * hidden)
    layers = getattr(vision, "num_hidden_layers", None) or getattr(vision, "depth", 0)
    layer = patches * width * (8 * hidden + 2 * inner)
    kept = patches * hidden * width
    return int(pixels.numel() * width + (layers * kept + layer if checkpointing else layers * layer))


def available(device: torch.device) -> int | None:
    """Bytes of the device, or of the machine where it trains on CPUs; None where that is not known."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    import os

    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return None


def gib(size: float) -> str:
    """A size for people."""
    return f"{size / 2**30:.1f} GiB" if size >= 2**29 else f"{size / 2**20:.0f} MiB"
