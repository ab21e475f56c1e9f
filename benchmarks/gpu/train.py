"""Training preference pairs on one GPU, with models of two and four billion parameters: prefdata against TRL.

    python -m benchmarks.gpu.train [--models internvl3-2b qwen2.5-vl-3b] [--tiles 7 13] [--only pairs grouped]
    DS_ACCELERATOR=cpu python -m benchmarks.gpu.train --tiny      # the same on a CPU: does it run?

**No figure from a GPU exists yet**: this was only run with --tiny, on a CPU. It needs one GPU with 80 GB, 30 GB of disk
for the temporary folder (`TMPDIR`), and an environment with the extra `train`, trl, datasets and the torchvision that
belongs to the torch. A model and a number of tiles take about three minutes; with little time on a GPU, ask for one
model, 7 tiles and --rounds 3.

Models of the released shapes with random weights (`models.py`), bf16 autocast over fp32 weights, AdamW in fp32, for
everybody; pictures of 7 or 13 tiles (1,792 or 3,328 tokens), answers of 200 to 400 tokens, 4 pairs a step; `grouped`:
all 16 pairs of 4 right and 4 wrong answers of one question. Subjects are those of `benchmarks/train.py`, but run one
after the other, since their models do not fit side by side; a GPU that nobody else uses keeps its pace. On a GPU TRL's
head scores answer positions without being patched.

tokens/s counts a pair's two sequences whole, prompt and image in each, whoever runs them how often; MFU counts what the
subject itself runs (`flops.py`). Memory is torch's peak of allocated bytes after the first step. Nothing is printed for
a setting whose subjects differ in the first step by more than bf16 explains.
"""

import argparse
import json
import random
import tempfile
from dataclasses import dataclass
from math import isqrt
from pathlib import Path
from statistics import median
from typing import Any

import msgspec

from benchmarks.gpu import flops, models
from benchmarks.harness import RESULTS, versions_of
from benchmarks.training import shapes
from benchmarks.training.subjects import SUBJECTS, Terms
from benchmarks.training.turns import Seat, gaps_of

LOSS_GAP = 2e-2
GRADIENT_GAP = 1e-1
"""bf16 steps are 2^-8 of a value; a wrong mask or another loss shows as more than the gradient's own length."""

SUBJECT_NAMES = {
    "pairs": ("trl", "online", "cached"),
    "grouped": ("trl-micro", "trl-distinct", "grouped-online", "grouped-cached"),
}
PAIRS, SIDES = 4, 4
QUESTION = 60


@dataclass(frozen=True)
class Rows:
    """A file of rows and the lengths in it, in tokens."""

    data: str
    prompt: int
    answers: tuple[tuple[int, int], ...]
    """chosen and rejected of each pair"""


