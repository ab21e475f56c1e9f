"""How a model fits on the GPUs of a machine: the smallest tensor-parallel size, and replicas for the rest.

Used by `--tp auto`, `--dp auto` and `prefdata doctor`; reads `config.json` and the sizes of the weight files, never
torch. A GPU must hold its share of the weights, a margin for activations and CUDA graphs, and a cache of several whole
contexts. The decision to question: the smallest size wins. Tensor parallelism pays for every layer with communication,
so two independent replicas on two GPUs answer more questions a second than one model spread over both - up to three
times as many on eight.
"""

import functools
from pathlib import Path
from typing import Any

import msgspec

from prefdata.errors import PrefdataError
from prefdata.models import model_folder, resolve_model
from prefdata.progress import say

GIB = 1 << 30
# What engines take of a GPU by default (vLLM's gpu_memory_utilization).
_SHARE = 0.9
# Activations, CUDA graphs and the allocator's slack, on every GPU.
_MARGIN_BYTES = int(2.5 * GIB)
# Whole contexts that the cache has to hold for batching to pay.
CONTEXTS = 8
_SESSION_LEN = 16384
_WEIGHTS = (".safetensors", ".bin", ".pt", ".gguf")
_CACHE_NUMBER_BYTES = 2


class Gpu(msgspec.Struct, frozen=True):
    """One GPU; memory in bytes. id: how CUDA_VISIBLE_DEVICES names it."""

    name: str
    total: int
    free: int
    id: str = ""


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """What of a model decides where it fits. cache_per_token: bytes of keys and values of one token, all layers."""

    weights: int
    heads: int
    kv_heads: int
    cache_per_token: int
    context: int


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """tp GPUs for one copy of the model, `replicas` copies; bytes needed on each GPU, and how many contexts fit."""

    tp: int
    replicas: int
    weights_per_gpu: int
    needed_per_gpu: int
    tokens: int


def shape_of(checkpoint: str, session_len: int | None = None) -> Shape:
    """The shape of a local model or a hub model in the local cache. Raises PrefdataError where it cannot be known."""
    folder = model_folder(resolve_model(checkpoint))
    if folder is None:
        raise PrefdataError(f"{checkpoint}: its files are not on this machine; download it first.")
    try:
        config: dict[str, Any] = msgspec.json.decode((folder / "config.json").read_bytes())
        text: dict[str, Any] = next(
            (config[key] for key in ("text_config", "llm_config") if isinstance(config.get(key), dict)),
            config,
        )
        heads = int(text["num_attention_heads"])
        kv_heads = int(text.get("num_key_value_heads") or heads)
        width = int(text.get("head_dim") or int(text["hidden_size"]) // heads)
        layers = int(text["num_hidden_layers"])
    except (OSError, msgspec.DecodeError, KeyError, TypeError, ValueError) as error:
        raise PrefdataError(
            f"{folder / 'config.json'}: it does not say how the model is built ({error}); give --tp as a number."
        ) from error
    context = int(text.get("max_position_embeddings") or _SESSION_LEN)
    return Shape(
        weights=_weights(folder),
        heads=heads,
        kv_heads=kv_heads,
        cache_per_token=2 * layers * kv_heads * width * _CACHE_NUMBER_BYTES,
        context=min(context, session_len or _SESSION_LEN),
    )


def plan(shape: Shape, gpus: list[Gpu]) -> Plan:
    """The plan for these GPUs. Raises PrefdataError where the model does not fit on all of them together."""
    if not gpus:
        return Plan(tp=1, replicas=1, weights_per_gpu=shape.weights, needed_per_gpu=shape.weights, tokens=0)
    smallest = int(min(gpu.total for gpu in gpus) * _SHARE)
    wanted = CONTEXTS * shape.context
    sizes = [size for size in range(1, len(gpus) + 1) if shape.heads % size == 0]
    for size in sizes:
        weights = -(-shape.weights // size)
        # With more GPUs than key-value heads, each head's cache is held several times.
        per_token = shape.cache_per_token // min(size, shape.kv_heads)
        needed = weights + _MARGIN_BYTES + wanted * per_token
        if needed <= smallest:
            room = (smallest - weights - _MARGIN_BYTES) // max(1, per_token)
            return Plan(
                tp=size,
                replicas=len(gpus) // size,
                weights_per_gpu=weights,
                needed_per_gpu=needed,
                tokens=room,
            )
    raise PrefdataError(
        f"{shape.weights / GIB:.1f} GiB of weights and a cache of {CONTEXTS} contexts of {shape.context} tokens do not "
        f"fit on {len(gpus)} GPUs of {min(gpu.total for gpu in gpus) / GIB:.0f} GiB with {shape.heads} attention "
        "heads; lower --session-len, add --pp, or take more GPUs."
    )


@functools.cache
def automatic(checkpoint: str, session_len: int | None) -> int:
    """The tensor-parallel size of `--tp auto` on this machine."""
    from pipelines.machine import gpus

    found = gpus()
    if not found:
        return 1
    made = plan(shape_of(checkpoint, session_len), found)
    say(
        f"--tp auto: {made.tp} of {len(found)} GPUs for a copy; {made.replicas} fit (--dp auto takes as many)"
    )
    return made.tp


@functools.cache
def automatic_copies(gpus_each: int) -> int:
    """The number of copies of `--dp auto` on this machine: as many as its GPUs hold, one without GPUs."""
    from pipelines.machine import gpus

    found = len(gpus())
    if not found:
        say("--dp auto: no GPU here: 1 copy on the CPU")
        return 1
    copies = max(1, found // gpus_each)
    say(f"--dp auto: {copies} {'copy' if copies == 1 else 'copies'} on {found} GPUs, {gpus_each} each")
    return copies


def _weights(folder: Path) -> int:
    """Bytes of the weight files; of several forms of the same weights the first counts."""
    for suffix in _WEIGHTS:
        size = sum(
            path.stat().st_size for path in folder.glob(f"*{suffix}") if path.name != "training_args.bin"
        )
        if size:
            return size
    raise PrefdataError(f"{folder}: there are no weight files in this folder.")
