"""Questions about a scene, their clean reference answers, and the judging of an answer against the scene.

An answer lists what is seen in raster order with a running tally of what was asked for, then states the result:
`Seen: a3 blue-square 0, b1 blue-triangle 1.` and, after an empty line, `Final answer: 1`. The tally turns counting
into copying the last number, which is what makes it learnable for a model of a million parameters. The cell names
and the one-word kinds are there for the same reason.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal, TypeVar

import numpy as np

from prefdata.demo.scenes import CELLS, COLOURS, FORMS, KINDS, Scene

_T = TypeVar("_T")
AnswerType = Literal["number", "yesno"]
TaskKind = Literal["count", "exist", "at-least", "describe"]
Item = tuple[str, str]
"""A listed shape: `(cell name, kind)`."""

DESCRIPTION_PROMPTS: Final = ("Describe the picture.", "List all shapes.", "What is in the picture?")
_QUESTION_STREAM, _DESCRIPTION_STREAM = 3, 4
_MAX_THRESHOLD: Final = 4
_ITEM = re.compile(rf"\b({'|'.join(CELLS)}) ({'|'.join(KINDS)})\b")
_FINAL = re.compile(r"Final answer:[ ]*([^\s.,]+)")


@dataclass(frozen=True, slots=True)
class Task:
    """One question about one scene. `answer` and `answer_type` are None for descriptions.

    `colour` and `form` say what is asked for (None: any); `threshold` is the number in an at-least question.
    """

    kind: TaskKind
    question: str
    colour: str | None = None
    form: str | None = None
    threshold: int = 0
    answer: str | None = None
    answer_type: AnswerType | None = None

    def matches(self, item_kind: str) -> bool:
        """Whether a shape of this kind (`red-circle`) is one that the question asks for."""
        colour, form = item_kind.split("-")
        return self.colour in (None, colour) and self.form in (None, form)


def make_question(scene: Scene, seed: int = 0) -> Task:
    """A question with its gold answer: count (1/2), exist (1/4) or at-least (1/4); yes and no equally often.

    Deterministic in `(scene.seed, seed)`; another `seed` asks another question about the same scene.
    """
    rng = np.random.default_rng((scene.seed, _QUESTION_STREAM, seed))
    draw = rng.random()
    if draw < 0.5:
        return _count_question(scene, rng)
    return _exist_question(scene, rng) if draw < 0.75 else _at_least_question(scene, rng)


def make_description(scene: Scene, seed: int = 0) -> Task:
    """A request to describe the scene, in one of the `DESCRIPTION_PROMPTS`."""
    rng = np.random.default_rng((scene.seed, _DESCRIPTION_STREAM, seed))
    return Task("describe", DESCRIPTION_PROMPTS[rng.integers(len(DESCRIPTION_PROMPTS))])


def reference_answer(scene: Scene, task: Task) -> str:
    """The clean answer: the complete list, the right tally and the right result."""
    return answer_text(scene.items, task)


def answer_text(items: Iterable[Item], task: Task) -> str:
    """The answer that somebody gives who saw exactly these items: tally and result follow the list."""
    parts, tally = [], 0
    for cell, kind in items:
        tally += task.matches(kind)
        parts.append(f"{cell} {kind}" if task.kind == "describe" else f"{cell} {kind} {tally}")
    listed = f"Seen: {', '.join(parts)}."
    if task.kind == "describe":
        return listed
    return f"{listed}\n\nFinal answer: {_result(tally, task)}"


def final_answer(text: str) -> str | None:
    """What follows the last `Final answer:`, lower-cased; None where the text does not get there."""
    found = _FINAL.findall(text)
    return found[-1].lower() if found else None


def is_correct(task: Task, text: str) -> bool:
    """Whether the last final answer is the gold answer (a text without one is not)."""
    return task.answer is not None and final_answer(text) == task.answer


def listed_items(text: str) -> list[Item]:
    """The `(cell, kind)` items that a text names, in its order."""
    return [(cell, kind) for cell, kind in _ITEM.findall(text)]


def hallucinated(scene: Scene, text: str) -> bool:
    """Whether the text names a shape that is not in the scene: nothing, or something else, stands in that cell."""
    return not set(listed_items(text)) <= set(scene.items)


def exact_list(scene: Scene, text: str) -> bool:
    """Whether the text lists exactly the scene's shapes: none missing, none invented, none twice."""
    return sorted(listed_items(text)) == sorted(scene.items)


def _result(tally: int, task: Task) -> str:
    if task.kind == "count":
        return str(tally)
    needed = 1 if task.kind == "exist" else task.threshold
    return "yes" if tally >= needed else "no"


def _targets() -> list[tuple[str | None, str | None]]:
    """Everything a question can ask for: a colour, a form, or both."""
    return [(c, f) for c in (None, *COLOURS) for f in (None, *FORMS) if c or f]


def _pick(rng: np.random.Generator, options: list[_T]) -> _T:
    return options[int(rng.integers(len(options)))]


def _noun(colour: str | None, form: str | None, plural: bool) -> str:
    noun = (form or "shape") + ("s" if plural else "")
    return f"{colour} {noun}" if colour else noun


def _count_question(scene: Scene, rng: np.random.Generator) -> Task:
    # The count is drawn before the target: drawn the other way round, most answers would be 0.
    counts = {target: scene.count(*target) for target in _targets()}
    wanted = _pick(rng, sorted(set(counts.values())))
    colour, form = _pick(rng, [target for target, count in counts.items() if count == wanted])
    question = f"How many {_noun(colour, form, plural=True)} are there?"
    return Task("count", question, colour, form, answer=str(wanted), answer_type="number")


def _exist_question(scene: Scene, rng: np.random.Generator) -> Task:
    present = rng.random() < 0.5
    kinds = [(c, f) for c in COLOURS for f in FORMS if (scene.count(c, f) > 0) == present]
    if not present:
        # Near misses: the colour or the form is there. A kind that shares nothing could be refused at a glance.
        kinds = [(c, f) for c, f in kinds if scene.count(c) or scene.count(form=f)]
    colour, form = _pick(rng, kinds)
    question = f"Is there a {_noun(colour, form, plural=False)}?"
    return Task("exist", question, colour, form, answer="yes" if present else "no", answer_type="yesno")


def _at_least_question(scene: Scene, rng: np.random.Generator) -> Task:
    holds = rng.random() < 0.5
    options = [
        (colour, form, threshold)
        for colour, form in _targets()
        for threshold in range(2, _MAX_THRESHOLD + 1)
        # No is always a near miss, one short of the threshold.
        if (scene.count(colour, form) >= threshold if holds else scene.count(colour, form) == threshold - 1)
    ]
    if not options:  # a scene of all-different shapes offers no yes: draw again, in the end the answer is no
        return _at_least_question(scene, rng)
    colour, form, threshold = _pick(rng, options)
    question = f"Are there at least {threshold} {_noun(colour, form, plural=True)}?"
    answer = "yes" if holds else "no"
    return Task("at-least", question, colour, form, threshold, answer, "yesno")
