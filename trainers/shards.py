"""ZeRO-3: weights that are cut over processes, before the loop's own engine exists and after it is done.

Where it stands: `run.py` runs the self-check and the reference through `readable`, and hands `whole_state` to
`export.py`. With any other DeepSpeed stage, and with none, everything here leaves the model as it is.

The decision to question: the model is loaded under `deepspeed.zero.Init`, which transformers does by itself once
TrainingArguments name stage 3, so that no process ever holds the whole model on its device; loading whole and cutting
later would need room for all of it on every device. Price: before training the weights are whole nowhere, so that
the forwards before step 1 need an engine of their own, which is taken down before Trainer builds its own.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

import torch

_LEFT_BEHIND = ("pre_bwd_fn", "post_bwd_fn", "applied_pre_backward_ref_cnt", "ds_grads_remaining")
"""What DeepSpeed leaves on modules when it takes its hooks away, bound to that engine; the next one would use it."""


def partitioned() -> bool:
    """Whether weights are cut over processes (ZeRO-3)."""
    from transformers.integrations.deepspeed import is_deepspeed_zero3_enabled

    return bool(is_deepspeed_zero3_enabled())


@contextmanager
def readable(model: torch.nn.Module) -> Iterator[None]:
    """Inside, a model under ZeRO-3 can run forwards: each module's weights are gathered when it is called."""
    if not partitioned():
        yield
        return
    engine = forward_engine(model)
    try:
        yield
    finally:
        engine.optimizer.empty_partition_cache()
        engine.destroy()
        for module in model.modules():
            for name in _LEFT_BEHIND:
                module.__dict__.pop(name, None)


def forward_engine(model: torch.nn.Module) -> Any:
    """A DeepSpeed engine for a model that is only read, without optimiser. Call after TrainingArguments were made."""
    import deepspeed
    from transformers.integrations.deepspeed import deepspeed_config

    settings = deepcopy(deepspeed_config())
    assert settings is not None
    kept = {
        key: value
        for key, value in settings["zero_optimization"].items()
        if value != "auto" and not key.startswith("offload_optimizer")
    }
    minimal = {
        "train_micro_batch_size_per_gpu": 1,
        "zero_optimization": kept,
        **{key: settings[key] for key in ("bf16", "fp16") if key in settings},
    }
    engine, *_ = deepspeed.initialize(model=model, config=minimal)
    return engine


def mend_copies(model: torch.nn.Module) -> None:
    """Give modules that PEFT has copied, to train them in full, weights of their own.

    A copied weight of a cut model still is the original to DeepSpeed: same number, same part, and dictionaries that
    belong to the engine of `readable`. Elsewhere the copies are right as they are.
    """
    if not partitioned():
        return
    import deepspeed
    from peft.utils import ModulesToSaveWrapper

    for wrapper in [module for module in model.modules() if isinstance(module, ModulesToSaveWrapper)]:
        for copied in wrapper.modules_to_save.values():
            for original, copy in zip(wrapper.original_module.modules(), copied.modules(), strict=True):
                with deepspeed.zero.GatheredParameters(list(original.parameters(recurse=False))):
                    copy._parameters = {
                        name: None if weight is None else torch.nn.Parameter(weight.detach().clone())
                        for name, weight in original._parameters.items()
                    }


def whole_state(model: Any) -> dict[str, torch.Tensor] | None:
    """Under ZeRO-3 all weights of a model, whole, on the CPU of the first process (empty elsewhere); None without.

    All processes must call it: weights are gathered one module at a time.
    """
    if not partitioned():
        return None
    import deepspeed

    first = torch.distributed.get_rank() == 0
    state: dict[str, torch.Tensor] = {}
    seen: dict[int, str] = {}
    for prefix, module in model.named_modules():
        parameters = dict(module.named_parameters(prefix, recurse=False))
        with deepspeed.zero.GatheredParameters(list(parameters.values())):
            if not first:
                continue
            for name, parameter in parameters.items():
                number = getattr(parameter, "ds_id", id(parameter))
                state[name] = (
                    state[seen[number]]  # tied weights stay one tensor
                    if number in seen
                    else parameter.detach().to("cpu", copy=True)
                )
                seen.setdefault(number, name)
            for name, buffer in module.named_buffers(prefix, recurse=False):
                if name.rpartition(".")[2] not in module._non_persistent_buffers_set:
                    state[name] = buffer.detach().to("cpu", copy=True)
    return state
