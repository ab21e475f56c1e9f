"""Each warning fires on a run that goes wrong in its way, once, with its reason; a good run has none."""

import math
from typing import Any

import pytest

from trainers.watch import Watch, warnings

Line = dict[str, Any]


def good(step: int) -> Line:
    """A run that learns: margins grow slowly, chosen answers become a little more likely."""
    wobble = 0.02 * math.sin(step)
    return {
        "step": step, "loss": 1.5 - 0.001 * step + wobble, "grad_norm": 1.0, "pairs": 32,
        "accuracy": 0.0 if step == 1 else min(0.97, 0.5 + 0.005 * step), "margin": 0.01 * step + wobble,
        "reward_chosen": 0.0, "logp_chosen": -1.0 + 0.0005 * step + wobble, "logp_end": -0.2 + wobble,
    }  # fmt: skip


def run(**changed: Any) -> list[Line]:
    """100 steps, of which some numbers are functions of the step."""
    return [good(step) | {key: made(step) for key, made in changed.items()} for step in range(1, 101)]


CASES: dict[str, tuple[dict[str, Any], str, int]] = {
    "accuracy": (
        {"accuracy": lambda s: 1.0 if s > 1 else 0.0},
        "all pairs are on the right side from step 2",
        4,
    ),
    "margins": ({"margin": lambda s: 0.5 * s}, "margins have reached 10.5", 23),
    "scores": (
        {"margin": lambda s: 0.5 * s, "score_chosen": lambda s: 0.3 * s},
        "scores of the two sides differ by 10.5",
        23,
    ),
    "chosen": ({"logp_chosen": lambda s: -1.0 - 0.01 * s}, "the chosen answers have become less likely", 40),
    "end": (
        {"logp_end": lambda s: -0.2 - 0.03 * s},
        "the end of turn behind chosen answers has become less",
        40,
    ),
    "gradient": ({"grad_norm": lambda s: 0.0}, "the gradient is exactly 0 for 3 steps", 3),
    "loss": ({"loss": lambda s: 0.0 if s > 50 else 1.0}, "the loss is exactly 0 for 3 steps", 53),
}


@pytest.mark.parametrize("case", CASES)
def test_a_run_that_goes_wrong(case: str) -> None:
    changed, reason, step = CASES[case]
    (said,) = warnings(run(**changed))
    assert said.startswith(f"step {step}: {reason}")


def test_a_good_run_has_no_warning() -> None:
    assert warnings(run()) == []


def test_few_pairs_may_be_right_by_chance() -> None:
    assert warnings(run(accuracy=lambda step: 1.0, pairs=lambda step: 4)) == []


def test_generation_alone_is_watched_for_what_it_has() -> None:
    lines = [{"step": step, "loss": 1.0, "grad_norm": 0.0, "pairs": 0} for step in range(1, 60)]
    assert [said[:7] for said in warnings(lines)] == ["step 3:"]


def test_what_was_said_before_a_resume_is_not_said_again() -> None:
    lines = run(margin=lambda step: 0.5 * step)
    again = Watch(lines[:50])
    assert [said for line in lines[50:] for said in again(line)] == []
