"""What a person is told before step 1: the plan in words, the memory it will take, the loss that step 1 must have.

Where it stands: `run.py` calls it when the model is as it will be trained. The decision to question: memory is compared
with the whole device, not with what is free, because most of what is taken now are the weights that are counted.
"""

import re
from collections.abc import Sequence
from typing import Any

from prefdata.progress import say
from trainers.config import TrainConfig
from trainers.grow import Grown
from trainers.logprobs import chunk_elements
from trainers.memory import Estimate, available, estimate, gib, sharding
from trainers.plan import Plan
from trainers.rows import RowMaker
from trainers.trees import Tree, measured


def describe(
    config: TrainConfig, grown: Grown, trees: Sequence[Tree], todo: Plan, maker: RowMaker, expected: float | None
) -> None:  # fmt: skip
    """The plan in words. trees: what the plan's numbers mean."""
    measures = measured(grown.trees)
    shared, plain = sum(one.shared for one in measures), sum(one.plain for one in measures)
    run = shared if maker.share else plain
    saved = (
        f"{1 - shared / plain:.0%} of {plain} tokens not run twice" if maker.share else "shared trunks off"
    )
    say(
        f"plan: {len(measures)} rows ({len(grown.left_out)} left out), {sum(one.images for one in measures)} images, "
        f"{run} tokens per pass ({saved}), {sum(one.tokens for one in measures)} supervised"
    )
    units = "conversations" if config.stage == "sft" else "pairs"
    rows = f"{todo.rows_per_step} packed rows per step and process"
    say(f"plan: {len(todo.steps)} steps of {config.batch_size} {units}, {rows}")
    if small := small_step(todo, config.batch_size):
        say(f"plan: not every step is full; the smallest has {small} {units}, at the rate of a full one")
    drawn = len(grown.order(config.seed, 0))
    if drawn != len(measures):
        say(f"plan: {drawn} rows per epoch, as the mixture asks (`prefdata mix plan` shows them by source)")
    if len(trees) > len(measures):
        inputs = sum(step.inputs for step in todo.steps)
        count = max(1, sum(step.pairs or step.answers for step in todo.steps))
        each = f"{inputs / count:.0f} tokens per {units[:-1]} instead of {run / len(measures):.0f}"
        say(f"plan: grouped by question, {each}")
    _tell_left_out(grown)
    if grown.ends_added:
        say(
            f"note: the chat template writes no end-of-turn token; it was added to {grown.ends_added} answers"
        )
    if expected is not None:
        say(f"plan: expected first loss {expected:.4f}")


def small_step(todo: Plan, batch_size: int) -> int | None:
    """The pairs or conversations of the smallest step where that is less than a full one: an epoch's last step may
    hold one, which then moves the model as far as a whole batch does."""
    smallest = min(step.pairs or step.answers for step in todo.steps)
    return smallest if smallest < batch_size else None


def tell_memory(
    config: TrainConfig, model: Any, trees: Sequence[Tree], todo: Plan, maker: RowMaker,
    deepspeed: dict[str, Any] | None,
) -> Estimate:  # fmt: skip
    """Say how much memory the run will take, and what to lower where that is too much."""
    sizes = [one.shared if maker.share else one.plain for one in measured(trees)]
    rows = {row.trees for step in todo.steps for rank in step.rows for row in rank}
    tokens = {row: sum(sizes[tree] for tree in row) for row in rows}
    largest = max(tokens, key=lambda row: (tokens[row], row))
    found = estimate(
        model, maker.host([trees[number] for number in largest]), chunk_elements(maker.device),
        compute=maker.autocast_to or maker.dtype, sharding=sharding(deepspeed, maker.processes),
        checkpointing=config.gradient_checkpointing,
    )  # fmt: skip
    say(f"plan: memory about {found}; the largest row has {tokens[largest]} tokens")
    size = available(maker.device)
    sharing = maker.processes if maker.device.type == "cpu" else 1
    if size is not None and found.total * sharing > size:
        say(
            f"warning: that is more than the {gib(size)} there are; lower --max-tokens, or use "
            "--gradient-checkpointing, --lora-rank or a higher ZeRO stage (--deepspeed)"
        )
    return found


def _tell_left_out(grown: Grown) -> None:
    """By reason, the most frequent first, with the first place of each."""
    for name, count in grown.filtered.items():
        say(f"plan: filter {name} left {count} rows out")
    kinds: dict[str, list[str]] = {}
    for row in grown.left_out:
        if not row.filtered:
            kinds.setdefault(re.sub(r"\d+", "N", row.reason), []).append(f"{row.place}: {row.reason}")
    for rows in sorted(kinds.values(), key=len, reverse=True)[:5]:
        say(f"left out: {len(rows)} rows, the first {rows[0]}")
