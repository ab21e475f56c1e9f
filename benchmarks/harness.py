"""Compare two things on a noisy machine: run A B A B ... and look at the ratio of each neighbouring pair.

Absolute times on a shared machine say little: the same command takes half as long again when a neighbour wakes up.
Two runs next to each other suffer the same neighbour, so their ratio holds. `compare` runs the subjects in turn, swaps
which one goes first in every round (a warm cache would otherwise always favour the second), and reports the median of
the pairwise ratios with the smallest and largest. CPU seconds stand beside wall seconds: they tell waiting from work.

    from benchmarks.harness import Subject, compare

    comparison = compare(Subject.command("new", [...]), Subject.command("old", [...]), rounds=9)
    print(comparison.text())
    comparison.write("name")          # benchmarks/results/name.json
"""

import importlib.metadata
import json
import os
import platform
import resource
import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Subject:
    """One of the two things compared: a name, what runs it once, and the versions of what it is made of."""

    name: str
    run: Callable[[], object]
    versions: dict[str, str] = field(default_factory=dict)

    @classmethod
    def command(cls, name: str, argv: Sequence[str], packages: Sequence[str] = ()) -> "Subject":
        """A whole process: what a user waits for, start-up included. A failing command ends the benchmark."""

        def run() -> None:
            subprocess.run(argv, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)

        return cls(name, run, versions_of(packages))

    @classmethod
    def call(cls, name: str, function: Callable[[], object], packages: Sequence[str] = ()) -> "Subject":
        """A callable in this process."""
        return cls(name, function, versions_of(packages))


@dataclass(frozen=True)
class Timing:
    """Seconds of one run: `cpu` is user plus system time, of this process and its children."""

    wall: float
    cpu: float


@dataclass(frozen=True)
class Ratio:
    """A's time over B's, over all rounds: below 1 means that A is the faster one."""

    median: float
    low: float
    high: float


@dataclass(frozen=True)
class Comparison:
    """All timings of one comparison, and what they amount to."""

    a: Subject
    b: Subject
    a_timings: list[Timing]
    b_timings: list[Timing]

    @property
    def wall(self) -> Ratio:
        return ratio_of([t.wall for t in self.a_timings], [t.wall for t in self.b_timings])

    @property
    def cpu(self) -> Ratio:
        return ratio_of([t.cpu for t in self.a_timings], [t.cpu for t in self.b_timings])

    def median_wall(self, subject: Subject) -> float:
        """Median seconds of one of the two, for orientation only: compare the ratios."""
        timings = self.a_timings if subject is self.a else self.b_timings
        return statistics.median(t.wall for t in timings)

    def text(self) -> str:
        """The result for people: versions, medians and both ratios."""
        lines = [f"{self.a.name} / {self.b.name}, {len(self.a_timings)} interleaved rounds"]
        for subject in (self.a, self.b):
            versions = ", ".join(f"{name} {version}" for name, version in subject.versions.items())
            lines.append(f"  {subject.name}: median {self.median_wall(subject):.4f} s [{versions}]")
        for name, ratio in (("wall", self.wall), ("cpu", self.cpu)):
            lines.append(f"  {name} ratio: median {ratio.median:.3f} ({ratio.low:.3f} to {ratio.high:.3f})")
        return "\n".join(lines)

    def write(self, name: str) -> Path:
        """Write `benchmarks/results/NAME.json` with every single timing, so that a doubt can be looked into."""
        document = {
            "machine": {"cpus": os.cpu_count(), "architecture": platform.machine()},
            "a": _described(self.a, self.a_timings),
            "b": _described(self.b, self.b_timings),
            "ratio": {"wall": asdict(self.wall), "cpu": asdict(self.cpu)},
        }
        RESULTS.mkdir(exist_ok=True)
        path = RESULTS / f"{name}.json"
        path.write_text(json.dumps(document, indent=2) + "\n")
        return path


def compare(a: Subject, b: Subject, *, rounds: int = 9, warm_up: int = 1) -> Comparison:
    """Run both `rounds` times in turn, after `warm_up` rounds that do not count (file caches, compiled modules)."""
    timings: dict[str, list[Timing]] = {"a": [], "b": []}
    for number in range(-warm_up, rounds):
        order = (("a", a), ("b", b)) if number % 2 == 0 else (("b", b), ("a", a))
        for key, subject in order:
            timing = measure(subject.run)
            if number >= 0:
                timings[key].append(timing)
    return Comparison(a, b, timings["a"], timings["b"])


def measure(run: Callable[[], object]) -> Timing:
    """Time one run."""
    cpu_before, wall_before = _cpu_seconds(), time.perf_counter()
    run()
    return Timing(wall=time.perf_counter() - wall_before, cpu=_cpu_seconds() - cpu_before)


def versions_of(packages: Sequence[str]) -> dict[str, str]:
    """The versions of the named distributions, and of Python."""
    return {
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in packages},
    }


def _cpu_seconds() -> float:
    own, children = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def ratio_of(a: Sequence[float], b: Sequence[float]) -> Ratio:
    """a over b, round by round."""
    # The clock of CPU seconds is coarse: a run too short for it counts as one tick, not as a division by zero.
    tick = 1e-6
    ratios = [x / max(y, tick) for x, y in zip(a, b, strict=True)]
    return Ratio(statistics.median(ratios), min(ratios), max(ratios))


def _described(subject: Subject, timings: list[Timing]) -> dict[str, object]:
    return {"name": subject.name, "versions": subject.versions, "timings": [asdict(t) for t in timings]}
