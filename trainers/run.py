"""One training run from settings to saved model, readable from top to bottom.

Where it stands: `launch.py` calls it once per process. Order matters: rows are read and planned before the weights,
so that a mistake in the data costs seconds; the reference is computed before adapters or a checkpoint change the
model. The decision to question: the sharing self-check runs on every start; it costs two forwards and is the only
proof that the installed versions still agree with the packed path.
"""

import os
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import torch

from prefdata import __version__
from prefdata.jsonl import write_json
from prefdata.progress import say
from trainers.claim import CARD_FILE, STATE_FILE, claim
from trainers.config import TrainConfig
from trainers.families import Opened
from trainers.settings import DTYPES, compute_dtype, training_arguments
from trainers.trees import Chosen

if TYPE_CHECKING:
    from trainers.reference import OnlineReference
    from trainers.rows import RowMaker


def run(config: TrainConfig) -> dict[str, Any] | None:
    """Train; the first process returns the result line."""
    started = time.monotonic()
    _quiet_libraries()
    from trainers import (
        adapters,
        attention,
        check,
        evaluation,
        export,
        families,
        grouping,
        grow,
        objective,
        parts,
        pixels,
        plan,
        preview,
        reference,
        reward,
        rows,
        scorehead,
        shards,
        steplog,
        trainer,
    )
    from trainers.logprobs import AnswerHead

    rank, processes = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    output = Path(config.output_dir)
    output.mkdir(parents=True, exist_ok=True)
    checkpoint = claim(config)
    goal = objective.make_objective(config)
    opened = families.open_model(config.model)
    store = pixels.PixelStore(opened)
    token = (
        scorehead.reward_token(opened, config.pooling, config.reward_token)
        if config.stage == "reward"
        else None
    )
    refuse_names(config, opened)
    grown = grow.grow(config, opened, store)
    if rank == 0:
        grown.write_left_out(output)
    held = evaluation.hold_out(config, grown, opened, store)
    if config.stage == "reward":
        grown.trees = scorehead.Whole(grown.trees, token)
        held = held and replace(held, trees=scorehead.Whole(held.trees, token))
    groups = grouping.Groups(grown.trees, config) if config.group_by_question else None
    trees = groups or grown.trees

    def drawn(epoch: int) -> list[int]:
        order = grown.order(config.seed, epoch)
        return groups.order(order) if groups else order

    def planned(share: bool) -> plan.Plan:
        return plan.make_plan(
            trees, drawn, batch_size=config.batch_size, epochs=config.epochs, max_steps=config.max_steps,
            processes=processes, max_tokens=config.max_tokens, share=share,
        )  # fmt: skip

    todo = planned(config.share)
    args = training_arguments(config, output, todo)
    torch.manual_seed(config.seed)
    bf16 = compute_dtype(config) is torch.bfloat16
    # DeepSpeed keeps its own fp32 copy of bf16 weights; without it the weights stay fp32 and autocast computes in bf16.
    dtype = torch.bfloat16 if bf16 and args.deepspeed else torch.float32
    model = load(config, opened, dtype, args.device)
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
    if rows.some_have_images(grown.trees, held.trees if held else ()):
        maker = maker.with_dummy()
    known: reference.Reference = {}
    with shards.readable(model):
        if config.share:
            attention.install(model)
            if not check.sharing_holds(model, head, grown.trees, maker, required=config.require_share):
                maker, todo = maker.plain(), planned(False)
                # Anew, for DeepSpeed's settings hold the old number of rows.
                args = training_arguments(config, output, todo)
        else:
            check.padded_holds(model, head, grown.trees, maker)
        if config.stage in ("dpo", "mpo") and config.reference != "none":
            cache = Path(config.reference_cache) if config.reference_cache else output
            kernels = (config.load_in_4bit, config.liger)
            asked = [Chosen(trees, todo.used)] if config.reference == "cached" else []
            for needed in (*asked, *([held.trees] if held else [])):
                known |= reference.reference_logps(model, head, opened, needed, maker, cache, kernels)
    # Asked in every step, the reference tells nothing before step 1; of the losses only dpo's needs nothing of it.
    foreseen = config.reference == "cached" or (config.reference == "online" and config.stage == "dpo")
    expected = goal.first_loss(todo.steps[0], trees, known) if foreseen else None
    if rank == 0:
        preview.describe(config, grown, trees, todo, maker, expected)
    if config.stage == "reward":
        # Not earlier: adapters copy it, and a copy of what an engine has read before is of no use to the next engine.
        head.remove()
        head = scorehead.ScoreHead(model)
    kept = head.trained(model) if isinstance(head, scorehead.ScoreHead) else ()
    parts.freeze(model, config, kept)
    if config.lora_rank:
        model = adapters.add_lora(model, config, kept)
    if rank == 0:
        preview.tell_memory(config, model, trees, todo, maker, args.deepspeed)
    log = steplog.StepLog(output / "train_log.jsonl", len(todo.steps), expected, writes=rank == 0)
    # Online, `known` holds nothing but held-out answers.
    given = known if config.reference == "cached" else {}
    loop = trainer.ForestTrainer(goal, todo, trees, given, maker, head, log, config, model=model, args=args)
    if config.reference == "online":
        if config.lora_rank:
            loop.online = reference.OnlineReference(model, head, maker, adapted=model)
        else:
            loop.online = frozen_copy(load(config, opened, dtype, args.device), maker)
    if checkpoint is not None:
        loop.restore(msgspec.json.decode((checkpoint / STATE_FILE).read_bytes()), checkpoint)
    if rank == 0:
        write_json(output / CARD_FILE, _card(config, todo, maker.share))
    done = int(checkpoint.name.rpartition("-")[2]) if checkpoint else 0
    log.keep(done)
    if held is not None:
        loop.evaluator = evaluation.Evaluator(config, held, goal, known, loop.maker, opened, len(todo.steps))
        loop.evaluator.keep(done)
    try:
        loop.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    finally:
        log.close()
    weight = head.take_off() if isinstance(head, scorehead.ScoreHead) else None
    head.remove()
    state = shards.whole_state(loop.model)
    if rank == 0:
        trained = loop.accelerator.unwrap_model(loop.model)
        if state is not None:
            trained = export.assembled(opened, config, state)
        elif config.load_in_4bit:
            trained = export.on_whole_weights(opened, config, trained)
        target = DTYPES.get(config.save_dtype, opened.weights_dtype)
        if weight is not None:
            reward.save_head(output, weight, config, maker)
        export.export(trained, opened, output, target)
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


