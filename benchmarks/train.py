"""Training preference pairs: prefdata against TRL's DPOTrainer, a step each in turn.

    python -m benchmarks.train [--rounds 5] [--only pairs grouped text] [--threads 1] [--tiny]

Same model (random weights, fp32), same rows, same loss (0.8 sigmoid + 0.2 bco_pair + 1.0 sft), same AdamW; a turn is
one optimiser step of the trainer's own loop, collator, clipping and logging included. Every subject is a process of its
own (`training/turns.py`); TRL's head is restricted to answer positions, as on GPUs (`training/rival.py` says how), and
TRL as installed stands beside it. Three settings:

- pairs: 4 pairs, each with an image of its own; prompt 351 tokens of which 289 are the image, answers 120.
- grouped: all 16 pairs of 4 right and 4 wrong answers of one question. TRL runs 4 micro-batches of 4 pairs. The second
  rival runs each of the 8 answers once, which TRL does not offer: the honest lower bound.
- text: 4 pairs without images, prompt 351 tokens. TRL can cache the reference here, and does so for its second row.

No figure is printed unless all subjects of a setting had the same losses and the same gradient in the first step.
`pairs/s` and `CPU` are TRL's seconds over the subject's, the median of the rounds (smallest to largest); wall seconds
suffer from neighbours, CPU seconds hardly. `cached` reads the reference from its file: the one pass that fills it ran
before step 1. Memory is the largest resident size of the process less what it held with everything imported and no
model loaded; the whole size stands beside it. benchmarks/results/train.json holds every turn.
"""

import argparse
import json
import os
import platform
import tempfile
from dataclasses import asdict, dataclass
from math import isqrt
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.harness import RESULTS, Ratio, ratio_of, versions_of
from benchmarks.training.shapes import Shape, save_model, write_grouped, write_pairs
from benchmarks.training.subjects import SUBJECTS, Terms
from benchmarks.training.turns import Seat, gaps_of

LOSS_GAP = 1e-4
GRADIENT_GAP = 1e-4
"""Length of the difference, as a share of the gradient's length."""

VISION = Shape("llava 512 x 8, siglip 256 x 8")
TEXT = Shape("llama 512 x 8", grid=0)
TINY_VISION = Shape("tiny llava", 32, 2, 4, 48, 264, 16, 2, grid=2, trunk=60, answer=12)
TINY_TEXT = Shape("tiny llama", 32, 2, 4, 48, 264, grid=0, trunk=40, answer=12)


@dataclass(frozen=True)
class Setting:
    """Rows, and who trains on them; the first is what the others are measured by."""

    name: str
    shape: Shape
    pairs: int
    subjects: tuple[str, ...]


def settings(tiny: bool) -> dict[str, Setting]:
    """What can be asked for with --only."""
    vision, text = (TINY_VISION, TINY_TEXT) if tiny else (VISION, TEXT)
    made = (
        Setting("pairs", vision, 4, ("trl", "trl-as-installed", "online", "cached")),
        Setting("grouped", vision, 16, ("trl-micro", "trl-distinct", "grouped-online", "grouped-cached")),
        Setting("text", text, 4, ("trl", "trl-cached", "online", "cached")),
    )
    return {setting.name: setting for setting in made}


