"""One step each, in turn: every subject is a process of its own that trains a step when it is told to.

Where it stands: `subjects.py` runs a trainer's own `train()` in the child; a callback that transformers' Trainer
calls holds it before each step until the parent gives the turn. So nothing of anybody's loop is left out or rebuilt
(data loading, clipping, optimiser, logging), a noisy neighbour on the machine meets all subjects alike, and each
subject's peak of memory is its own.

The decision to question: memory is `VmHWM` of /proc/self/status. `ru_maxrss` of a child starts at its parent's peak.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_ELEMENTS = 1 << 20
"""Of a gradient tensor, so many elements are kept at most, evenly spread."""


@dataclass
class Seat:
    """The parent's side of one subject."""

    name: str
    process: subprocess.Popen[str]
    turns: list[dict[str, float]] = field(default_factory=list)
    """wall and CPU seconds of each turn; the first is the warm-up"""
    end: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def take(cls, name: str, arguments: Sequence[str], threads: int) -> "Seat":
        """Start the subject `name` and wait until it stands before its first step."""
        process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.training.subjects", name, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": str(threads), "TOKENIZERS_PARALLELISM": "false"},
        )
        seat = cls(name, process)
        seat._read()
        return seat

    def turn(self) -> None:
        """One step."""
        assert self.process.stdin is not None
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        self.turns.append(self._read())

    def finish(self) -> None:
        """Read what the subject says at its end."""
        self.end = self._read()
        if self.process.wait():
            raise SystemExit(f"{self.name}: ended with code {self.process.returncode}")

    def _read(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(
                f"{self.name}: ended with code {self.process.wait()}; its last lines above say why"
            )
        answer: dict[str, Any] = json.loads(line)
        return answer


class Gate:
    """The child's side: says a line of JSON for each turn on the real standard output."""

    def __init__(self) -> None:
        # Libraries print to standard output; they get standard error.
        self._out = os.fdopen(os.dup(1), "w")
        os.dup2(2, 1)
        self._since: tuple[float, float] | None = None
        self._turns = 0

    def say(self, **values: Any) -> None:
        """One line to the parent."""
        self._out.write(json.dumps(values) + "\n")
        self._out.flush()

    def wait(self) -> None:
        """Between two turns: tell how long the last one took, wait for the next."""
        self.stop()
        if not sys.stdin.readline():
            raise SystemExit("the benchmark is gone")
        self._turns += 1
        if self._turns == 2:
            forget_device_peak()
        self._since = (time.perf_counter(), time.process_time())

    def stop(self) -> None:
        """The end of a turn."""
        wait_for_device()
        if self._since is None:
            self.say(ready=True)
        else:
            self.say(wall=time.perf_counter() - self._since[0], cpu=time.process_time() - self._since[1])

    def install(self, gradients: Path) -> None:
        """Hold every Trainer that is made from now on; write the first step's gradients (after clipping) to a file."""
        import transformers.trainer
        from transformers import TrainerCallback

        gate = self

        class Hold(TrainerCallback):
            def on_step_begin(self, *args: Any, **kwargs: Any) -> None:
                gate.wait()

            def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
                if state.global_step == 0:
                    save_gradients(kwargs["model"], gradients)

            def on_train_end(self, *args: Any, **kwargs: Any) -> None:
                gate.stop()

        known: list[Any] = transformers.trainer.DEFAULT_CALLBACKS
        known.append(Hold)


def save_gradients(model: Any, path: Path) -> None:
    """Gradients by parameter name, fp32, of large ones every n-th element."""
    from safetensors.torch import save_file

    found = {}
    for name, parameter in model.named_parameters():
        if parameter.grad is not None:
            flat = parameter.grad.flatten()
            found[name] = flat[:: -(-len(flat) // _ELEMENTS)].float().cpu().contiguous()
    save_file(found, path)


def _gradient_gap(one: Path, other: Path) -> float:
    """Length of the difference of two saved gradients, as a share of the first one's length."""
    from safetensors.torch import load_file

    first, second = load_file(one), load_file(other)
    if first.keys() != second.keys():
        raise SystemExit(f"{other}: holds gradients of other parameters than {one}")
    apart = sum(float((first[key] - second[key]).double().square().sum()) for key in first)
    length = sum(float(value.double().square().sum()) for value in first.values())
    return float((apart / length) ** 0.5)


def gaps_of(base: Seat, other: Seat, folder: Path) -> tuple[float, float]:
    """By how much two subjects differ in the loss and the gradient of the first step."""
    one, two = (folder / seat.name / "gradients.safetensors" for seat in (base, other))
    return abs(base.end["losses"][0] - other.end["losses"][0]), _gradient_gap(one, two)


def wait_for_device() -> None:
    """Let a GPU end what it was told, so that a clock that is read then is right."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()


def forget_device_peak() -> None:
    """Start the GPU's peak of memory anew."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()


def device_peak() -> int:
    """What torch has allocated on a GPU at most since, in bytes; 0 without one."""
    import torch

    return int(torch.cuda.max_memory_allocated()) if torch.cuda.is_available() else 0


def peak_memory() -> int:
    """Largest resident size of this process so far, in bytes."""
    return _status("VmHWM")


def memory_now() -> int:
    """Resident size of this process, in bytes."""
    return _status("VmRSS")


def _status(key: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{key}:"):
            return 1024 * int(line.split()[1])
    raise SystemExit(f"/proc/self/status has no {key}")
