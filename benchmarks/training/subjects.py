"""The trainers that are compared, each in a process of its own: `python -m benchmarks.training.subjects NAME ...`.

Where it stands: `benchmarks/train.py` starts one process per name and gives turns (`turns.py`). The first line said is
"ready", then one line per step, then one with losses and memory. All have the same model, rows, loss, AdamW, constant
learning rate and clipping; prefdata runs as `prefdata train` runs it, its self-check and reference pass before step 1.
"""

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from benchmarks.training.turns import Gate, device_peak, memory_now, peak_memory

RATE, BETA2, DECAY, CLIP = 1e-5, 0.999, 0.05, 1.0


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """What is the same for all subjects of a comparison."""

    data: str
    """name of the file of rows in the folder"""
    pairs: int
    """per optimiser step"""
    steps: int
    dtype: Literal["fp32", "bf16"] = "fp32"
    """compute type; the weights and AdamW's moments are fp32"""
    micro: int = 4
    """pairs per micro-batch of the rival that cannot take all pairs at once"""
    max_tokens: int = 1 << 16
    """of one packed row; by default a step is one row"""
    gradient_checkpointing: bool = False


@dataclass(frozen=True)
class Subject:
    """One way of training."""

    label: str
    ours: bool
    reference: Literal["online", "cached"] = "online"
    micro: bool = False
    """TRL: gradient accumulation instead of all pairs at once"""
    patched: bool = True
    distinct: bool = False
    grouped: bool = False


SUBJECTS = {
    "trl": Subject("TRL, head on answers", False),
    "trl-as-installed": Subject("TRL as installed", False, patched=False),
    "trl-cached": Subject("TRL, head on answers, cached reference", False, reference="cached"),
    "trl-micro": Subject("TRL, head on answers, all pairs", False, micro=True),
    "trl-distinct": Subject("TRL, each distinct answer once", False, distinct=True),
    "online": Subject("prefdata, online reference", True),
    "cached": Subject("prefdata, cached reference", True, reference="cached"),
    "grouped-online": Subject("prefdata, grouped, online reference", True, grouped=True),
    "grouped-cached": Subject("prefdata, grouped, cached reference", True, reference="cached", grouped=True),
}


def main() -> None:
    """Train with one subject, a step per turn."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("name", choices=SUBJECTS)
    parser.add_argument("folder", type=Path, help="holds model/ and the rows")
    parser.add_argument("terms", help="JSON, see Terms")
    arguments = parser.parse_args()
    gate = Gate()
    output = arguments.folder / arguments.name
    output.mkdir()
    gate.install(output / "gradients.safetensors")
    subject = SUBJECTS[arguments.name]
    terms = msgspec.json.decode(arguments.terms, type=Terms)
    run = _ours if subject.ours else _theirs
    losses, base = run(subject, arguments.folder, terms, output / "out")
    gate.say(losses=losses, base=base, peak=peak_memory(), device_peak=device_peak())


def _ours(subject: Subject, folder: Path, terms: Terms, output: Path) -> tuple[list[float], int]:
    """Losses, and the memory held before the model is loaded."""
    import deepspeed  # noqa: F401
    import torch  # noqa: F401

    from trainers.config import TrainConfig
    from trainers.launch import environment
    from trainers.run import run

    config = TrainConfig(
        stage="mpo", model=str(folder / "model"), data=str(folder / terms.data), output_dir=str(output),
        image_root=str(folder), batch_size=terms.pairs, max_steps=terms.steps, learning_rate=RATE,
        warmup=0.0, schedule="constant", weight_decay=DECAY, adam_beta2=BETA2, max_grad_norm=CLIP,
        bco_delta="none", deepspeed="none", dtype=terms.dtype, require_share=True, max_tokens=terms.max_tokens,
        gradient_checkpointing=terms.gradient_checkpointing, group_by_question=subject.grouped, num_workers=0,
        reference=subject.reference,
    )  # fmt: skip
    with environment(config):
        base = memory_now()
        run(config)
    log = (output / "train_log.jsonl").read_text().splitlines()
    return [json.loads(line)["loss"] for line in log], base


def _theirs(subject: Subject, folder: Path, terms: Terms, output: Path) -> tuple[list[float], int]:
    """The same of TRL."""
    import torch
    import trl  # noqa: F401

    from benchmarks.training import rival

    if subject.patched:
        rival.score_answers_only()
    micro = terms.micro if subject.micro else terms.pairs
    base = memory_now()
    made = rival.trainer(
        folder / "model", rival.read_rows(folder / terms.data), output, batch=micro, distinct=subject.distinct,
        gradient_accumulation_steps=terms.pairs // micro, max_steps=terms.steps, learning_rate=RATE,
        lr_scheduler_type="constant", weight_decay=DECAY, adam_beta2=BETA2, max_grad_norm=CLIP,
        precompute_ref_log_probs=subject.reference == "cached", use_cpu=not torch.cuda.is_available(),
        bf16=terms.dtype == "bf16", gradient_checkpointing=terms.gradient_checkpointing,
    )  # fmt: skip
    made.train()
    return [float(entry["loss"]) for entry in made.state.log_history if "loss" in entry], base


if __name__ == "__main__":
    main()