def main() -> None:
    """Measure every model with every number of tiles, print and keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--models", nargs="+", choices=models.SAVERS, default=list(models.SAVERS))
    parser.add_argument("--tiles", nargs="+", type=int, choices=(1, 7, 13), default=[7, 13])
    parser.add_argument("--only", nargs="+", choices=SUBJECT_NAMES, default=list(SUBJECT_NAMES))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--gradient-checkpointing", action="store_true")
    parser.add_argument("--tiny", action="store_true", help="models of a few thousand weights, short answers")
    parser.add_argument("--output", type=Path, default=RESULTS / "gpu-train.json")
    arguments = parser.parse_args()
    device = _device()
    document: dict[str, Any] = {
        "device": device,
        "versions": versions_of(("torch", "transformers", "trl", "accelerate", "prefdata")),
        "settings": [],
    }
    print(device, ", ".join(f"{name} {version}" for name, version in document["versions"].items()))
    for model in arguments.models:
        for tiles in arguments.tiles:
            for setting in arguments.only:
                found = measure(model, tiles, setting, device, arguments)
                print(text(found), flush=True)
                document["settings"].append(found)
    arguments.output.parent.mkdir(exist_ok=True)
    arguments.output.write_text(json.dumps(document, indent=2) + "\n")


def measure(model: str, tiles: int, setting: str, device: str, arguments: Any) -> dict[str, Any]:
    """One model, one size of pictures, one kind of rows."""
    from transformers import AutoConfig

    with tempfile.TemporaryDirectory(prefix="prefdata-gpu-train-") as name:
        folder = Path(name)
        models.SAVERS[model](folder / "model", tiles, tiny=arguments.tiny)
        config = AutoConfig.from_pretrained(folder / "model")
        rows = write_rows(folder, model, tiles, grouped=setting == "grouped", tiny=arguments.tiny)
        terms = Terms(
            data=rows.data, pairs=len(rows.answers), steps=arguments.rounds + 1, dtype="bf16",
            gradient_checkpointing=arguments.gradient_checkpointing,
        )  # fmt: skip
        told = [name, msgspec.json.encode(terms).decode()]
        seats = []
        for subject in SUBJECT_NAMES[setting]:
            seat = Seat.take(subject, told, threads=4)
            for _ in range(terms.steps):
                seat.turn()
            seat.finish()
            seats.append(seat)
        for seat in seats:
            loss, gradient = gaps_of(seats[0], seat, folder)
            if not (loss <= LOSS_GAP and gradient <= GRADIENT_GAP):
                raise SystemExit(
                    f"{model}, {tiles} tiles: {seat.name} differs from {seats[0].name} by {loss:.1e} in the first loss "
                    f"and {gradient:.1e} in its gradient; what computes something else is not measured."
                )
    return {
        "model": model,
        "tiles": tiles,
        "setting": setting,
        "prompt": rows.prompt,
        "answers": rows.answers,
        "subjects": {seat.name: figures(seat, rows, config, tiles, device, arguments.tiny) for seat in seats},
    }


def write_rows(folder: Path, model: str, tiles: int, *, grouped: bool, tiny: bool) -> Rows:
    """Rows as MMPR files, each question with a picture of its own."""
    from PIL import Image
    from transformers import AutoProcessor

    low, high = (200, 400) if not tiny else (6, 12)
    draw = random.Random(0)
    sides = (
        [(f"c{n}", draw.randint(low, high)) for n in range(SIDES)],
        [(f"r{n}", draw.randint(low, high)) for n in range(SIDES)],
    )
    if grouped:
        wanted = [(0, sides[0][right], sides[1][wrong]) for wrong in range(SIDES) for right in range(SIDES)]
    else:
        wanted = [(n, sides[0][n], sides[1][n]) for n in range(PAIRS)]
    size = models.picture_size(model, tiles, tiny=tiny)
    lines = []
    for number, (chosen, chosen_tokens), (rejected, rejected_tokens) in wanted:
        picture = folder / f"{number}.png"
        if not picture.exists():
            Image.frombytes("RGB", size, draw.randbytes(3 * size[0] * size[1])).save(picture)
        row = {
            "image": picture.name,
            "question": shapes.letters(f"q{number}", QUESTION),
            "chosen": shapes.letters(chosen, chosen_tokens - 1),  # and its end of turn
            "rejected": shapes.letters(rejected, rejected_tokens - 1),
        }
        lines.append(json.dumps(row) + "\n")
    data = folder / "rows.jsonl"
    data.write_text("".join(lines), encoding="utf-8")
    processor = AutoProcessor.from_pretrained(folder / "model")
    content = [{"type": "image"}, {"type": "text", "text": "\n" + shapes.letters("q0", QUESTION)}]
    prompt = processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
    inputs = processor(text=prompt, images=[Image.open(folder / "0.png")], return_tensors="pt")
    answers = tuple((chosen, rejected) for _, (_, chosen), (_, rejected) in wanted)
    return Rows(data.name, inputs["input_ids"].shape[1], answers)


def figures(seat: Seat, rows: Rows, config: Any, tiles: int, device: str, tiny: bool) -> dict[str, Any]:
    """Rates, share of the GPU's peak, memory."""
    seconds = median(turn["wall"] for turn in seat.turns[1:])
    plain = sum(2 * rows.prompt + chosen + rejected for chosen, rejected in rows.answers)
    image_tokens = tiles * (models.TINY_TILE_TOKENS if tiny else models.TILE_TOKENS)
    work = flops.operations(config, run_of(seat.name, rows), image_tokens)
    peak = flops.peak_of(device)
    return {
        "label": SUBJECTS[seat.name].label,
        "seconds": seconds,
        "pairs_per_second": len(rows.answers) / seconds,
        "tokens_per_second": plain / seconds,
        "operations": work,
        "mfu": work / seconds / peak if peak else None,
        "device_peak": seat.end["device_peak"],
        "losses": seat.end["losses"],
        "turns": seat.turns,
    }


def run_of(name: str, rows: Rows) -> flops.Run:
    """What a subject runs in a step."""
    subject = SUBJECTS[name]
    pairs = rows.answers
    if subject.grouped or subject.distinct:
        sides = isqrt(len(pairs))
        answers = [pairs[n][0] for n in range(sides)] + [pairs[n * sides][1] for n in range(sides)]
        trees = [answers]
    else:
        answers = [tokens for pair in pairs for tokens in pair]
        trees = [list(pair) for pair in pairs]
    if subject.ours:
        sequences = [(rows.prompt, 0) for _ in trees] + [(tokens, rows.prompt) for tokens in answers]
    else:
        sequences = [(rows.prompt + tokens, 0) for tokens in answers]
    return flops.Run(
        images=len(trees) if subject.ours else len(answers),
        sequences=sequences,
        scored=sum(answers),
        reference=subject.reference == "online",
    )


def text(found: dict[str, Any]) -> str:
    """One setting as a Markdown table."""
    lengths = [tokens for pair in found["answers"] for tokens in pair]
    lines = [
        f"\n{found['model']}, {found['tiles']} tiles, {found['setting']}: prompt {found['prompt']} tokens, answers "
        f"{min(lengths)} to {max(lengths)}, {len(found['answers'])} pairs a step",
        "",
        "| subject | pairs/s | against the first | tokens/s | MFU | peak memory |",
        "|---|---|---|---|---|---|",
    ]
    base = next(iter(found["subjects"].values()))
    for one in found["subjects"].values():
        mfu = "-" if one["mfu"] is None else f"{one['mfu']:.0%}"
        memory = f"{one['device_peak'] / 1e9:.1f} GB" if one["device_peak"] else "-"
        lines.append(
            f"| {one['label']} | {one['pairs_per_second']:.2f} | {base['seconds'] / one['seconds']:.2f}x "
            f"| {one['tokens_per_second']:,.0f} | {mfu} | {memory} |"
        )
    return "\n".join(lines)


def _device() -> str:
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"


if __name__ == "__main__":
    main()
