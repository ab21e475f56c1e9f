"""`--force`: where no sample is right, the question's own `rationale` is the chosen side.

It has to be right by the judge that judges the samples. One that names no answer gets the reference answer behind it,
in the form that the prompt version asks for. Where that is not known (`plain`, a prompt of one's own, samples that do
not say) nothing is put there: a form that was not asked for would teach it. One that names no answer then, or another
answer than the reference, is refused and counted.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from pipelines.drawn import brief
from pipelines.judging import Ask, judge_all

KEY: Final = "rationale"
_LINE: Final = "{rationale}\nFinal answer: {answer}"
_THOUGHT: Final = "<think>{rationale}</think>\n\n\\boxed{{{answer}}}"
_FORMS: Final = {
    **dict.fromkeys(("en", "en_background", "en_visual", "en_grounded"), _LINE),
    "zh": "{rationale}\n答案: {answer}",
    "en_v2": "{rationale}\nAnswer: \\boxed{{{answer}}}",
    "zh_v2": "{rationale}\n答案：\\boxed{{{answer}}}",
    **dict.fromkeys(("en_r1", "zh_r1"), _THOUGHT),
}
"""By prompt version."""


def reference_of(row: Mapping[str, Any], ask: Ask) -> dict[str, Any] | None:
    """What a run keeps of a row's rationale: `{"response", "verdict"}`, `{"refused"}`, or None where it has none.

    ask: how an answer to the question is judged; its response does not matter.
    """
    rationale = row.get(KEY)
    if not isinstance(rationale, str) or not rationale.strip() or not ask.gold:
        return None
    rationale = rationale.strip()
    responses = [rationale]
    if form := _FORMS.get(str(row.get("prompt_version"))):
        responses.append(form.format(rationale=rationale, answer=ask.gold[0]))
    refused = ""
    for response in responses:
        (verdict,) = judge_all([msgspec.structs.replace(ask, response=response, finish_reason="stop")])
        if verdict.outcome == "correct":
            return {"response": response, "verdict": brief(verdict)}
        refused = verdict.reason or verdict.outcome
        if verdict.reason != "format":
            break
    return {"refused": refused}
