"""What a `step-scores` run writes: responses with their scored steps, and rows that train a judge of steps.

`steps.jsonl` keeps the keys of the original's output. `prm.jsonl` (one turn for each step) and `orm.jsonl` (one for the
whole response) are `internvl-sft` conversations: what to do, the question with the solution, and `+` or `-` as the
answer. The original puts what to do into a system turn, on which its own loader then stops.
"""

from collections.abc import Sequence
from typing import Any, Final

from pipelines.engines.base import Sampling
from pipelines.pairing import Judged
from pipelines.prompts import Template
from pipelines.rows import sample_row
from pipelines.step_walk import Scored

QUESTION: Final = "### Question:\n"
SOLUTION: Final = "\n\n### Solution Process:\n"
_EACH_STEP: Final = (
    "You check solutions. You are shown a question and a solution to it, one step after another. After each step, "
    "answer + if the solution can still lead to the right result from there, and - if it cannot."
)
_WHOLE: Final = (
    "You check solutions. You are shown a question and a whole solution to it. "
    "Answer + if its result is right, and - if it is wrong."
)


def steps_row(
    question: dict[str, Any],
    index: int,
    response: Judged,
    scored: Sequence[Scored],
    sampling: Sampling,
    continuations: int,
) -> dict[str, Any]:
    """A response with its steps: `score` is null where no continuation could be decided."""
    steps = [
        {
            "step": one.text,
            "score": one.score,
            "num_mc_correct": one.correct,
            "num_mc_total": one.decided,
            "num_mc_undecided": one.undecided,
        }
        for one in scored
    ]
    row = sample_row(question, index, response, sampling)
    meta = row.pop("meta")
    return row | {"steps_with_score": steps, "num_mc_sequences": continuations, "meta": meta}


def prm_row(row: dict[str, Any], template: Template, threshold: float) -> dict[str, Any] | None:
    """The steps as turns to answer, up to the first that could not be decided; None where that is none."""
    turns = []
    for step in row["steps_with_score"]:
        if step["score"] is None:
            break
        turns.append((step["step"], step["score"] > threshold))
    return _judging(row, template, _EACH_STEP, turns) if turns else None


def orm_row(row: dict[str, Any], template: Template) -> dict[str, Any] | None:
    """The whole response as one turn to answer; None where it could not be decided."""
    outcome = row["meta"]["verdict"]["outcome"]
    if outcome == "undecided":
        return None
    return _judging(row, template, _WHOLE, [(row["response"], outcome == "correct")])


def _judging(
    row: dict[str, Any], template: Template, task: str, turns: Sequence[tuple[str, bool]]
) -> dict[str, Any]:
    conversations = []
    before = f"{task}\n\n{_asked(row, template)}{SOLUTION}"
    for text, good in turns:
        conversations += [
            {"from": "human", "value": before + text},
            {"from": "gpt", "value": "+" if good else "-"},
        ]
        before = ""
    kept = {"id": row["meta"]["id"]} | ({"image": row["image"]} if row.get("image") else {})
    return kept | {"conversations": conversations, "meta": row["meta"]}


def _asked(row: dict[str, Any], template: Template) -> str:
    """The question as the model saw it, images in their places, without what it was told to do."""
    question = str(row["question"]).removesuffix(template.after)
    return QUESTION + (question.replace(template.before, "", 1) if template.before else question)
