"""One line per step: `train_log.jsonl` for machines, the bar for people, warnings with a reason.

Where it stands: `trainer.py` hands it each step's sums over all processes. The decision to question: everything is
a mean over the step's pairs or tokens, not over rows or processes, so the log of a run does not depend on how it was
cut (docs/train.md says what each number means).
"""

import math
import time
from pathlib import Path
from typing import Any

from prefdata.jsonl import encode_row, write_jsonl
from prefdata.progress import Progress, say
from trainers.plan import Step
from trainers.trainreport import read_log, write_report
from trainers.watch import Watch


class StepLog:
    """Writes the log of one process; only the first writes files."""

    def __init__(self, path: Path, steps: int, expected_first: float | None, *, writes: bool) -> None:
        self.path, self.expected = path, expected_first
        self.writes = writes
        self.first_loss = self.last_loss = math.nan
        self._line: dict[str, Any] = {}
        self._bar = Progress("train", steps, "steps")
        self._started = self._last = time.monotonic()
        self._units = self._inputs = 0
        self._watch = Watch([])

    def keep(self, done: int) -> None:
        """On resuming after step `done`, drop later lines; otherwise start anew."""
        # A line torn by a kill is left out: its step is run again.
        lines = [line for line in read_log(self.path) if line["step"] <= done] if done else []
        if lines:
            self.first_loss, self.last_loss = lines[0]["loss"], lines[-1]["loss"]
        self._watch = Watch(lines)
        self._bar.advance(done)
        if self.writes:
            write_jsonl(self.path, lines)

    def step(self, number: int, step: Step, values: dict[str, float], rate: float) -> None:
        """Make the step's line of the objective's numbers; `write` completes it."""
        self._line = {
            "step": number, **values, "learning_rate": rate, "pairs": step.pairs, "tokens": step.tokens,
            "trunk_saved": round(1 - step.inputs / step.plain_inputs, 4) if step.plain_inputs else 0.0,
        }  # fmt: skip
        self._units, self._inputs = step.pairs or step.answers, step.inputs
        if math.isnan(self.first_loss):
            self.first_loss = values["loss"]
        if number == 1:  # not the first that a resumed run logs, whose earlier lines may be lost
            self._compare_first()
        self.last_loss = values["loss"]

    def write(self, grad_norm: float) -> dict[str, Any]:
        """Write the line, move the bar; returns the line."""
        now = time.monotonic()
        took, self._last = max(1e-6, now - self._last), now
        line = {
            **self._line, "grad_norm": grad_norm, "seconds": round(now - self._started, 3),
            "pairs_per_second": round(self._units / took, 3), "tokens_per_second": round(self._inputs / took, 1),
        }  # fmt: skip
        if self.writes:
            for said in self._watch(line):
                say(f"warning: {said}")
        if self.writes:
            with open(self.path, "ab") as stream:
                stream.write(encode_row(line))
        note = f"loss {line['loss']:.4f}"
        if "margin" in line:
            note += f", margin {line['margin']:+.3f}, accuracy {line['accuracy']:.2f}"
        self._bar.advance(1, note)
        return line

    def close(self) -> None:
        """End the bar and write the run's page, whether the run is done or has stopped."""
        self._bar.close(f"loss {self.first_loss:.4f} -> {self.last_loss:.4f}")
        if self.writes and (page := write_report(self.path.parent)):
            say(f"report: {page}")

    def _compare_first(self) -> None:
        """At step 1 the policy is the reference, so the loss is known; another value means the two differ."""
        if self.expected is None:
            return
        gap = abs(self.first_loss - self.expected)
        if gap > 0.01 * max(1.0, abs(self.expected)):
            say(
                f"warning: the first loss is {self.first_loss:.4f}, expected {self.expected:.4f}: policy and "
                "reference do not agree; look for dropout, another compute type, or a stale --reference-cache"
            )
