"""A reward model's scores and gradients are those of plain separate forwards, for every way of pooling."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from prefdata.errors import PrefdataError
from tests.support.forests import Grove, config, grow, plain_inputs
from tests.support.program import write_lines
from trainers import families
from trainers.grouping import merge
from trainers.objective import make_objective
from trainers.plan import Step
from trainers.scorehead import Pooling, ScoreHead, Whole, branch_scores, reward_token
from trainers.trees import Tree

KINDS = ("llama", "qwen2", "qwen3", "llava", "internvl", "idefics3", "smolvlm", "qwen2_5_vl", "qwen3_vl")
TOKEN = "<|im_start|>"


def scored(grove: Grove, pooling: Pooling) -> tuple[ScoreHead, list[Tree]]:
    """A score head of random weights on the grove's model, and the trees as they are scored."""
    grove.head.remove()
    head = ScoreHead(grove.model)
    generator = torch.Generator().manual_seed(3)
    weight = head.weight()
    head.set_weight(torch.randn(weight.shape, generator=generator) / 4)
    token = reward_token(grove.opened, pooling, TOKEN if pooling == "token" else None)
    return head, list(Whole(grove.trees[:6], token))


def separate(
    grove: Grove, head: ScoreHead, trees: list[Tree], pooling: Pooling
) -> tuple[torch.Tensor, Any, torch.Tensor]:
    """The oracle: each branch alone through a freshly loaded model without any of our parts."""
    model = families.load_weights(grove.opened, torch.float32)
    weight = head.weight().requires_grad_()
    found = []
    for tree in trees:
        for branch in tree.branches:
            hidden = model.model(**plain_inputs(grove, tree, branch))[0][0]
            found.append((hidden.mean(0) if pooling == "mean" else hidden[-1]) @ weight[0])
    return torch.stack(found), model, weight


@pytest.mark.parametrize(
    ("kind", "pooling"),
    [*((kind, "mean") for kind in KINDS), *((k, p) for k in ("llama", "llava") for p in ("last", "token"))],
)
def test_shared_scores_equal_separate_forwards(
    kind: str, pooling: Pooling, grove_of: Callable[[str], Grove]
) -> None:
    grove = grove_of(kind)
    head, trees = scored(grove, pooling)
    expected, plain, weight = separate(grove, head, trees, pooling)
    mixing = torch.linspace(-1, 1, len(expected))
    (expected * mixing).sum().backward()
    assert expected.std() > 0.01  # scores that are all alike would prove nothing
    assert weight.grad is not None
    for maker in (grove.maker, grove.maker.plain()):
        grove.model.zero_grad()
        found = branch_scores(grove.model, head, maker.make(trees), pooling)
        assert found.dtype == torch.float32
        (found * mixing).sum().backward()
        assert (found - expected).abs().max() < 1e-5
        own = {name: p.grad for name, p in grove.model.named_parameters() if p.grad is not None}
        assert torch.allclose(own.pop("lm_head.score.weight"), weight.grad, atol=1e-5)
        wanted = {name: p.grad for name, p in plain.named_parameters() if p.grad is not None}
        assert own.keys() == wanted.keys()
        for name, gradient in own.items():
            scale = max(1.0, float(wanted[name].abs().max()))
            assert (gradient - wanted[name]).abs().max() < 1e-5 * scale, name


@pytest.mark.parametrize("share", [True, False])
def test_a_tree_without_answers_takes_part_in_no_score(
    models: dict[str, Path], pairs: Path, share: bool
) -> None:
    """It stands in a row to show an image; the answers behind it are scored as ever."""
    grove = grow(models["llava"], pairs)
    head, trees = scored(grove, "mean")
    bare = replace(trees[0], branches=(), pairs=())
    maker = grove.maker if share else grove.maker.plain()
    right = branch_scores(grove.model, head, maker.make(trees), "mean")
    found = branch_scores(grove.model, head, maker.make([bare, *trees]), "mean")
    assert torch.allclose(found, right, atol=1e-6)