def refuse_names(config: TrainConfig, opened: Opened) -> None:
    """Parts, layers and lengths that the model does not have, before any row is read: of a model without weights."""
    from trainers import adapters, families, parts

    if config.max_length > opened.max_length:
        say(
            f"warning: --max-length {config.max_length}: {opened.name} is made for {opened.max_length} tokens; longer "
            "rows are trained on as they are, at positions that it has not learned"
        )
    with torch.device("meta"):
        empty = families.empty(opened)
    parts.refuse_names(empty, config, ("score",) if config.stage == "reward" else ())
    if config.lora_rank:
        adapters.places(empty, config)


def load(config: TrainConfig, opened: Opened, dtype: torch.dtype, device: torch.device) -> Any:
    """The policy on its device, as it is trained and as it is its own reference."""
    from trainers import adapters, families

    if config.load_in_4bit:
        with torch.device("meta"):
            empty = families.empty(opened)
        model = families.load_weights(opened, dtype, **adapters.four_bits(empty, dtype, device))
    else:
        model = families.load_weights(opened, dtype).to(device)
    if config.liger:
        adapters.fuse(model)
    silenced = families.silence_dropout(model)
    if silenced:
        why = ", so that rewards start at 0" if config.stage in ("dpo", "mpo") else ""
        say(f"dropout: {silenced} modules set to 0{why}")
    return model


def frozen_copy(model: Any, maker: "RowMaker") -> "OnlineReference":
    """A second model as the reference, cut over processes as the first is."""
    from trainers import attention, shards
    from trainers.logprobs import AnswerHead
    from trainers.reference import OnlineReference

    if maker.share:
        attention.install(model)
    frozen = OnlineReference(model, AnswerHead(model), maker)
    if shards.partitioned():
        shards.forward_engine(model)  # lives in the model's hooks
    return frozen


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
