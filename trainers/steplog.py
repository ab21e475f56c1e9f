"""One line per step: `train_log.jsonl` for machines, the bar for people, warnings with a reason.

Where it stands: `trainer.py` hands it each step's sums over all processes. The decision to question: everything is
a mean over the step's pairs or tokens, not over rows or processes, so the log of a run does not depend on how it was
cut (docs/train.md says what each number means).
"""

import math
import time
from pathlib import Path
from typing import Any

import msgspec

from prefdata.jsonl import encode_row, read_lines, write_jsonl
from prefdata.progress import Progress, say
from trainers.plan import Step


class StepLog:
    """Writes the log of one process; only the first writes files."""

    def __init__(self, path: Path, steps: int, expected_first: float | None, *, writes: bool) -> None:
        self.path, self.expected = path, expected_first
        self.writes = writes
        self.first_loss = self.last_loss = math.nan
        self._line: dict[str, Any] = {}
        self._bar = Progress("train", steps, "steps")
        self._started = time.monotonic()

    def keep(self, done: int) -> None:
        """On resuming after step `done`, drop later lines; otherwise start anew."""
        lines = []
        if done and self.path.is_file():
            for _, line in read_lines(self.path):
                try:
                    entry = msgspec.json.decode(line)
                except msgspec.DecodeError:  # torn by a kill; that step is run again
                    continue
                if entry["step"] <= done:
                    lines.append(entry)
        if lines:
            self.first_loss, self.last_loss = lines[0]["loss"], lines[-1]["loss"]
        self._bar.advance(done)
        if self.writes:
            write_jsonl(self.path, lines)

    def step(self, number: int, step: Step, values: dict[str, float], rate: float) -> None:
        """Make the step's line of the objective's numbers; `write` completes it."""
        self._line = {
            "step": number, **values, "learning_rate": rate, "pairs": step.pairs, "tokens": step.tokens,
        }  # fmt: skip
        if math.isnan(self.first_loss):
            self.first_loss = values["loss"]
            self._compare_first()
        self.last_loss = values["loss"]

    def write(self, grad_norm: float) -> dict[str, Any]:
        """Write the line, move the bar; returns the line."""
        line = {**self._line, "grad_norm": grad_norm, "seconds": round(time.monotonic() - self._started, 3)}
        if self.writes:
            with open(self.path, "ab") as stream:
                stream.write(encode_row(line))
        note = f"loss {line['loss']:.4f}"
        if "margin" in line:
            note += f", margin {line['margin']:+.3f}, accuracy {line['accuracy']:.2f}"
        self._bar.advance(1, note)
        return line

    def close(self) -> None:
        """End the bar."""
        self._bar.close(f"loss {self.first_loss:.4f} -> {self.last_loss:.4f}")

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
