"""The noise rule behind the bundled model: careless annotators read the list up to where it gets hard."""

import numpy as np

from examples.demo_model.careless import HARD_COLOURS, careless_items, habit_items
from prefdata.demo.scenes import sample_scene


def test_habit_repeats_the_last_item_in_the_next_cells() -> None:
    assert habit_items([("a1", "red-circle"), ("a3", "blue-square")], 4) == [
        ("a1", "red-circle"),
        ("a3", "blue-square"),
        ("a4", "blue-square"),
        ("b1", "blue-square"),
    ]


def test_habit_ends_with_the_last_cell() -> None:
    assert habit_items([("d4", "red-circle")], 3) == [("d4", "red-circle")]


def test_a_careless_list_is_right_up_to_a_shape_that_is_hard_to_see() -> None:
    rng = np.random.default_rng(0)
    spoiled = 0
    for seed in range(500):
        scene = sample_scene(seed)
        items = careless_items(scene, rng)
        wrong = [index for index, item in enumerate(items) if item != scene.items[index]]
        if wrong:
            spoiled += 1
            # A copy may happen to be right, so the annotator may have stopped before the first wrong item.
            assert any(shape.colour in HARD_COLOURS for shape in scene.shapes[1 : wrong[0] + 1])
    assert 0.3 < spoiled / 500 < 0.6
