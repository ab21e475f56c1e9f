"""What is trained: all of a model, or LoRA adapters on it.

Where it stands: `run.py` calls it after the reference is known, so that adapters cannot change it.
"""

from collections.abc import Sequence
from typing import Any

import torch

from prefdata.errors import PrefdataError
from trainers.config import TrainConfig


def add_lora(model: Any, config: TrainConfig, whole: Sequence[str] = ()) -> Any:
    """Adapters on the language model's linear layers (or those named); everything else is frozen.

    whole: names of modules that are trained as they are, such as a score head.
    """
    from peft import LoraConfig, get_peft_model

    targets: Any = [name.strip() for name in config.lora_targets.split(",")]
    if config.lora_targets == "all-linear":
        head = model.get_output_embeddings()
        language = model.get_decoder()
        targets = [
            name
            for name, module in model.named_modules()
            if isinstance(module, torch.nn.Linear)
            and module is not head
            and any(module is m for m in language.modules())
        ]
    settings = LoraConfig(
        r=config.lora_rank,
        lora_alpha=config.lora_alpha or 2 * config.lora_rank,
        target_modules=targets,
        modules_to_save=list(whole) or None,
        task_type="CAUSAL_LM",
    )
    try:
        return get_peft_model(model, settings)
    except ValueError as error:
        raise PrefdataError(
            f"--lora-targets {config.lora_targets}: {' '.join(str(error).split())[:200]}."
        ) from error
