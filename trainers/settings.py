"""Settings for the libraries underneath: Trainer's arguments, the compute type, DeepSpeed's JSON.

Where it stands: `run.py` asks once, before any weight is read. The decision to question: shipped DeepSpeed files hold
no optimizer block. Trainer builds the optimiser from our flags; a second description of it could only disagree.
"""

import math
import os
from pathlib import Path
from typing import Any

import torch

from prefdata.progress import say
from trainers import zerofile
from trainers.config import TrainConfig

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}

_LOADERS_OF_A_GPU = 4
"""As in the recipes of XTuner; not measured here."""


def compute_dtype(config: TrainConfig) -> torch.dtype:
    """bf16 on a GPU and over four-bit weights, fp32 on a CPU, unless told otherwise."""
    if config.dtype == "auto":
        return torch.bfloat16 if torch.cuda.is_available() or config.load_in_4bit else torch.float32
    return DTYPES[config.dtype]


def training_arguments(config: TrainConfig, output: Path, todo: Any) -> Any:
    """Trainer's settings. Creating them also starts the process group."""
    from transformers import TrainingArguments

    args = TrainingArguments(
        output_dir=str(output),
        per_device_train_batch_size=1,
        gradient_accumulation_steps=todo.rows_per_step,
        max_steps=len(todo.steps),
        learning_rate=config.learning_rate,
        lr_scheduler_type={"constant": "constant_with_warmup"}.get(config.schedule, config.schedule),
        warmup_steps=math.ceil(config.warmup * len(todo.steps)),
        weight_decay=config.weight_decay,
        adam_beta2=config.adam_beta2,
        max_grad_norm=config.max_grad_norm,
        optim="adamw_torch",
        seed=config.seed,
        bf16=compute_dtype(config) is torch.bfloat16,
        use_cpu=not torch.cuda.is_available(),
        deepspeed=deepspeed_config(config.deepspeed),
        gradient_checkpointing=config.gradient_checkpointing,
        gradient_checkpointing_kwargs={"use_reentrant": False} if config.gradient_checkpointing else None,
        logging_steps=1,
        save_strategy="steps" if config.save_steps else "no",
        save_steps=config.save_steps or 500,
        # Real models have weights that no loss reaches, such as the last norm of a LLaVA's vision tower.
        ddp_find_unused_parameters=True,
        remove_unused_columns=False,
        dataloader_num_workers=loading_processes(config),
        dataloader_pin_memory=torch.cuda.is_available(),
        disable_tqdm=True,
        report_to=[] if config.report_to == "none" else [config.report_to],
    )
    if args.deepspeed and args.world_size > 1:
        import deepspeed

        # Takes over the process group of TrainingArguments; loading under ZeRO-3 asks DeepSpeed for its size.
        deepspeed.init_distributed(verbose=False)
    return args


def loading_processes(config: TrainConfig) -> int:
    """How many processes make rows ahead of the device; on a CPU they would only take the cores that train.

    A recipe's number is that of its machine: more than this one has cores would only wait for each other.
    """
    if config.num_workers is not None:
        if config.num_workers > cores():
            say(f"--num-workers {config.num_workers}: only {cores()} make rows, for so many cores are here")
        return min(config.num_workers, cores())
    return min(_LOADERS_OF_A_GPU, cores()) if torch.cuda.is_available() else 0


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def deepspeed_config(name: str) -> dict[str, Any] | None:
    """The DeepSpeed settings behind a name in `zero/`, or in a file of the user's."""
    settings, decided = zerofile.read(name)
    if settings is None:
        return None
    if decided:
        say(f"--deepspeed {name}: flags decide {', '.join(decided)}; the file's values are not used")
    import deepspeed

    # The shared-memory collective is compiled at start; gloo does the same without a compiler.
    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    return settings
