"""Losses against formulas written out in plain Python, and against TRL on the same model and rows."""

import math
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.support.forests import config, grow
from trainers import losses
from trainers.objective import make_objective
from trainers.plan import Step

CHOSEN = [0.3, -1.2, 0.0, 4.0]
REJECTED = [-0.1, 0.7, 0.0, -3.0]


def log_logistic(x: float) -> float:
    return -math.log1p(math.exp(-x))


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_dpo(smoothing: float) -> None:
    expected = [
        -(1 - smoothing) * log_logistic(c - r) - smoothing * log_logistic(r - c)
        for c, r in zip(CHOSEN, REJECTED, strict=True)
    ]
    found = losses.dpo(torch.tensor(CHOSEN), torch.tensor(REJECTED), smoothing)
    assert found.tolist() == pytest.approx(expected, rel=1e-6)
    assert found[2] == pytest.approx(math.log(2))


@pytest.mark.parametrize("delta", [0.0, 0.4])
def test_bco(delta: float) -> None:
    expected = [
        -log_logistic(c - delta) - log_logistic(-(r - delta)) for c, r in zip(CHOSEN, REJECTED, strict=True)
    ]
    found = losses.bco(torch.tensor(CHOSEN), torch.tensor(REJECTED), delta)
    assert found.tolist() == pytest.approx(expected, rel=1e-6)


def test_reward_is_beta_times_difference() -> None:
    assert losses.reward(torch.tensor([-3.0]), torch.tensor([-5.0]), 0.1).item() == pytest.approx(0.2)


def test_reward_shift_modes() -> None:
    steps = [[1.0, 3.0], [5.0, 5.0, 2.0, 0.0], [-1.0, 1.0]]
    none, cumulative, ema = (losses.RewardShift(mode, 0.9) for mode in ("none", "cumulative", "ema"))
    by_hand = 0.0
    for rewards in steps:
        for shift in (none, cumulative, ema):
            shift.update(sum(rewards), len(rewards))
        by_hand = 0.9 * by_hand + 0.1 * sum(rewards) / len(rewards)
    everything = [reward for step in steps for reward in step]
    assert none.value == 0.0
    assert cumulative.value == pytest.approx(sum(everything) / len(everything))
    assert ema.value == pytest.approx(by_hand)


def test_reward_shift_goes_on_from_a_checkpoint() -> None:
    whole, first = losses.RewardShift("cumulative"), losses.RewardShift("cumulative")
    for shift in (whole, first):
        shift.update(6.0, 4)
    second = losses.RewardShift("cumulative")
    second.load(first.state())
    for shift in (whole, second):
        shift.update(-1.0, 2)
    assert second.value == whole.value


def row_loss(grove: Any, settings: Any, reference: torch.Tensor) -> torch.Tensor:
    """The loss of all trees as one step."""
    from trainers.logprobs import token_logps

    step = Step(rows=(), pairs=len(grove.trees), tokens=sum(tree.liked_tokens for tree in grove.trees))
    row = grove.maker.make(grove.trees)
    tokens = token_logps(grove.model, grove.head, row)
    return make_objective(settings).share(tokens, reference, row, step)[0]


def test_mpo_equals_trl(models: dict[str, Path], text_pairs: Path, tmp_path: Path) -> None:
    """Same rows, same perturbed policy, TRL's own collator and loss: value and gradients agree."""
    trl = pytest.importorskip("trl")
    datasets = pytest.importorskip("datasets")
    import json

    import transformers as hf

    path = tmp_path / "four.jsonl"
    path.write_text("\n".join(text_pairs.read_text().splitlines()[:4]) + "\n")
    # TRL scores what a template writes behind the end of turn, we do not: this template writes nothing there.
    folder = tmp_path / "model"
    shutil.copytree(models["llama"], folder)
    template = folder / "chat_template.jinja"
    template.write_text(template.read_text().replace("<|im_end|>\n", "<|im_end|>"))
    grove = grow(folder, path)
    with torch.no_grad():
        from trainers.logprobs import branch_sums, token_logps

        row = grove.maker.make(grove.trees)
        reference = branch_sums(token_logps(grove.model, grove.head, row), row)

    def perturb(model: Any) -> None:
        generator = torch.Generator().manual_seed(1)
        for _, parameter in sorted(model.named_parameters()):
            parameter.data.add_(0.02 * torch.randn(parameter.shape, generator=generator))

    def turn(role: str, text: str) -> list[dict[str, str]]:
        return [{"role": role, "content": text}]

    raw = [json.loads(line) for line in path.read_text().splitlines()]
    rows = [
        {
            "prompt": turn("user", r["question"]),
            "chosen": turn("assistant", r["chosen"]),
            "rejected": turn("assistant", r["rejected"]),
        }
        for r in raw
    ]
    arguments = trl.DPOConfig(
        output_dir=str(tmp_path / "trl"), loss_type=["sigmoid", "bco_pair", "sft"], loss_weights=[0.8, 0.2, 1.0],
        beta=0.1, max_length=None, per_device_train_batch_size=4, report_to=[], use_cpu=True, bf16=False,
        gradient_checkpointing=False, disable_tqdm=True,
    )  # fmt: skip
    model = hf.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    theirs = trl.DPOTrainer(
        model=model,
        args=arguments,
        train_dataset=datasets.Dataset.from_list(rows),
        processing_class=grove.opened.tokenizer,
    )
    perturb(model)
    batch = next(iter(theirs.get_train_dataloader()))
    expected = theirs.compute_loss(theirs.model, batch)
    expected.backward()

    perturb(grove.model)
    found = row_loss(grove, config(models["llama"], path, bco_delta="none"), reference)
    found.backward()

    ours = {name: p.grad for name, p in grove.model.named_parameters()}
    scored = sum(branch.scored for tree in grove.trees for branch in tree.branches)
    assert int(batch["completion_mask"].sum()) == scored
    assert found.item() == pytest.approx(expected.item(), abs=1e-5)
    for name, parameter in model.named_parameters():
        gradient = ours[name]
        assert gradient is not None
        assert parameter.grad is not None
        assert torch.allclose(gradient, parameter.grad, atol=1e-5, rtol=1e-4), name
