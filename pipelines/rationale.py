"""`--force`: where no sample is right, the question's own `rationale` is the chosen side.

It has to be right by the judge that judges the samples. One that names no answer in the form the prompt asks for gets
the reference answer behind it, in that form; one that names another answer than the reference is refused and counted.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from pipelines.drawn import brief
from pipelines.judging import Ask, judge_all

KEY: Final = "rationale"
_FORMS: Final = {
    "zh": "{rationale}\n答案: {answer}",
    "en_v2": "{rationale}\nAnswer: \\boxed{{{answer}}}",
    "zh_v2": "{rationale}\n答案：\\boxed{{{answer}}}",
    "en_r1": "<think>{rationale}</think>\n\n\\boxed{{{answer}}}",
    "zh_r1": "<think>{rationale}</think>\n\n\\boxed{{{answer}}}",
}
_PLAIN: Final = "{rationale}\nFinal answer: {answer}"


def reference_of(row: Mapping[str, Any], ask: Ask) -> dict[str, Any] | None:
    """What a run keeps of a row's rationale: `{"response", "verdict"}`, `{"refused"}`, or None where it has none.

    ask: how an answer to the question is judged; its response does not matter.
    """
    rationale = row.get(KEY)
    if not isinstance(rationale, str) or not rationale.strip() or not ask.gold:
        return None
    rationale = rationale.strip()
    form = _FORMS.get(str(row.get("prompt_version")), _PLAIN)
    responses = (rationale, form.format(rationale=rationale, answer=ask.gold[0]))
    refused = ""
    for response in responses:
        (verdict,) = judge_all([msgspec.structs.replace(ask, response=response, finish_reason="stop")])
        if verdict.outcome == "correct":
            return {"response": response, "verdict": brief(verdict)}
        refused = verdict.reason or verdict.outcome
        if verdict.reason != "format":
            break
    return {"refused": refused}
