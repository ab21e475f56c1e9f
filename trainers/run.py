"""One training run from settings to saved model, readable from top to bottom.

Where it stands: `launch.py` calls it once per process. Order matters: rows are read and planned before the weights,
so that a mistake in the data costs seconds; the reference is computed before adapters or a checkpoint change the
model. The decision to question: the sharing self-check runs on every start; it costs two forwards and is the only
proof that the installed versions still agree with the packed path.
"""

import math
import os
import time
from importlib.resources import files
from pathlib import Path
from typing import Any

import msgspec
import torch

from prefdata import __version__
from prefdata.errors import PrefdataError
from prefdata.jsonl import write_json
from prefdata.progress import say
from trainers.claim import CARD_FILE, STATE_FILE, claim
from trainers.config import TrainConfig

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


def run(config: TrainConfig) -> dict[str, Any] | None:
    """Train; the first process returns the result line."""
    started = time.monotonic()
    _quiet_libraries()
    from trainers import (
        attention,
        build,
        check,
        export,
        families,
        pixels,
        plan,
        reference,
        rows,
        steplog,
        trainer,
    )
    from trainers.logprobs import AnswerHead

    rank, processes = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    output = Path(config.output_dir)
    output.mkdir(parents=True, exist_ok=True)
    checkpoint = claim(config)
    opened = families.open_model(config.model)
    store = pixels.PixelStore(opened)
    grown = build.grow(config, opened, store)

    def planned(share: bool) -> plan.Plan:
        return plan.make_plan(
            grown.trees, lambda epoch: grown.order(config.seed, epoch), batch_size=config.batch_size,
            epochs=config.epochs, max_steps=config.max_steps, processes=processes, max_tokens=config.max_tokens,
            share=share,
        )  # fmt: skip

    todo = planned(config.share)
    args = training_arguments(config, output, todo)
    torch.manual_seed(config.seed)
    bf16 = compute_dtype(config) is torch.bfloat16
    # DeepSpeed keeps its own fp32 copy of bf16 weights; without it the weights stay fp32 and autocast computes in bf16.
    dtype = torch.bfloat16 if bf16 and args.deepspeed else torch.float32
    model = families.load_weights(opened, dtype).to(args.device)
    silenced = families.silence_dropout(model)
    if silenced:
        say(f"dropout: {silenced} modules set to 0, so that rewards start at 0")
    head = AnswerHead(model)
    autocast = torch.bfloat16 if bf16 and not args.deepspeed else None
    maker = rows.RowMaker(
        store,
        opened.pad_id,
        config.max_tokens,
        args.device,
        dtype,
        autocast,
        config.share,
        rank,
        processes,
    )
    if config.share:
        attention.install(model)
        if not check.sharing_holds(model, head, grown.trees, maker, required=config.require_share):
            maker, todo = maker.plain(), planned(False)
            args.gradient_accumulation_steps = todo.rows_per_step
    known: reference.Reference = {}
    if config.stage != "sft":
        cache = Path(config.reference_cache) if config.reference_cache else output
        needed = [grown.trees[number] for number in todo.used]
        known = reference.reference_logps(model, head, opened, needed, maker, cache)
    expected = expected_first_loss(config, todo.steps[0], grown.trees, known)
    if rank == 0:
        describe(config, grown, todo, maker.share, expected)
    if config.lora_rank:
        model = add_lora(model, config)
    log = steplog.StepLog(
        output / "train_log.jsonl", config.stage, len(todo.steps), expected, writes=rank == 0
    )
    loop = trainer.ForestTrainer(config, todo, grown.trees, known, maker, head, log, model=model, args=args)
    if checkpoint is not None:
        loop.restore(msgspec.json.decode((checkpoint / STATE_FILE).read_bytes()), checkpoint)
    if rank == 0:
        write_json(output / CARD_FILE, _card(config, todo, maker.share))
    log.keep(int(checkpoint.name.rpartition("-")[2]) if checkpoint else 0)
    loop.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    log.close()
    head.remove()
    if rank == 0:
        target = _DTYPES.get(config.save_dtype, opened.weights_dtype)
        export.export(loop.accelerator.unwrap_model(loop.model), opened, output, target)
    if processes > 1:
        torch.distributed.barrier()
        torch.distributed.destroy_process_group()
    if rank:
        return None
    seconds = round(time.monotonic() - started, 2)
    return {
        "model": str(output), "steps": len(todo.steps), "first_loss": log.first_loss,
        "final_loss": log.last_loss, "seconds": seconds,
    }  # fmt: skip


