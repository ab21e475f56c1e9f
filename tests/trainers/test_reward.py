"""`prefdata train --stage reward`: from pairs to a folder that gives the same scores again."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from prefdata.errors import PrefdataError
from prefdata.readers import read_rows
from tests.support.forests import config
from tests.support.program import program, read_lines
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
        ("llava", {"pooling": "mean", "deepspeed": "zero1", "reward_loss": "focal"}),
        ("llava", {"pooling": "last", "lora_rank": 4, "learning_rate": 1e-2}),
        ("llama", {"pooling": "token", "reward_token": "<|im_start|>", "score_penalty": "l2"}),
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


def test_a_model_trained_in_bf16_scores_as_at_the_end_of_its_training(
    models: dict[str, Path], text_pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over fp32 weights, which only the file that is saved may round."""
    from trainers import evaluation

    margins: list[float] = []
    original = evaluation.summary

    def seen(judged: Any) -> Any:
        margins.extend(pair.margin for pair in judged)
        return original(judged)

    monkeypatch.setattr(evaluation, "summary", seen)
    train(model=models["llama"], data=text_pairs, output=tmp_path, eval_data=str(text_pairs), dtype="bf16")
    _, scores = accuracy_of(tmp_path, text_pairs)
    assert [chosen - rejected for chosen, rejected in scores] == pytest.approx(margins, abs=1e-6)


def plain_names(folder: Path) -> set[str]:
    from safetensors import safe_open

    with safe_open(folder / "model.safetensors", framework="pt") as tensors:
        return set(tensors.keys())


def untied(kind: str) -> set[str]:
    return {"language_model.lm_head.weight", "lm_head.weight"} if kind == "llava" else set()


