"""The demo's two list figures: each counts only the rows that it is about."""

from typing import Any

from prefdata.demo import data, scenes, tasks

SCENE = scenes.sample_scene(7)
RIGHT = tasks.reference_answer(SCENE, tasks.make_question(SCENE))
NOTHING = "Seen: none."


def row(response: str, **more: Any) -> dict[str, Any]:
    return {"scene": SCENE.seed, "response": response, **more}


def test_hallucination_counts_descriptions_only() -> None:
    invented = next(
        f"Seen: a1 {colour}-{shape}."
        for colour in ("red", "blue")
        for shape in ("circle", "square")
        if tasks.hallucinated(SCENE, f"Seen: a1 {colour}-{shape}.")
    )
    samples = [row(invented), row(RIGHT), row(invented, answer="3"), row(invented, answer="4")]
    assert data.hallucination_rate(samples) == 0.5


def test_exact_lists_count_answers_to_questions_only() -> None:
    samples = [row(RIGHT, answer="1"), row(NOTHING, answer="1"), row(NOTHING), row(NOTHING)]
    assert data.exact_list_rate(samples) == 0.5
