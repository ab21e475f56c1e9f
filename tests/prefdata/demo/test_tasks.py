"""Questions, reference answers and the judging of answers against the scene."""

from collections import Counter

import pytest

from prefdata.demo.scenes import Scene, Shape, sample_scene
from prefdata.demo.tasks import (
    Task,
    answer_text,
    exact_list,
    final_answer,
    hallucinated,
    is_correct,
    listed_items,
    make_description,
    make_question,
    reference_answer,
)

RED_CIRCLE = Shape(0, "red", "circle", 6.0, 0.0, 0.0)
RED_SQUARE = Shape(5, "red", "square", 4.0, 0.0, 0.0)
BLUE_CIRCLE = Shape(15, "blue", "circle", 6.0, 0.0, 0.0)
SCENE = Scene(0, (RED_CIRCLE, RED_SQUARE, BLUE_CIRCLE))
HOW_MANY_RED = Task("count", "How many red shapes are there?", colour="red", answer="2", answer_type="number")


def test_reference_answer_keeps_a_running_tally() -> None:
    text = "Seen: a1 red-circle 1, b2 red-square 2, d4 blue-circle 2.\n\nFinal answer: 2"
    assert reference_answer(SCENE, HOW_MANY_RED) == text


def test_description_has_no_tally() -> None:
    text = reference_answer(SCENE, make_description(SCENE))
    assert text == "Seen: a1 red-circle, b2 red-square, d4 blue-circle."


def test_same_seed_same_question_and_other_seed_another() -> None:
    assert make_question(SCENE, 3) == make_question(SCENE, 3)
    assert len({make_question(SCENE, seed).question for seed in range(20)}) > 5


def test_gold_follows_from_the_scene() -> None:
    for seed in range(1000):
        scene = sample_scene(seed)
        task = make_question(scene)
        count = scene.count(task.colour, task.form)
        expected = {"count": str(count), "exist": "yes" if count else "no"}.get(
            task.kind, "yes" if count >= task.threshold else "no"
        )
        assert task.answer == expected
        assert task.answer_type == ("number" if task.kind == "count" else "yesno")
        assert is_correct(task, reference_answer(scene, task))
        assert exact_list(scene, reference_answer(scene, task))


def test_kinds_of_question_and_answers_are_balanced() -> None:
    tasks = [make_question(sample_scene(seed)) for seed in range(2000)]
    kinds = Counter(task.kind for task in tasks)
    assert 900 < kinds["count"] < 1100
    assert 400 < kinds["exist"] < 600
    for kind in ("exist", "at-least"):
        answers = Counter(task.answer for task in tasks if task.kind == kind)
        assert 0.4 < answers["yes"] / answers.total() < 0.6


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Seen: a1 red-circle 1.\n\nFinal answer: 1", "1"),
        ("Final answer: 3. No. Final answer: Yes.", "yes"),
        ("Seen: a1 red-circle 1", None),
    ],
)
def test_final_answer_is_the_last_one(text: str, expected: str | None) -> None:
    assert final_answer(text) == expected


def test_hallucination_is_a_shape_that_is_not_there() -> None:
    assert not hallucinated(SCENE, "Seen: a1 red-circle, d4 blue-circle.")
    assert hallucinated(SCENE, "Seen: a1 red-circle, a2 red-circle.")
    assert hallucinated(SCENE, "Seen: a1 blue-circle.")


def test_exact_list_wants_every_shape_once() -> None:
    task = make_description(SCENE)
    assert exact_list(SCENE, reference_answer(SCENE, task))
    assert not exact_list(SCENE, answer_text(SCENE.items[:2], task))
    assert not exact_list(SCENE, answer_text((*SCENE.items, SCENE.items[-1]), task))
    assert listed_items("no list at all") == []


def test_tally_and_answer_follow_a_wrong_list() -> None:
    text = answer_text([("a1", "red-circle"), ("a2", "red-circle"), ("a3", "red-circle")], HOW_MANY_RED)
    assert text.endswith("a3 red-circle 3.\n\nFinal answer: 3")
    assert not is_correct(HOW_MANY_RED, text)