@pytest.mark.parametrize("settings", [{"pooling": "mean"}, {"lora_rank": 2, "learning_rate": 1e-2}])
def test_resume_equals_an_uninterrupted_run(
    settings: dict[str, Any], models: dict[str, Path], text_pairs: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    from trainers.trainer import ForestTrainer

    common: dict[str, Any] = {
        "model": models["llama"], "data": text_pairs, "max_steps": 5, "save_steps": 2, "eval_share": 0.3,
        "eval_steps": 2, **settings,
    }  # fmt: skip
    train(output=tmp_path / "whole", **common)
    original = ForestTrainer.compute_loss

    def stopped(self: Any, *args: Any, **kwargs: Any) -> Any:
        if self.state.global_step == 3:
            raise KeyboardInterrupt
        return original(self, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(ForestTrainer, "compute_loss", stopped)
        with pytest.raises(KeyboardInterrupt):
            train(output=tmp_path / "cut", **common)
    train(output=tmp_path / "cut", resume=True, **common)
    for whole, cut in zip(log_of(tmp_path / "whole"), log_of(tmp_path / "cut"), strict=True):
        for key in ("loss", "score_chosen", "score_rejected"):
            assert whole[key] == pytest.approx(cut[key], abs=1e-6)
    whole, cut = (
        json.loads((tmp_path / name / "eval.json").read_text())["history"] for name in ("whole", "cut")
    )
    assert [entry["step"] for entry in whole] == [entry["step"] for entry in cut] == [2, 4, 5]
    assert [entry["loss"] for entry in whole] == pytest.approx([entry["loss"] for entry in cut], abs=1e-6)
    _, scores = accuracy_of(tmp_path / "whole", text_pairs)
    _, again = accuracy_of(tmp_path / "cut", text_pairs)
    assert torch.allclose(torch.tensor(scores), torch.tensor(again), atol=1e-6)


def test_two_processes_with_cut_weights_equal_one(
    models: dict[str, Path], pairs: Path, tmp_path: Path
) -> None:
    """LoRA under ZeRO-3: rows are dealt out in training and in evaluation, and the head comes back whole."""
    common: dict[str, Any] = {
        "model": models["llava"], "data": pairs, "eval_data": str(pairs), "max_steps": 4, "max_tokens": 420,
        "lora_rank": 4, "learning_rate": 1e-2,
    }  # fmt: skip
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in common.items()]
    flags += ["--stage=reward", "--batch-size=4", "--save-dtype=fp32", "--deepspeed=zero3", "--nproc=2"]
    both = program("train", *flags, "--output-dir", tmp_path / "two", cwd=tmp_path)
    assert both.returncode == 0, both.stderr
    train(output=tmp_path / "one", **common)
    for one, two in zip(log_of(tmp_path / "one"), log_of(tmp_path / "two"), strict=True):
        for key in ("loss", "accuracy", "score_chosen"):
            assert one[key] == pytest.approx(two[key], abs=2e-5)
    found = [
        json.loads((tmp_path / name / "eval.json").read_text())["history"][-1] for name in ("one", "two")
    ]
    assert found[0]["loss"] == pytest.approx(found[1]["loss"], abs=2e-5)
    assert found[0]["sources"] == found[1]["sources"]
    _, scores = accuracy_of(tmp_path / "two", pairs)
    margin = sum(chosen - rejected for chosen, rejected in scores) / len(scores)
    assert abs(margin) > 1e-3
    assert found[1]["mean_margin"] == pytest.approx(margin, abs=1e-4)


def test_chats_are_scored_like_rows(models: dict[str, Path], pairs: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    train(model=models["llava"], data=pairs, output=out)
    model = reward.load(out)
    rows = [json.loads(line) for line in pairs.read_text().splitlines()[:2]]
    chats = [
        [{"role": "user", "content": row["question"]}, {"role": "assistant", "content": row[side]}]
        for row in rows
        for side in ("chosen", "rejected")
    ]
    images = [[pairs.parent / row["image"]] for row in rows for _ in range(2)]
    _, scores = accuracy_of(out, pairs)
    assert model.score(chats, images) == pytest.approx([*scores[0], *scores[1]], abs=1e-5)
    assert model.score([chats[0]]) != pytest.approx([scores[0][0]], abs=1e-4)  # the picture matters
    for chat, reason in (
        (chats[0][:1], "must end with the assistant's answer"),
        ([{"role": "bot", "content": "?"}], "a turn of a chat is"),
    ):
        with pytest.raises(PrefdataError, match=reason):
            model.score([chat])
    with pytest.raises(PrefdataError, match="2 chats with 1 lists of images"):
        model.score(chats[:2], images[:1])


def test_folders_that_are_no_reward_model(models: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(PrefdataError, match=r"is no reward model, it lacks reward\.json"):
        reward.load(models["llama"])
    (tmp_path / "reward.json").write_text("{}")
    (tmp_path / "score_head.safetensors").write_bytes(b"")
    with pytest.raises(PrefdataError, match=r"reward\.json: cannot be read"):
        reward.load(tmp_path)


def test_an_adapter_loads_as_any_other(models: dict[str, Path], pairs: Path, tmp_path: Path) -> None:
    """`adapter/` on the given model is the merged model, projector included; the head stands in its own file."""
    from peft import PeftModel
    from transformers import AutoModelForImageTextToText

    out = tmp_path / "out"
    train(model=models["llava"], data=pairs, output=out, lora_rank=4, lora_projector=True, learning_rate=1e-2)
    base: Any = AutoModelForImageTextToText.from_pretrained(models["llava"], dtype=torch.float32)
    given = {name: tensor.clone() for name, tensor in base.state_dict().items()}
    adapted = PeftModel.from_pretrained(base, str(out / "adapter")).merge_and_unload().state_dict()
    saved: Any = AutoModelForImageTextToText.from_pretrained(out, dtype=torch.float32)
    for name, tensor in saved.state_dict().items():
        assert torch.allclose(adapted[name], tensor, atol=1e-6), name
    changed = {name for name, tensor in adapted.items() if not torch.allclose(tensor, given[name], atol=1e-4)}
    assert any("projector" in name for name in changed)
    assert any("q_proj" in name for name in changed)
