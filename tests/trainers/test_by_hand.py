"""Ten steps of `prefdata train --stage mpo` against a loop written from the formulas, sharing no code with the trainer.

Every answer is a sequence of its own, image and prompt included, through the model's ordinary forward; reference,
losses, reward shift, schedule, clipping and AdamW's groups are spelled out here.
"""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor

from tests.support.forests import config
from trainers.launch import environment
from trainers.run import run

STEPS, RATE, WARM, DECAY, BETA, CLIP = 10, 1e-3, 0.2, 0.05, 0.1, 1.0


def sequences(folder: Path, data: Path) -> list[list[dict[str, Any]]]:
    """[pair][chosen, rejected] -> model inputs, and which tokens are the answer's."""
    processor = AutoProcessor.from_pretrained(folder)
    found = []
    for row in map(json.loads, data.read_text().splitlines()):
        prompt = f"<|im_start|>user\n<image>\n{row['question']}<|im_end|>\n<|im_start|>assistant\n"
        image = Image.open(data.parent / row["image"])
        before = processor(text=prompt, images=image, return_tensors="pt")["input_ids"].shape[1]
        sides = []
        for side in ("chosen", "rejected"):
            inputs = processor(text=f"{prompt}{row[side]}<|im_end|>", images=image, return_tensors="pt")
            sides.append(
                {"inputs": dict(inputs), "answer": inputs["input_ids"][0, before:], "before": before}
            )
        found.append(sides)
    return found


def token_logps(model: Any, side: dict[str, Any]) -> torch.Tensor:
    """Log-probabilities [answer tokens]."""
    logits = model(**side["inputs"]).logits[0, side["before"] - 1 : -1]
    answer = side["answer"]
    picked: torch.Tensor = logits.log_softmax(-1)[torch.arange(len(answer)), answer]
    return picked


def train_by_hand(folder: Path, data: Path) -> tuple[list[float], Any]:
    """The loss of each step, and the model after the last."""
    pairs = sequences(folder, data)
    model = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32)
    with torch.no_grad():
        reference = [[token_logps(model, side).sum() for side in sides] for sides in pairs]
    vectors = [p for p in model.parameters() if p.dim() == 1]  # biases and norms
    matrices = [p for p in model.parameters() if p.dim() > 1]
    groups = [{"params": matrices, "weight_decay": DECAY}, {"params": vectors, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=RATE, betas=(0.9, 0.999), eps=1e-8)
    warm, delta, losses = math.ceil(WARM * STEPS), 0.0, []
    for step in range(STEPS):
        logps = [[token_logps(model, side) for side in sides] for sides in pairs]
        rewards = torch.stack(
            [
                torch.stack([BETA * (own.sum() - known) for own, known in zip(sides, base, strict=True)])
                for sides, base in zip(logps, reference, strict=True)
            ]
        )
        chosen, rejected = rewards.T
        preference = -F.logsigmoid(chosen - rejected).mean()
        quality = (-F.logsigmoid(chosen - delta) - F.logsigmoid(delta - rejected)).mean()
        generation = -torch.cat([sides[0] for sides in logps]).mean()
        loss = 0.8 * preference + 0.2 * quality + generation
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        done = (step - warm) / (STEPS - warm)
        scale = step / warm if step < warm else 0.5 * (1 + math.cos(math.pi * done))
        for group in optimizer.param_groups:
            group["lr"] = RATE * scale
        optimizer.step()
        losses.append(loss.item())
        delta = 0.99 * delta + 0.01 * rewards.mean().item()
    return losses, model


def test_ten_steps_equal_a_loop_written_by_hand(models: dict[str, Path], pairs: Path, tmp_path: Path) -> None:
    settings = config(
        models["llava"], pairs, tmp_path / "out", batch_size=10, max_steps=STEPS, learning_rate=RATE, warmup=WARM,
        weight_decay=DECAY, max_grad_norm=CLIP, beta=BETA, schedule="cosine", bco_delta="ema", max_tokens=600,
        save_dtype="fp32",
    )  # fmt: skip
    with environment(settings):
        run(settings)
    log = [json.loads(line) for line in (tmp_path / "out" / "train_log.jsonl").read_text().splitlines()]
    expected, model = train_by_hand(models["llava"], pairs)
    assert json.loads((tmp_path / "out" / "train.json").read_text())["rows_per_step"] > 1
    assert expected[-1] < expected[0] - 0.1
    assert [line["loss"] for line in log] == pytest.approx(expected, abs=1e-5)
    trained, start = (
        AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32)
        for folder in (tmp_path / "out", models["llava"])
    )
    assert distance(model, trained) < 1e-3 * distance(model, start)


@torch.no_grad()
def distance(one: Any, other: Any) -> float:
    """Between the weights of two models."""
    squares = [(a - b).square().sum() for a, b in zip(one.parameters(), other.parameters(), strict=True)]
    return float(torch.stack(squares).sum().sqrt())