def test_the_end_of_turn_is_what_is_scored(models: dict[str, Path], text_pairs: Path) -> None:
    """Without the last token in the input, `last` would score the token before it: another number."""
    grove = grow(models["llama"], text_pairs)
    head, trees = scored(grove, "last")
    assert all(branch.ids[-1] in grove.opened.end_ids for tree in trees for branch in tree.branches)
    right = branch_scores(grove.model, head, grove.maker.make(trees), "last")
    wrong = branch_scores(grove.model, head, grove.maker.make(grove.trees[:6]), "last")
    assert (right - wrong).abs().min() > 1e-3


def test_the_model_itself_is_left_as_it_was(models: dict[str, Path], text_pairs: Path) -> None:
    grove = grow(models["llama"], text_pairs)
    head, trees = scored(grove, "last")
    ids = torch.tensor([[1, 2, 3]])
    plain = families.load_weights(grove.opened, torch.float32)
    branch_scores(grove.model, head, grove.maker.make(trees), "last")
    assert torch.equal(grove.model(input_ids=ids).logits, plain(input_ids=ids).logits)
    assert head.take_off().shape == (1, 32)
    assert grove.model.state_dict().keys() == plain.state_dict().keys()


@pytest.mark.parametrize(
    ("pooling", "token", "reason"),
    [
        ("token", None, r"needs --reward-token.*<\|im_start\|>"),
        ("token", "<|reward|>", "is no token of"),
        ("token", "<image>", "stands for an image"),
        ("mean", TOKEN, "of use with --pooling token only"),
    ],
)
def test_reward_tokens_that_cannot_be(
    pooling: Pooling, token: str | None, reason: str, models: dict[str, Path]
) -> None:
    opened = families.open_model(str(models["llava"]))
    with pytest.raises(PrefdataError, match=reason):
        reward_token(opened, pooling, token)


@pytest.mark.parametrize("token", [None, 7])
def test_measures_are_those_of_the_trees(
    token: int | None, models: dict[str, Path], text_pairs: Path
) -> None:
    """Rows are planned by measures without reading trees: they must be what the trees then are."""
    trees = Whole(grow(models["llama"], text_pairs).trees, token)
    for tree, measure in zip(trees, trees.measures, strict=True):
        assert (measure.shared, measure.plain) == (tree.shared_tokens, tree.plain_tokens)
        assert (measure.pairs, measure.tokens) == (len(tree.pairs), tree.liked_tokens)
    assert trees[1:3] == list(trees)[1:3]


def test_grouped_answers_have_the_loss_of_their_pairs(models: dict[str, Path], tmp_path: Path) -> None:
    """Two pairs of one question share an answer: it is scored once, counts twice, and each pair keeps its margin."""
    rows = [
        {"prompt": "Why?", "chosen": "So it is.", "rejected": worse, "margin": margin}
        for worse, margin in (("No!", 0.5), ("Never mind!", 2.0))
    ]
    data = write_lines(tmp_path / "pairs.jsonl", rows)
    grove = grow(models["llama"], data)
    head, trees = scored(grove, "mean")
    settings: dict[str, Any] = {
        "stage": "reward",
        "pooling": "mean",
        "margin_weight": 1.0,
        "centring_weight": 0.1,
    }
    goal = make_objective(config(models["llama"], data, **settings))
    grouped = merge(trees)
    assert (len(grouped.branches), grouped.pairs, grouped.margins) == (3, ((0, 1), (0, 2)), (0.5, 2.0))
    step = Step(rows=(), pairs=2, tokens=1)
    found = []
    for members in (trees, [grouped]):
        grove.model.zero_grad()
        row = grove.maker.make(members)
        loss, _ = goal.share(goal.forward(grove.model, head, row), torch.zeros(len(row["liked"])), row, step)
        loss.backward()
        found.append((loss.item(), head.module.score.weight.grad.clone()))
    assert found[0][0] == pytest.approx(found[1][0], abs=1e-6)
    assert torch.allclose(found[0][1], found[1][1], atol=1e-6)
