"""The demo's input: pictures, questions with answers, reference answers, and a held-out set.

Everything follows from the seed. Rows are plain `qa` JSONL with image paths relative to the demo's folder, so
every file can be used with any prefdata command by itself.
"""

from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from prefdata.demo import scenes, tasks
from prefdata.jsonl import write_jsonl

# Disjoint ranges of scene seeds; the model was trained on scenes below the first of them.
_DEMO_SCENES = 1_000_000_000
_DEMO_SPAN = 1_000_000
_HELD_OUT_QUESTIONS = 2_000_000_000
_HELD_OUT_DESCRIPTIONS = 2_100_000_000

QUESTIONS = "questions.jsonl"
REFERENCES = "references.jsonl"
HELD_OUT = "held_out.jsonl"


def write_inputs(out: Path, *, seed: int, questions: int, held_out: int, descriptions: int) -> None:
    """Write `images/` and the three input files under `out`.

    `held_out.jsonl` ends with requests to describe a picture: rows without an answer, which are sampled but not
    judged, and in which invented shapes are counted. `references.jsonl` holds the clean answers to the first tenth
    of the questions. No training step of the demo reads it: it is there to try `prefdata dropout-ntp` on.
    """
    first = _DEMO_SCENES + seed * _DEMO_SPAN
    asked = [first + index for index in range(questions)]
    write_jsonl(out / QUESTIONS, _questions(out, asked))
    write_jsonl(out / REFERENCES, _references(asked[: max(questions // 10, 1)]))
    kept = range(_HELD_OUT_QUESTIONS, _HELD_OUT_QUESTIONS + held_out)
    described = range(_HELD_OUT_DESCRIPTIONS, _HELD_OUT_DESCRIPTIONS + descriptions)
    write_jsonl(out / HELD_OUT, chain(_questions(out, kept), _descriptions(out, described)))


def hallucination_rate(samples: list[dict[str, Any]]) -> float:
    """Share of the descriptions among sampled rows that name a shape which is not in the picture."""
    described = [row for row in samples if "answer" not in row]
    wrong = sum(
        tasks.hallucinated(scenes.sample_scene(int(row["scene"])), row["response"]) for row in described
    )
    return wrong / len(described)


def exact_list_rate(samples: list[dict[str, Any]]) -> float:
    """Share of the answers to questions among sampled rows that list exactly the scene's shapes: right for the
    right reason."""
    answered = [row for row in samples if "answer" in row]
    exact = sum(tasks.exact_list(scenes.sample_scene(int(row["scene"])), row["response"]) for row in answered)
    return exact / len(answered)


def _questions(out: Path, seeds: Iterable[int]) -> Iterator[dict[str, Any]]:
    for number in seeds:
        scene = scenes.sample_scene(number)
        task = tasks.make_question(scene)
        yield {
            "image": _picture(out, scene),
            "question": task.question,
            "answer": task.answer,
            "answer_type": task.answer_type,
            "scene": number,
        }


def _references(seeds: list[int]) -> Iterator[dict[str, Any]]:
    for number in seeds:
        scene = scenes.sample_scene(number)
        task = tasks.make_question(scene)
        yield {
            "image": _image_name(scene),
            "question": task.question,
            "chosen": tasks.reference_answer(scene, task),
        }


def _descriptions(out: Path, seeds: range) -> Iterator[dict[str, Any]]:
    for number in seeds:
        scene = scenes.sample_scene(number)
        yield {
            "image": _picture(out, scene),
            "question": tasks.make_description(scene).question,
            "scene": number,
        }


def _image_name(scene: scenes.Scene) -> str:
    return f"images/{scene.seed}.png"


def _picture(out: Path, scene: scenes.Scene) -> str:
    # Written in place: the inputs are made again as a whole when they were interrupted.
    path = out / _image_name(scene)
    path.parent.mkdir(parents=True, exist_ok=True)
    scenes.render(scene).save(path, format="PNG")
    return _image_name(scene)
