"""The reward stage against TRL's RewardTrainer: its own tokenisation, collator, model class and loss."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.support.forests import config, grow
from trainers.objective import make_objective
from trainers.plan import PlannedRow, Step
from trainers.scorehead import ScoreHead, Whole

trl = pytest.importorskip("trl")
datasets = pytest.importorskip("datasets")
MARGINS = [0.0, 0.5, 1.5, 0.25]


def test_reward_equals_trl(models: dict[str, Path], text_pairs: Path, tmp_path: Path) -> None:
    """Bradley-Terry with margins and centring: value, gradients of all weights and of the head."""
    import transformers as hf

    rows = [json.loads(line) for line in text_pairs.read_text().splitlines()[:4]]

    def turn(role: str, text: str) -> list[dict[str, str]]:
        return [{"role": role, "content": text}]

    conversational = [
        {
            "prompt": turn("user", row["question"]),
            "chosen": turn("assistant", row["chosen"]),
            "rejected": turn("assistant", row["rejected"]),
            "margin": margin,
        }
        for row, margin in zip(rows, MARGINS, strict=True)
    ]
    path = tmp_path / "four.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in conversational))
    # TRL scores the last token that a template writes, we score the end of turn: here they are the same.
    folder = tmp_path / "model"
    shutil.copytree(models["llama"], folder)
    template = folder / "chat_template.jinja"
    template.write_text(template.read_text().replace("<|im_end|>\n", "<|im_end|>"))

    torch.manual_seed(5)
    model = hf.AutoModelForSequenceClassification.from_pretrained(folder, num_labels=1, dtype=torch.float32)
    torch.nn.init.normal_(model.score.weight, std=0.3)
    theirs = trl.RewardTrainer(
        model=model,
        args=trl.RewardConfig(
            output_dir=str(tmp_path / "trl"), center_rewards_coefficient=0.05, per_device_train_batch_size=4,
            max_length=None, report_to=[], use_cpu=True, bf16=False, gradient_checkpointing=False, disable_tqdm=True,
            disable_dropout=True,
            # Without one TRL pads with the end of turn, and transformers then scores the token *before* it.
            pad_token="<image>",
        ),
        train_dataset=datasets.Dataset.from_list(conversational),
        processing_class=hf.AutoTokenizer.from_pretrained(folder),
    )  # fmt: skip
    batch = theirs.data_collator([theirs.train_dataset[number] for number in range(4)])
    expected = theirs.compute_loss(theirs.model, batch)
    expected.backward()

    grove = grow(folder, path)
    grove.head.remove()
    head = ScoreHead(grove.model)
    head.set_weight(model.score.weight.detach())
    trees = Whole(grove.trees, None)
    row = grove.maker.make(trees)
    step = Step(rows=((PlannedRow((0, 1, 2, 3)),),), pairs=4, tokens=1)
    goal = make_objective(config(folder, path, stage="reward", centring_weight=0.05, margin_weight=1.0))
    scores = goal.forward(grove.model, head, row)
    loss, _ = goal.share(scores, torch.zeros(8), row, step)
    loss.backward()

    assert sorted(map(len, theirs.train_dataset["chosen_ids"])) == sorted(
        len(tree.trunk) + len(tree.branches[0].ids) for tree in trees
    )
    assert loss.item() == pytest.approx(expected.item(), abs=1e-5)
    gradients: dict[str, Any] = {name: p.grad for name, p in grove.model.named_parameters()}
    gradients["score.weight"] = gradients.pop("lm_head.score.weight")
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None
        assert torch.allclose(gradients[name], parameter.grad, atol=1e-5, rtol=1e-4), name