def compute_dtype(config: TrainConfig) -> torch.dtype:
    """bf16 on a GPU, fp32 on a CPU, unless told otherwise."""
    if config.dtype == "auto":
        return torch.bfloat16 if torch.cuda.is_available() else torch.float32
    return _DTYPES[config.dtype]


def training_arguments(config: TrainConfig, output: Path, todo: Any) -> Any:
    """Trainer's settings. Creating them also starts the process group."""
    from transformers import TrainingArguments

    return TrainingArguments(
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
        save_total_limit=config.save_total,
        remove_unused_columns=False,
        dataloader_pin_memory=False,
        disable_tqdm=True,
        report_to=[],
    )


def deepspeed_config(name: str) -> dict[str, Any] | None:
    """The DeepSpeed settings behind a name in `zero/`, or in a file of the user's."""
    if name == "none":
        return None
    shipped = files("trainers") / "zero" / f"{name}.json"
    text = shipped.read_bytes() if shipped.is_file() else _read_user_file(name)
    try:
        settings: dict[str, Any] = msgspec.json.decode(text, type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise PrefdataError(f"--deepspeed {name}: not a JSON object ({error}).") from error
    import deepspeed

    # The shared-memory collective is compiled at start; gloo does the same without a compiler.
    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    return settings


def _read_user_file(name: str) -> bytes:
    path = Path(name)
    if not path.is_file():
        raise PrefdataError(
            f"--deepspeed {name}: neither zero1 nor none nor a file; name a DeepSpeed JSON file."
        )
    return path.read_bytes()


def add_lora(model: Any, config: TrainConfig) -> Any:
    """Adapters on the language model's linear layers (or those named); everything else is frozen."""
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
        task_type="CAUSAL_LM",
    )
    try:
        return get_peft_model(model, settings)
    except ValueError as error:
        raise PrefdataError(
            f"--lora-targets {config.lora_targets}: {' '.join(str(error).split())[:200]}."
        ) from error


def expected_first_loss(
    config: TrainConfig, step: Any, trees: list[Any], known: dict[str, Any]
) -> float | None:
    """The loss of step 1, where the policy is the reference: ln 2 for dpo, 1.2 ln 2 + NLL for mpo's weights."""
    if config.stage == "sft":
        return None
    if config.stage == "dpo":
        return math.log(2)
    liked = 0.0
    for number in step.trees:
        tree = trees[number]
        liked += sum(
            logp for logp, branch in zip(known[tree.key], tree.branches, strict=True) if branch.liked
        )
    ln2 = math.log(2)
    first: float = (
        config.dpo_weight * ln2 + config.bco_weight * 2 * ln2 - config.sft_weight * liked / step.tokens
    )
    return first


def describe(config: TrainConfig, grown: Any, todo: Any, share: bool, expected: float | None) -> None:
    """The plan in words, before step 1."""
    trees = grown.trees
    shared, plain = sum(t.shared_tokens for t in trees), sum(t.plain_tokens for t in trees)
    saved = f"{1 - shared / plain:.0%} of {plain} tokens not run twice" if share else "shared trunks off"
    say(
        f"plan: {len(trees)} rows ({len(grown.skipped)} left out), {sum(len(t.images) for t in trees)} images, "
        f"{shared if share else plain} tokens per pass ({saved}), {sum(t.liked_tokens for t in trees)} supervised"
    )
    pairs = f"{config.batch_size} {'conversations' if config.stage == 'sft' else 'pairs'}"
    say(f"plan: {len(todo.steps)} steps of {pairs}, {todo.rows_per_step} packed rows per step and process")
    drawn = len(grown.order(config.seed, 0))
    if drawn != len(trees):
        say(f"plan: {drawn} rows per epoch, as the mixture asks (`prefdata mix plan` shows them by source)")
    for reason in grown.skipped[:5]:
        say(f"left out: {reason}")
    if grown.ends_added:
        say(
            f"note: the chat template writes no end-of-turn token; it was added to {grown.ends_added} answers"
        )
    if expected is not None:
        say(f"plan: expected first loss {expected:.4f}")


def _card(config: TrainConfig, todo: Any, share: bool) -> dict[str, Any]:
    from importlib.metadata import version

    names = ("torch", "transformers", "accelerate", "peft") + (
        ("deepspeed",) if config.deepspeed != "none" else ()
    )
    return {
        "config": msgspec.to_builtins(config),
        "prefdata": __version__,
        "versions": {name: version(name) for name in names},
        "shared": share,
        "steps": len(todo.steps),
        "rows_per_step": todo.rows_per_step,
    }


def _quiet_libraries() -> None:
    """Libraries say what matters to their developers; errors stay visible."""
    import logging
    import warnings

    import transformers

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    logging.getLogger("DeepSpeed").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", category=FutureWarning)
