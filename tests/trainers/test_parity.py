"""The losses that other trainers compute: TRL's own trainers on the same model and rows, InternVL's from its rules."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.support.forests import Grove, config, grow
from trainers.logprobs import branch_sums, token_logps
from trainers.objective import make_objective
from trainers.plan import PlannedRow, Step

trl = pytest.importorskip("trl")
datasets = pytest.importorskip("datasets")


@dataclass
class Bench:
    """A model's folder, four pairs, our grove with a perturbed policy and the first policy's log-probabilities."""

    folder: Path
    rows: list[dict[str, Any]]
    grove: Grove
    reference: torch.Tensor
    """[branches], all trees in one row"""


def perturb(model: Any) -> None:
    """The same small change of a model's parameters in both trainers."""
    generator = torch.Generator().manual_seed(1)
    for _, parameter in sorted(model.named_parameters()):
        parameter.data.add_(0.02 * torch.randn(parameter.shape, generator=generator))


@pytest.fixture(scope="module")
def bench(models: dict[str, Path], text_pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """Ours, opened once."""
    base = tmp_path_factory.mktemp("parity")
    path = base / "four.jsonl"
    path.write_text("\n".join(text_pairs.read_text().splitlines()[:4]) + "\n")
    # TRL scores what a template writes behind the end of turn, we do not: this template writes nothing there.
    folder = base / "model"
    shutil.copytree(models["llama"], folder)
    template = folder / "chat_template.jinja"
    template.write_text(template.read_text().replace("<|im_end|>\n", "<|im_end|>"))
    grove = grow(folder, path)
    with torch.no_grad():
        row = grove.maker.make(grove.trees)
        reference = branch_sums(token_logps(grove.model, grove.head, row), row)
    perturb(grove.model)
    return Bench(folder, [json.loads(line) for line in path.read_text().splitlines()], grove, reference)


def ours(bench: Bench, rows: list[list[int]], **settings: Any) -> tuple[float, dict[str, torch.Tensor]]:
    """Loss and gradients of one step that is cut into these rows of trees."""
    grove = bench.grove
    step = Step(
        rows=(tuple(PlannedRow(tuple(members)) for members in rows),),
        pairs=sum(len(tree.pairs) for tree in grove.trees),
        tokens=sum(tree.liked_tokens for tree in grove.trees),
        answers=sum(tree.liked_answers for tree in grove.trees),
    )
    goal = make_objective(config(bench.folder, Path("unused"), **settings))
    grove.model.zero_grad()
    total = 0.0
    for members in rows:
        row = grove.maker.make([grove.trees[number] for number in members])
        reference = torch.cat([bench.reference[2 * number : 2 * number + 2] for number in members])
        share, sums = goal.share(goal.forward(grove.model, grove.head, row), reference, row, step)
        share.backward()
        total += float(sums[0])
    return total, {name: p.grad.clone() for name, p in grove.model.named_parameters() if p.grad is not None}


@pytest.fixture(scope="module")
def theirs(bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """TRL's DPO trainer with the perturbed policy; its reference is the first policy."""
    import transformers as hf

    def turn(role: str, text: str) -> list[dict[str, str]]:
        return [{"role": role, "content": text}]

    arguments = trl.DPOConfig(
        output_dir=str(tmp_path_factory.mktemp("trl")), beta=0.1, max_length=None, per_device_train_batch_size=4,
        report_to=[], use_cpu=True, bf16=False, gradient_checkpointing=False, disable_tqdm=True,
    )  # fmt: skip
    rows = [
        {
            "prompt": turn("user", row["question"]),
            "chosen": turn("assistant", row["chosen"]),
            "rejected": turn("assistant", row["rejected"]),
        }
        for row in bench.rows
    ]
    trainer = trl.DPOTrainer(
        model=hf.AutoModelForCausalLM.from_pretrained(bench.folder, dtype=torch.float32),
        args=arguments,
        train_dataset=datasets.Dataset.from_list(rows),
        processing_class=bench.grove.opened.tokenizer,
    )
    perturb(trainer.model)
    return trainer


def batches(theirs: Any, rows: list[list[int]]) -> list[Any]:
    """TRL's own collator on the same micro-batches."""
    return [theirs.data_collator([theirs.train_dataset[number] for number in members]) for members in rows]


def expect_equal(found: tuple[float, dict[str, torch.Tensor]], loss: float, model: Any) -> None:
    """To 1e-5 of the value, and of the largest gradient where that is above 1, as IPO's."""
    value, gradients = found
    assert value == pytest.approx(loss, abs=1e-5)
    largest = max(float(gradient.abs().max()) for gradient in gradients.values())
    assert largest > 1e-3
    atol = 1e-5 * max(1.0, largest)
    for name, parameter in model.named_parameters():
        assert torch.allclose(gradients[name], parameter.grad, atol=atol, rtol=1e-4), name


MPO = (["sigmoid", "bco_pair", "sft"], [0.8, 0.2, 1.0])
CASES: dict[str, tuple[list[str], list[float], float, dict[str, Any]]] = {
    "mpo": (*MPO, 0.0, {"stage": "mpo"}),
    "dpo": (["sigmoid"], [1.0], 0.0, {"stage": "dpo"}),
    "robust": (["robust"], [1.0], 0.1, {"stage": "dpo", "dpo_loss": "robust"}),
    "hinge": (["hinge"], [1.0], 0.0, {"stage": "dpo", "dpo_loss": "hinge"}),
    "ipo": (["ipo"], [1.0], 0.0, {"stage": "dpo", "dpo_loss": "ipo"}),
    "bco": (["bco_pair"], [1.0], 0.0, {"dpo_weight": 0.0, "bco_weight": 1.0, "sft_weight": 0.0}),
    "sft": (["sft"], [1.0], 0.0, {"dpo_weight": 0.0, "bco_weight": 0.0, "sft_weight": 1.0}),
}


ONE_BATCH, ACCUMULATED = [[0, 1, 2, 3]], [[0, 2, 3], [1]]


@pytest.mark.parametrize(("case", "rows"), [("mpo", ONE_BATCH), *((case, ACCUMULATED) for case in CASES)])
def test_preference_losses_equal_trl(case: str, rows: list[list[int]], bench: Bench, theirs: Any) -> None:
    """Value and gradients, also where TRL takes the mean of unequal micro-batches."""
    theirs.loss_types, theirs.loss_weights, theirs.label_smoothing, settings = CASES[case]
    theirs.model.zero_grad()
    micro_batches = batches(theirs, rows)
    expected = 0.0
    for batch in micro_batches:
        loss = theirs.compute_loss(theirs.model, batch) / len(micro_batches)
        loss.backward()
        expected += loss.item()
    scored = sum(branch.scored for tree in bench.grove.trees for branch in tree.branches)
    assert sum(int(batch["completion_mask"].sum()) for batch in micro_batches) == scored
    found = ours(bench, rows, compat="trl", label_smoothing=theirs.label_smoothing, **settings)
    expect_equal(found, expected, theirs.model)


def test_without_compat_accumulation_changes_nothing(bench: Bench) -> None:
    """The reason for counting over the step: TRL's mean of micro-batch means is another loss."""
    common: dict[str, Any] = {"stage": "mpo", "bco_delta": "none"}
    whole, cut = ours(bench, [[0, 1, 2, 3]], **common), ours(bench, [[0, 2, 3], [1]], **common)
    assert whole[0] == pytest.approx(cut[0], abs=1e-5)
    for name, gradient in whole[1].items():
        assert torch.allclose(gradient, cut[1][name], atol=1e-5, rtol=1e-4), name
    assert ours(bench, [[0, 2, 3], [1]], stage="mpo", compat="trl")[0] != pytest.approx(whole[0], abs=1e-3)


def test_sft_equals_trl(bench: Bench, tmp_path: Path) -> None:
    """TRL's SFTTrainer on the chosen answers."""
    import transformers as hf

    rows = [
        {
            "prompt": [{"role": "user", "content": row["question"]}],
            "completion": [{"role": "assistant", "content": row["chosen"]}],
        }
        for row in bench.rows
    ]
    arguments = trl.SFTConfig(
        output_dir=str(tmp_path), max_length=None, per_device_train_batch_size=4, report_to=[], use_cpu=True,
        bf16=False, gradient_checkpointing=False, disable_tqdm=True, completion_only_loss=True,
    )  # fmt: skip
    trainer = trl.SFTTrainer(
        model=hf.AutoModelForCausalLM.from_pretrained(bench.folder, dtype=torch.float32),
        args=arguments,
        train_dataset=datasets.Dataset.from_list(rows),
        processing_class=bench.grove.opened.tokenizer,
    )
    perturb(trainer.model)
    (batch,) = batches(trainer, [[0, 1, 2, 3]])
    loss = trainer.compute_loss(trainer.model, batch)
    loss.backward()
    expect_equal(ours(bench, [[0, 1, 2, 3]], stage="sft", compat="trl"), loss.item(), trainer.model)


class RunningMean:
    """InternVL's delta written from its description: TRL 0.10's `RunningMoments.mean`, updated before use."""

    def __init__(self) -> None:
        self.mean, self.count = 0.0, 1e-24

    def update(self, values: torch.Tensor) -> float:
        """Take in a micro-batch's rewards of both sides: their mean, as one value."""
        self.count += 1
        self.mean += (float(values.mean()) - self.mean) / self.count
        return self.mean


def test_compat_internvl(bench: Bench) -> None:
    """Over two micro-batches, from rewards computed apart: delta holds the current one, means are of micro-batches."""
    grove, rows = bench.grove, [[0, 2, 3], [1]]
    running, expected = RunningMean(), 0.0
    for members in rows:
        with torch.no_grad():
            row = grove.maker.make([grove.trees[number] for number in members])
            tokens = token_logps(grove.model, grove.head, row)
        by_branch = [tokens[row["branch"] == number].double() for number in range(2 * len(members))]
        reference = torch.cat([bench.reference[2 * number : 2 * number + 2] for number in members])
        rewards = 0.1 * (torch.stack([one.sum() for one in by_branch]) - reference)
        chosen, rejected = rewards[::2], rewards[1::2]
        delta = running.update(torch.cat([chosen, rejected]))
        dpo = -torch.nn.functional.logsigmoid(chosen - rejected).mean()
        bco = -(torch.sigmoid(chosen - delta).log() + torch.sigmoid(-(rejected - delta)).log()).mean()
        nll = -torch.cat(by_branch[::2]).mean()
        expected += float(0.8 * dpo + 0.2 * bco + nll) / len(rows)
    assert abs(running.mean) > 1e-3
    assert ours(bench, rows, stage="mpo", compat="internvl")[0] == pytest.approx(expected, abs=1e-5)


def test_per_sample_normalisation(bench: Bench) -> None:
    grove = bench.grove
    with torch.no_grad():
        row = grove.maker.make(grove.trees)
        tokens = token_logps(grove.model, grove.head, row)
    means = [-float(tokens[row["branch"] == 2 * number].mean()) for number in range(4)]
    settings: dict[str, Any] = {"dpo_weight": 0.0, "bco_weight": 0.0, "sft_normalise": "sample"}
    found, _ = ours(bench, [[0, 2, 3], [1]], **settings)
    assert found == pytest.approx(sum(means) / 4, abs=1e-5)
    of_rows, _ = ours(bench, [[0, 2, 3], [1]], compat="trl", **settings)
    assert of_rows == pytest.approx((means[0] + means[2] + means[3]) / 6 + means[1] / 2, abs=1e-5)


@pytest.mark.parametrize("compat", ["none", "trl", "internvl"])
@pytest.mark.parametrize("normalise", ["token", "sample"])
@pytest.mark.parametrize("kind", ["sigmoid", "ipo", "hinge", "robust"])
def test_first_loss_is_what_a_policy_that_is_the_reference_gives(
    kind: str, normalise: str, compat: str, bench: Bench
) -> None:
    grove, rows = bench.grove, [[0, 2, 3], [1]]
    settings: dict[str, Any] = {"dpo_loss": kind, "sft_normalise": normalise, "compat": compat}
    settings |= {} if kind in ("ipo", "hinge") else {"label_smoothing": 0.1}
    step = Step(
        rows=(tuple(PlannedRow(tuple(members)) for members in rows),),
        pairs=4,
        tokens=sum(tree.liked_tokens for tree in grove.trees),
        answers=4,
    )
    goal = make_objective(config(bench.folder, Path("unused"), **settings))
    known: dict[str, tuple[float, ...]] = {}
    loss = 0.0
    for members in rows:
        trees = [grove.trees[number] for number in members]
        with torch.no_grad():
            row = grove.maker.make(trees)
            tokens = token_logps(grove.model, grove.head, row)
            sums = branch_sums(tokens, row)
        known |= {tree.key: tuple(sums[2 * n : 2 * n + 2].tolist()) for n, tree in enumerate(trees)}
        loss += float(goal.share(tokens, sums, row, step)[0])
    assert goal.first_loss(step, grove.trees, known) == pytest.approx(loss, abs=1e-6)