def main() -> None:
    """Measure the settings one after the other, print and keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    known = settings(False)
    os.environ.setdefault("DS_ACCELERATOR", "cpu")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="+", choices=known, default=list(known))
    parser.add_argument("--threads", type=int, default=1, help="of each subject")
    parser.add_argument("--tiny", action="store_true", help="models of a few thousand weights: does it run?")
    parser.add_argument("--output", type=Path, default=RESULTS / "train.json")
    arguments = parser.parse_args()
    chosen = settings(arguments.tiny)
    packages = ("torch", "transformers", "trl", "accelerate", "prefdata")
    document: dict[str, Any] = {
        "machine": {"cpus": os.cpu_count(), "processor": _processor(), "threads": arguments.threads},
        "versions": versions_of(packages),
        "settings": {},
    }
    print(", ".join(f"{name} {version}" for name, version in document["versions"].items()))
    print(f"{document['machine']['processor']}, {arguments.threads} thread(s) for each subject")
    for name in arguments.only:
        found = measure(chosen[name], arguments.rounds, arguments.threads)
        print(text(chosen[name], found), flush=True)
        document["settings"][name] = found
    arguments.output.parent.mkdir(exist_ok=True)
    arguments.output.write_text(json.dumps(document, indent=2) + "\n")


def measure(setting: Setting, rounds: int, threads: int) -> dict[str, Any]:
    """All subjects of a setting, after one turn each that does not count; ends the program where they disagree."""
    with tempfile.TemporaryDirectory(prefix="prefdata-train-") as name:
        folder = Path(name)
        save_model(setting.shape, folder / "model")
        if setting.name == "grouped":
            data = write_grouped(setting.shape, folder, isqrt(setting.pairs))
        else:
            data = write_pairs(setting.shape, folder, setting.pairs)
        terms = Terms(data=data.name, pairs=setting.pairs, steps=rounds + 1)
        told = [name, msgspec.json.encode(terms).decode()]
        seats = [Seat.take(subject, told, threads) for subject in setting.subjects]
        for number in range(rounds + 1):
            first = number % len(seats)
            for seat in seats[first:] + seats[:first]:
                seat.turn()
        for seat in seats:
            seat.finish()
        gaps = {seat.name: gaps_of(seats[0], seat, folder) for seat in seats}
    for subject, (loss, gradient) in gaps.items():
        if not (loss <= LOSS_GAP and gradient <= GRADIENT_GAP):
            raise SystemExit(
                f"{setting.name}: {subject} differs from {seats[0].name} by {loss:.1e} in the first loss and "
                f"{gradient:.1e} in its gradient; what computes something else is not measured."
            )
    return {
        "shape": asdict(setting.shape),
        "pairs": setting.pairs,
        "subjects": {seat.name: _figures(seats[0], seat, gaps[seat.name], setting.pairs) for seat in seats},
    }


def _figures(base: Seat, seat: Seat, gaps: tuple[float, float], pairs: int) -> dict[str, Any]:
    turns, rivals = seat.turns[1:], base.turns[1:]
    ratios = {
        key: asdict(ratio_of([turn[key] for turn in rivals], [turn[key] for turn in turns]))
        for key in ("wall", "cpu")
    }
    net, rival_net = seat.end["peak"] - seat.end["base"], base.end["peak"] - base.end["base"]
    return {
        "label": SUBJECTS[seat.name].label,
        "speed": ratios,
        "pairs_per_cpu_second": pairs * len(turns) / sum(turn["cpu"] for turn in turns),
        "memory": {"net": net, "peak": seat.end["peak"], "net_ratio": net / rival_net},
        "first_step": {"loss": seat.end["losses"][0], "loss_gap": gaps[0], "gradient_gap": gaps[1]},
        "losses": seat.end["losses"],
        "turns": seat.turns,
    }


def text(setting: Setting, found: dict[str, Any]) -> str:
    """The table of one setting, in Markdown."""
    lines = [
        f"\n{setting.name}: {setting.shape.name}, {setting.pairs} pairs a step",
        "",
        "| subject | pairs/s | CPU | memory | first loss | gradient gap |",
        "|---|---|---|---|---|---|",
    ]
    for figures in found["subjects"].values():
        wall, cpu = (Ratio(**figures["speed"][key]) for key in ("wall", "cpu"))
        memory, first = figures["memory"], figures["first_step"]
        lines.append(
            f"| {figures['label']} | {wall.median:.2f}x | {cpu.median:.2f}x ({cpu.low:.2f} to {cpu.high:.2f}) "
            f"| {memory['net_ratio']:.2f}x: {memory['net'] / 1e6:,.0f} MB of {memory['peak'] / 1e6:,.0f} "
            f"| {first['loss']:.5f} | {first['gradient_gap']:.0e} |"
        )
    return "\n".join(lines)


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


if __name__ == "__main__":
    main()
