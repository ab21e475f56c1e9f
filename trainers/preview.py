"""What a person is told before step 1: the plan in words and the loss that step 1 must have.

Where it stands: between the reference and the loop in `run.py`.
"""

from typing import Any

from prefdata.progress import say
from trainers.config import TrainConfig


def describe(config: TrainConfig, grown: Any, todo: Any, share: bool, expected: float | None) -> None:
    """The plan in words, before step 1."""
    trees = grown.trees
    shared, plain = sum(t.shared_tokens for t in trees), sum(t.plain_tokens for t in trees)
    saved = f"{1 - shared / plain:.0%} of {plain} tokens not run twice" if share else "shared trunks off"
    say(
        f"plan: {len(trees)} rows ({len(grown.left_out)} left out), {sum(len(t.images) for t in trees)} images, "
        f"{shared if share else plain} tokens per pass ({saved}), {sum(t.liked_tokens for t in trees)} supervised"
    )
    pairs = f"{config.batch_size} {'conversations' if config.stage == 'sft' else 'pairs'}"
    say(f"plan: {len(todo.steps)} steps of {pairs}, {todo.rows_per_step} packed rows per step and process")
    drawn = len(grown.order(config.seed, 0))
    if drawn != len(trees):
        say(f"plan: {drawn} rows per epoch, as the mixture asks (`prefdata mix plan` shows them by source)")
    for name, count in grown.filtered.items():
        say(f"plan: filter {name} left {count} rows out")
    for row in grown.left_out[:5]:
        say(f"left out: {row.place}: {row.reason}")
    if grown.ends_added:
        say(
            f"note: the chat template writes no end-of-turn token; it was added to {grown.ends_added} answers"
        )
    if expected is not None:
        say(f"plan: expected first loss {expected:.4f}")
