"""LoRA adapters: where they go, and what is trained in full beside them; four-bit weights beneath them (QLoRA).

Where it stands: `run.py` calls it after the reference is known, so that adapters cannot change it; `export.py` builds
the same structure again to merge what ZeRO-3 has cut or bitsandbytes has rounded.

The decision to question: adapters on the output layer are refused. The head that scores answers runs *inside* that
layer's forward, where an adapter's term would be added to log-probabilities instead of logits.
"""

from collections.abc import Sequence
from typing import Any

import torch

from prefdata.errors import PrefdataError
from trainers import parts, shards
from trainers.config import TrainConfig


def add_lora(model: Any, config: TrainConfig, whole: Sequence[str] = ()) -> Any:
    """Adapters on the language model's linear layers (or those named); everything else is frozen.

    whole: names of modules that are trained as they are, such as a score head.
    """
    from peft import LoraConfig, get_peft_model

    targets, seen = places(model, config)
    ranks = dict.fromkeys(seen, config.lora_vision_rank)
    scales = dict.fromkeys(seen, config.lora_vision_alpha or 2 * config.lora_vision_rank)
    if config.lora_projector:
        whole = [*whole, *parts.projectors(model)]
    settings = LoraConfig(
        r=config.lora_rank,
        lora_alpha=config.lora_alpha or 2 * config.lora_rank,
        lora_dropout=config.lora_dropout,
        target_modules=[*targets, *seen],
        rank_pattern=ranks,
        alpha_pattern=scales,
        modules_to_save=list(whole) or None,
        task_type="CAUSAL_LM",
    )
    # The same first values in every process, however many random numbers were drawn before.
    torch.manual_seed(config.seed)
    try:
        # DeepSpeed keeps fp32 copies of what is trained, and under ZeRO-3 wants all weights of one type.
        adapted = get_peft_model(model, settings, autocast_adapter_dtype=config.deepspeed == "none")
    except ValueError as error:
        raise PrefdataError(
            f"--lora-targets {config.lora_targets}: {' '.join(str(error).split())[:200]}."
        ) from error
    shards.mend_copies(adapted)
    return adapted


def places(model: Any, config: TrainConfig) -> tuple[list[str], list[str]]:
    """Names of the layers with adapters, by --lora-targets and in the vision tower; refuses what the model lacks.

    model: with or without its weights. A name such as `q_proj` means the language model's layers, though a vision tower
    may have layers of the same name; a name that only other parts have means those.
    """
    from transformers.pytorch_utils import Conv1D

    adaptable = (torch.nn.Linear, torch.nn.Embedding, torch.nn.modules.conv._ConvNd, Conv1D)
    layers = {name: module for name, module in model.named_modules() if isinstance(module, adaptable)}
    language = {id(module) for module in model.get_decoder().modules()}
    head = next(name for name, module in model.named_modules() if module is model.get_output_embeddings())
    targets = _linear(model, model.get_decoder()) if config.lora_targets == "all-linear" else []
    for wanted in [] if targets else config.lora_targets.split(","):
        target = wanted.strip()
        found = [name for name in layers if name == target or name.endswith(f".{target}")]
        if head in found:
            raise PrefdataError(
                f"--lora-targets {config.lora_targets}: `{head}` is the output layer, on which adapters cannot be "
                "trained; leave it out."
            )
        if not found:
            known = sorted({name.rpartition(".")[2] for name in _linear(model, model.get_decoder())})
            raise PrefdataError(
                f"--lora-targets {config.lora_targets}: no layer is called `{target}`; the language model has "
                f"{', '.join(known)}."
            )
        targets += [name for name in found if id(layers[name]) in language] or found
    seen: list[str] = []
    if config.lora_vision_rank:
        tower = model.get_encoder(modality="image")
        seen = _linear(model, tower) if tower is not model else []
        if not seen:
            raise PrefdataError(
                f"--lora-vision-rank {config.lora_vision_rank}: this model has no vision tower; leave it out."
            )
    if config.lora_projector and not parts.projectors(model):
        raise PrefdataError("--lora-projector: this model has no projector; leave it out.")
    return targets, seen


def _linear(model: Any, part: torch.nn.Module) -> list[str]:
    """Names within `model` of the linear layers of one of its parts, but the output layer."""
    inside = {id(module) for module in part.modules()}
    head = model.get_output_embeddings()
    return [
        name
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and module is not head and id(module) in inside
    ]


def four_bits(model: Any, compute: torch.dtype, device: torch.device) -> dict[str, Any]:
    """How to load the language model's linear layers in four bits (nf4, double quantisation; QLoRA, arXiv 2305.14314).

    model: the same model without weights. Vision tower, projector and output layer stay as they are.
    """
    from transformers import BitsAndBytesConfig

    language = set(_linear(model, model.get_decoder()))
    skipped = [
        name
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and name not in language
    ]
    settings = BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=compute,
        llm_int8_skip_modules=skipped,
    )  # fmt: skip
    return {"quantization_config": settings, "device_map": {"": device}}


def fuse(model: Any) -> None:
    """Liger's kernels for norms, rotary positions and the gated layers. The head stays ours: it scores answers only."""
    from liger_kernel.transformers.monkey_patch import MODEL_TYPE_TO_APPLY_LIGER_FN
    from transformers.integrations.liger import apply_liger_kernel

    if model.config.model_type not in MODEL_TYPE_TO_APPLY_LIGER_FN:
        raise PrefdataError(
            f"--liger: liger-kernel knows no model of type `{model.config.model_type}`; leave it out."
        )
    apply_liger_kernel(model, {"cross_entropy": False, "fused_linear_cross_entropy": False})
