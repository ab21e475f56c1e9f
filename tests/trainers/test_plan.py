"""The plan covers every row once per epoch, is the same everywhere, and never changes what a pair weighs."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefdata.errors import PrefdataError
from prefdata.mixtures import Mixture, Source, epoch
from trainers.plan import Plan, make_plan
from trainers.preview import small_step
from trainers.trees import Branch, Tree

MIXTURE = Mixture((Source(name="rows", annotation=Path("rows.jsonl")),))


def tree(number: int, trunk: int = 4, answers: tuple[int, int] = (3, 2)) -> Tree:
    branches = tuple(Branch(tuple(range(n)), (True,) * n, liked=not place) for place, n in enumerate(answers))
    return Tree(f"rows.jsonl:{number}", tuple(range(number, number + trunk)), branches, ((0, 1),))


def plan(trees: list[Tree], **settings: object) -> Plan:
    usual: dict[str, object] = {
        "batch_size": 4, "epochs": 1.0, "max_steps": 0, "processes": 1, "max_tokens": 64, "share": True,
    }  # fmt: skip
    seed = int(str(settings.pop("seed", 0)))

    def order(number: int) -> list[int]:
        return [row for _, row in epoch(MIXTURE, seed, number, [len(trees)])]

    return make_plan(trees, order, **(usual | settings))  # type: ignore[arg-type]


@given(
    count=st.integers(1, 40),
    processes=st.integers(1, 3),
    per_process=st.integers(1, 5),
    max_tokens=st.integers(1, 80),
    epochs=st.integers(1, 3),
    sizes=st.lists(st.integers(1, 30), min_size=40, max_size=40),
)
def test_every_row_once_per_epoch_on_one_process(
    count: int, processes: int, per_process: int, max_tokens: int, epochs: int, sizes: list[int]
) -> None:
    trees = [tree(number, trunk=sizes[number]) for number in range(count)]
    made = plan(
        trees, batch_size=processes * per_process, processes=processes, max_tokens=max_tokens, epochs=epochs
    )
    seen = [number for step in made.steps for number in step.trees]
    assert sorted(seen) == sorted(list(range(count)) * epochs)
    for step in made.steps:
        assert [len(rank) for rank in step.rows] == [made.rows_per_step] * processes
        assert step.pairs == len(step.trees)
        assert step.tokens == sum(trees[number].liked_tokens for number in step.trees)
        for rank in step.rows:
            for row in rank:
                assert len(row.trees) == 1 or sum(trees[n].shared_tokens for n in row.trees) <= max_tokens


def test_same_seed_same_plan_other_seed_other_order() -> None:
    trees = [tree(number) for number in range(12)]
    assert plan(trees, seed=3) == plan(trees, seed=3)
    assert plan(trees, seed=3).fingerprint(trees) != plan(trees, seed=4).fingerprint(trees)


def test_a_plan_for_other_processes_or_rows_is_another() -> None:
    trees = [tree(number) for number in range(12)]
    one = plan(trees, max_tokens=9)
    two = plan(trees, max_tokens=9, processes=2)
    assert [sorted(step.trees) for step in one.steps] == [sorted(step.trees) for step in two.steps]
    assert len({made.fingerprint(trees) for made in (one, two, plan(trees, max_tokens=1000))}) == 3


def test_packing_changes_neither_order_of_steps_nor_their_rows() -> None:
    trees = [tree(number) for number in range(12)]
    wide, narrow = plan(trees, max_tokens=1000), plan(trees, max_tokens=9)
    assert wide.rows_per_step == 1
    assert narrow.rows_per_step == 4
    assert [sorted(step.trees) for step in wide.steps] == [sorted(step.trees) for step in narrow.steps]


def test_batch_that_does_not_divide_is_refused() -> None:
    with pytest.raises(PrefdataError, match="--batch-size 5 cannot be divided over 2 processes"):
        plan([tree(0)], batch_size=5, processes=2)


def test_max_steps_repeats_the_data() -> None:
    made = plan([tree(number) for number in range(6)], max_steps=5)
    assert [len(step.trees) for step in made.steps] == [4, 2, 4, 2, 4]


def test_a_step_that_is_not_full_is_told() -> None:
    trees = [tree(number) for number in range(9)]
    assert small_step(plan(trees), 4) == 1
    assert small_step(plan(trees[:8]), 4) is None
