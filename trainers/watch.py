"""What in the log of a run deserves a warning, with the reason and what to try.

Where it stands: `steplog.py` asks after every step and says what is new; `trainreport.py` goes through the whole log
again, so that a resumed run's page holds all of it. The decision to question: rules look at the logged numbers alone,
at the first ones and the last ones. They are few, each names a way in which preference training is known to go wrong,
and each fires once.
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any

Line = dict[str, Any]
Lines = Sequence[Line]
Rule = Callable[[Lines, Lines, int], str | None]
"""From the first lines, the last lines and the number of all to what is to be said."""

_EARLY = 10
"""Steps in which rewards are still small in any run that learns something."""
_ENOUGH_PAIRS = 16
"""Fewer pairs may all be right by chance."""
_SATURATED = 10.0
"""A margin at which -log s(margin) is 5e-5: nothing is left to learn, but the policy still moves."""
_FALLING = 20
"""Steps below the first value before it is called falling."""
_LESS = 0.05
"""Nats per token that are not noise."""
_LESS_END = 0.5
"""Nats of the end token: its probability has fallen to 0.6 of what it was."""
_STILL = 3
"""Steps without a gradient."""


class Watch:
    """Says each warning once, at the step that gives rise to it."""

    def __init__(self, lines: Iterable[Line] = ()) -> None:
        """lines: those before a resume, whose warnings were said then."""
        self._first: list[Line] = []
        self._last: deque[Line] = deque(maxlen=_FALLING)
        self._count = 0
        self._said: set[Rule] = set()
        for line in lines:
            self(line)

    def __call__(self, line: Line) -> list[str]:
        """What is new with this line."""
        self._count += 1
        if len(self._first) < _FALLING:
            self._first.append(line)
        self._last.append(line)
        found = []
        for rule in _RULES:
            if rule not in self._said and (said := rule(self._first, list(self._last), self._count)):
                self._said.add(rule)
                found.append(f"step {line['step']}: {said}")
        return found


def warnings(lines: Iterable[Line]) -> list[str]:
    """All that a run was or would have been told, from its log."""
    watch = Watch()
    return [said for line in lines for said in watch(line)]


def right_at_once(first: Lines, last: Lines, count: int) -> str | None:
    """All pairs of three early steps in a row on the right side."""
    early = [line for line in first[1:_EARLY] if "accuracy" in line]
    for three in zip(early, early[1:], early[2:], strict=False):
        if sum(line["pairs"] for line in three) >= _ENOUGH_PAIRS and all(
            line["accuracy"] == 1 for line in three
        ):
            return (
                f"all pairs are on the right side from step {three[0]['step']} on: the rejected answers may be told by "
                "something simple, such as their length, language or format (`prefdata stats` compares the sides)"
            )
    return None


def margins_explode(first: Lines, last: Lines, count: int) -> str | None:
    """A mean margin so large that the preference loss is gone."""
    recent = [line["margin"] for line in last[-5:] if "reward_chosen" in line]  # scores may be any size
    if len(recent) == 5 and sum(recent) / 5 > _SATURATED:
        if "score_chosen" in last[-1]:
            return (
                f"scores of the two sides differ by {sum(recent) / 5:.1f}, where the loss is next to nothing while "
                "they still grow: lower --learning-rate, keep scores small with --score-penalty, or stop here"
            )
        return (
            f"margins have reached {sum(recent) / 5:.1f}, where the preference loss is next to nothing while the "
            "policy still moves away from the reference: lower --learning-rate, raise --beta, or stop here"
        )
    return None


def chosen_unlearned(first: Lines, last: Lines, count: int) -> str | None:
    """Chosen answers less likely than at first, for many steps."""
    return _below_first(
        first, last, count, "logp_chosen", _LESS,
        "the chosen answers have become less likely than they were at first ({first:.2f} -> {now:.2f} per token): both "
        "sides are being unlearned; give the generation loss more weight (--stage mpo, --sft-weight) or lower "
        "--learning-rate",
    )  # fmt: skip


def stops_stopping(first: Lines, last: Lines, count: int) -> str | None:
    """The end-of-turn token of chosen answers less likely than at first: long and repeating answers follow."""
    return _below_first(
        first, last, count, "logp_end", _LESS_END,
        "the end of turn behind chosen answers has become less likely ({first:.2f} -> {now:.2f}): the model will run "
        "on and repeat itself; look for chosen answers that are cut off or much longer than the rejected",
    )  # fmt: skip


def learns_nothing(first: Lines, last: Lines, count: int) -> str | None:
    """No gradient, or a loss of exactly 0."""
    recent = last[-_STILL:]
    if len(recent) == _STILL and all(line["grad_norm"] == 0 or line["loss"] == 0 for line in recent):
        what = "the loss is exactly 0" if recent[-1]["loss"] == 0 else "the gradient is exactly 0"
        return f"{what} for {_STILL} steps: nothing that is trained takes part in the loss; look at what is frozen"
    return None


_RULES: tuple[Rule, ...] = (
    right_at_once,
    margins_explode,
    chosen_unlearned,
    stops_stopping,
    learns_nothing,
)


def _below_first(first: Lines, last: Lines, count: int, key: str, less: float, said: str) -> str | None:
    if count < 2 * _FALLING or any(key not in line for line in (*first, *last)):
        return None
    # Steps differ in their answers, so means of many are compared.
    then, now = sum(line[key] for line in first) / _FALLING, sum(line[key] for line in last) / _FALLING
    return said.format(first=then, now=now) if now < then - less else None
