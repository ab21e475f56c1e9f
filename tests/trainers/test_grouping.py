"""Grouping by question: fewer tokens, the gradient of the single pairs, every pair once."""

import json
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch

from prefdata.mixtures import Mixture, Source, epoch
from tests.support.forests import Grove, config, grow
from tests.support.tiny_models import write_pairs
from trainers import grouping
from trainers.grouping import Groups, merge
from trainers.logprobs import branch_sums, token_logps
from trainers.objective import make_objective
from trainers.plan import PlannedRow, Step, make_plan
from trainers.trees import Branch, Tree


def questions(folder: Path) -> Path:
    """Two questions with 3 right x 2 wrong and 1 x 2 answers, one pair twice, about the same image."""
    write_pairs(folder, 3, images=True)
    right, wrong = ["Four!", "It is four.", "4"], ["Five", "No idea!!"]
    asked = [("Two plus two?", *pair) for pair in product(right, wrong)]
    asked += [("And now?", "Yes", answer) for answer in wrong]
    asked.append(asked[0])
    rows = [{"image": "1.png", "question": q, "chosen": c, "rejected": r} for q, c, r in asked]
    path = folder / "questions.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture(scope="module")
def grove(models: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Grove:
    return grow(models["llava"], questions(tmp_path_factory.mktemp("questions")))


def step_of(trees: list[Tree]) -> Step:
    return Step(
        rows=((PlannedRow(tuple(range(len(trees)))),),),
        pairs=sum(len(tree.pairs) for tree in trees),
        tokens=sum(tree.liked_tokens for tree in trees),
        answers=sum(tree.liked_answers for tree in trees),
    )


@pytest.mark.parametrize("settings", [{}, {"dpo_loss": "ipo", "sft_normalise": "sample"}, {"stage": "sft"}])
def test_the_gradient_is_that_of_the_single_pairs(settings: dict[str, Any], grove: Grove) -> None:
    single = list(grove.trees)
    grouped = [
        merge([t for t in single if t.question == q]) for q in dict.fromkeys(t.question for t in single)
    ]
    assert [len(tree.branches) for tree in grouped] == [5, 3]
    assert [len(tree.pairs) for tree in grouped] == [7, 2]
    assert 2.5 * sum(t.shared_tokens for t in grouped) < sum(t.shared_tokens for t in single)

    def gradients(trees: list[Tree]) -> tuple[torch.Tensor, dict[str, float], dict[str, torch.Tensor]]:
        goal = make_objective(config(Path("unused"), Path("unused"), **settings))
        grove.model.zero_grad()
        row, step = grove.maker.make(trees), step_of(trees)
        with torch.no_grad():
            # Any reference will do if it is a function of the answer; half of the policy's gives rewards.
            reference = branch_sums(token_logps(grove.model, grove.head, row), row) / 2
        share, sums = goal.share(goal.forward(grove.model, grove.head, row), reference, row, step)
        share.backward()
        line = goal.line(step, dict(zip(goal.sums, sums.tolist(), strict=True)))
        return (
            share,
            line,
            {n: p.grad.clone() for n, p in grove.model.named_parameters() if p.grad is not None},
        )

    one, line, ours = gradients(single)
    other, other_line, theirs = gradients(grouped)
    assert other.item() == pytest.approx(one.item(), abs=1e-5)
    assert other_line == pytest.approx(line, abs=1e-5)
    scale = max(1.0, *(float(g.abs().max()) for g in ours.values()))
    for name, gradient in ours.items():
        assert torch.allclose(gradient, theirs[name], atol=1e-5 * scale, rtol=1e-4), name


def tree(question: int, chosen: int, rejected: int, number: int = 0) -> Tree:
    sides = tuple(
        Branch((100 + side, 1), (True, True), 1 - place) for place, side in enumerate((chosen, rejected))
    )
    return Tree(f"rows.jsonl:{number}", (question, 7, 7, 7), sides, ((0, 1),))


def test_every_pair_once_per_epoch_in_whole_trees_up_to_the_batch() -> None:
    single = [tree(n % 5, n, 50 + n, n) for n in range(23)]
    groups = Groups(single, config(Path("m"), Path("d"), batch_size=8, max_tokens=1000))
    mixture = Mixture((Source(name="rows", annotation=Path("rows.jsonl")),))

    def order(number: int) -> list[int]:
        return groups.order([row for _, row in epoch(mixture, 0, number, [len(single)])])

    plan = make_plan(
        groups, order, batch_size=8, epochs=2, max_steps=0, processes=2, max_tokens=1000, share=True
    )
    seen: list[tuple[int, ...]] = []
    for step in plan.steps:
        assert step.pairs == sum(len(groups[number].pairs) for number in step.trees) <= 8
        for number in step.trees:
            one = groups[number]
            seen += [(one.trunk[0], one.branches[c].ids[0], one.branches[r].ids[0]) for c, r in one.pairs]
    expected = [(t.trunk[0], t.branches[0].ids[0], t.branches[1].ids[0]) for t in single]
    assert sorted(seen) == sorted(expected * 2)
    assert len(plan.steps) < 2 * 23


def test_questions_with_too_much_become_several_trees() -> None:
    single = [tree(0, n, 50 + n, n) for n in range(10)]
    by_pairs = Groups(single, config(Path("m"), Path("d"), batch_size=4, max_tokens=1000))
    assert [len(by_pairs[number].pairs) for number in by_pairs.order(range(10))] == [4, 4, 2]
    by_tokens = Groups(single, config(Path("m"), Path("d"), batch_size=100, max_tokens=12))
    assert [by_tokens[number].shared_tokens for number in by_tokens.order(range(10))] == [12, 12, 8]


def test_a_question_of_many_rows_is_merged_once(monkeypatch: pytest.MonkeyPatch) -> None:
    merged: list[int] = []

    def counting(trees: Sequence[Tree]) -> Tree:
        merged.append(len(trees))
        return merge(trees)

    monkeypatch.setattr(grouping, "merge", counting)
    single = [tree(0, n, 50 + n, n) for n in range(20)]
    groups = Groups(single, config(Path("m"), Path("d"), batch_size=10, max_tokens=1000))
    assert len(groups.order(range(20))) == 2
    assert merged == [10, 10]


def test_an_epoch_in_another_order_makes_the_same_groups() -> None:
    single = [tree(n % 3, n, 50 + n, n) for n in range(12)]
    groups = Groups(single, config(Path("m"), Path("d"), batch_size=8, max_tokens=1000))
    first, size = groups.order(range(12)), len(groups)
    assert sorted(groups.order([*range(11, -1, -1)])) == sorted(first)
    assert len(groups) == size == 15


def test_other_images_are_another_question(grove: Grove) -> None:
    from dataclasses import replace

    single = [grove.trees[0], replace(grove.trees[1], images=(Path("other.png"),))]
    groups = Groups(single, config(Path("m"), Path("d")))
    assert groups.order([0, 1]) == [0, 1]


def test_a_row_drawn_twice_has_its_pair_twice() -> None:
    single = [tree(0, 1, 2), tree(0, 1, 3)]
    groups = Groups(single, config(Path("m"), Path("d"), batch_size=8, max_tokens=1000))
    (number,) = groups.order([0, 1, 0])
    assert groups[number].pairs == ((0, 1), (0, 1), (0, 2))
    assert [branch.liked for branch in groups[number].branches] == [3, 0, 0]
