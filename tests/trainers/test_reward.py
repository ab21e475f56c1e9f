"""`prefdata train --stage reward`: from pairs to a folder that gives the same scores again."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from prefdata.readers import read_rows
from tests.support.forests import config
from tests.support.program import read_lines
from trainers import reward
from trainers.launch import environment
from trainers.run import run


def train(**settings: Any) -> dict[str, Any]:
    """A run in this process."""
    usual: dict[str, Any] = {"stage": "reward", "save_dtype": "fp32", "max_steps": 4}
    made = config(**usual | settings)
    with environment(made):
        result = run(made)
    assert result is not None
    return result


def log_of(folder: Path) -> list[dict[str, Any]]:
    return read_lines(folder / "train_log.jsonl")


def accuracy_of(folder: Path, data: Path) -> tuple[float, list[tuple[float, ...]]]:
    """What a reloaded model makes of pairs."""
    model = reward.load(folder)
    scores = model.scores([row.record for row in read_rows(data, "mmpr")], folder=data.parent)
    return sum(chosen > rejected for chosen, rejected in scores) / len(scores), scores


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("llava", {"pooling": "mean", "deepspeed": "zero1"}),
        ("llava", {"pooling": "last", "lora_rank": 4, "learning_rate": 1e-2}),
        ("llama", {"pooling": "token", "reward_token": "<|im_start|>", "deepspeed": "zero1"}),
        ("llama", {"lora_rank": 4, "deepspeed": "zero1", "learning_rate": 1e-2, "score_penalty": "l2"}),
    ],
)
def test_a_reloaded_model_gives_the_same_scores(
    kind: str,
    settings: dict[str, Any],
    models: dict[str, Path],
    pairs: Path,
    text_pairs: Path,
    tmp_path: Path,
) -> None:
    data, out = pairs if kind == "llava" else text_pairs, tmp_path / "out"
    train(model=models[kind], data=data, output=out, eval_data=str(data), **settings)
    lines = log_of(out)
    assert lines[0]["loss"] == pytest.approx(math.log(2), abs=1e-6)  # a head of zeros
    assert lines[-1]["loss"] < lines[0]["loss"]
    accuracy, scores = accuracy_of(out, data)
    (found,) = json.loads((out / "eval.json").read_text())["history"]
    assert found["accuracy"] == pytest.approx(accuracy)
    margin = sum(chosen - rejected for chosen, rejected in scores) / len(scores)
    assert abs(margin) > 1e-3
    assert found["mean_margin"] == pytest.approx(margin, abs=1e-4)
    assert lines[-1]["eval_mean_margin"] == found["mean_margin"]
    card = json.loads((out / "reward.json").read_text())
    assert card["pooling"] == settings.get("pooling", "last")
    assert plain_names(out) == plain_names(models[kind]) - untied(kind)
    if "lora_rank" in settings:
        assert (out / "adapter" / "adapter_model.safetensors").is_file()


def plain_names(folder: Path) -> set[str]:
    from safetensors import safe_open

    with safe_open(folder / "model.safetensors", framework="pt") as tensors:
        return set(tensors.keys())


def untied(kind: str) -> set[str]:
    return {"language_model.lm_head.weight", "lm_head.weight"} if kind == "llava" else set()
