"""`prefdata judge`: a verdict for every row of a file of predictions."""

import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from msgspec import Meta

from prefdata.cli.config import config_command
from prefdata.errors import PrefdataError

if TYPE_CHECKING:
    from pipelines.judging.agreement import Agreement


class Config(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """What `prefdata judge` can be told."""

    file: Annotated[
        str,
        Meta(
            description="Rows with a prediction and an answer.",
            extra={"argument": True, "metavar": "FILE.jsonl"},
        ),
    ]
    prediction_key: Annotated[
        str,
        Meta(
            description="Key of the prediction; default: prediction, else response.", extra={"metavar": "KEY"}
        ),
    ] = ""
    answer_key: Annotated[
        str,
        Meta(description="Key of the reference; default: answers, else answer.", extra={"metavar": "KEY"}),
    ] = ""
    answer_type: Annotated[
        str,
        Meta(
            description="auto, choice, yesno, number, text, math, anls or relaxed; a row's own answer_type wins.",
            extra={"metavar": "TYPE"},
        ),
    ] = "auto"
    anchored: Annotated[
        bool,
        Meta(description="Only an answer behind a marker, in a box or a tag counts, as for cot-pairs."),
    ] = False
    relative_tolerance: Annotated[float, Meta(ge=0, description="Share by which a number may differ.")] = 0.0
    absolute_tolerance: Annotated[float, Meta(ge=0, description="Amount by which a number may differ.")] = 0.0
    label_key: Annotated[
        str,
        Meta(
            description="Key of a label (true or false, 1 or 0): adds the agreement with it to the summary.",
            extra={"metavar": "KEY"},
        ),
    ] = ""


@config_command(
    Config,
    name="judge",
    section="Generate",
    examples="""
    prefdata judge predictions.jsonl > verdicts.jsonl
    prefdata judge samples.jsonl --prediction-key response --anchored --label-key is_correct
    """,
)
def command(config: Config) -> None:
    """Say correct, wrong or undecided for each row, with the rule that decided.

    One JSON line per row on standard output, a summary on standard error. A prediction may be the bare answer or a
    text that holds it; --anchored asks for a marker. A row's `question`, `options` (or `choices`) and `finish_reason`
    are used where it has them.
    """
    from pipelines.judging import ANSWER_TYPES, Tolerance, judge
    from pipelines.judging.agreement import Agreement
    from pipelines.samples import forms_of
    from prefdata.containers import probe
    from prefdata.progress import say
    from prefdata.readers import plain_rows

    if config.answer_type not in ANSWER_TYPES:
        raise PrefdataError(f"--answer-type {config.answer_type}: use one of {', '.join(ANSWER_TYPES)}.")
    path = Path(config.file)
    tolerance = Tolerance(relative=config.relative_tolerance, absolute=config.absolute_tolerance)
    outcomes: Counter[str] = Counter()
    agreement = Agreement()
    write = sys.stdout.buffer.write
    for line, row in plain_rows(path, probe(path).container):
        prediction = _of(row, config.prediction_key, ("prediction", "response"), path, line)
        gold = _of(row, config.answer_key, ("answers", "answer"), path, line)
        answer_type = row.get("answer_type") or config.answer_type
        if answer_type not in ANSWER_TYPES:
            raise PrefdataError(
                f"{path}:{line}: answer_type {answer_type!r}; use one of {', '.join(ANSWER_TYPES)}."
            )
        options = row.get("options") or row.get("choices") or ()
        verdict = judge(
            prediction if isinstance(prediction, str) else msgspec.json.encode(prediction).decode(),
            forms_of(gold) if config.answer_key or "answer" not in row else _both(row["answer"], gold),
            answer_type,
            str(row.get("question_orig") or row.get("question") or ""),
            tuple(option for option in options if isinstance(option, str)),
            str(row.get("finish_reason") or "stop"),
            anchored=config.anchored,
            tolerance=tolerance,
        )
        outcomes[verdict.outcome] += 1
        label = row.get(config.label_key) if config.label_key else None
        if label is not None:
            agreement.add(verdict.outcome, _right(label, config.label_key, path, line))
        write(msgspec.json.encode(_shown(row, line, verdict)) + b"\n")
    sys.stdout.buffer.flush()
    say(
        f"{sum(outcomes.values())} rows: "
        + ", ".join(f"{outcomes[name]} {name}" for name in ("correct", "wrong", "undecided"))
    )
    if agreement.answers:
        say(summary(agreement))
    elif config.label_key and outcomes:
        raise PrefdataError(
            f"{path}: no row has `{config.label_key}`; name the labels' key with --label-key."
        )


def summary(agreement: "Agreement") -> str:
    """Agreement of the decided verdicts with a label, false wrong and false correct apart."""
    answers, right = agreement.answers, agreement.right
    return (
        f"labelled {answers}: agreement of decided {agreement.agreed / max(agreement.decided, 1):.4f} "
        f"({agreement.agreed}/{agreement.decided}), false wrong {agreement.false_wrong}/{right}, "
        f"false correct {agreement.false_correct}/{answers - right}, "
        f"undecided {1 - agreement.decided / max(answers, 1):.4f}"
    )


def _of(row: dict[str, Any], key: str, usual: tuple[str, ...], path: Path, line: int) -> Any:
    names = (key,) if key else usual
    found = next((name for name in names if row.get(name) is not None), None)
    if found is None:
        raise PrefdataError(
            f"{path}:{line}: no `{'` or `'.join(names)}` in this row; name the right key with a --...-key flag."
        )
    return row[found]


def _right(label: Any, key: str, path: Path, line: int) -> bool:
    if label not in (0, 1):  # true and false are 1 and 0
        shown = msgspec.json.encode(label).decode()[:80]
        raise PrefdataError(f"{path}:{line}: `{key}` is {shown}; a label is true, false, 1 or 0.")
    return bool(label)


def _both(answer: Any, answers: Any) -> tuple[str, ...]:
    """A row's `answer` and its list of `answers`, each form once."""
    from pipelines.samples import forms_of

    return tuple(
        dict.fromkeys((*forms_of(answer), *(forms_of(answers) if isinstance(answers, list) else ())))
    )


def _shown(row: dict[str, Any], line: int, verdict: Any) -> dict[str, Any]:
    shown = {"line": line} | ({"id": row["id"]} if "id" in row else {}) | {"verdict": verdict.outcome}
    fields = ("rule", "reason", "extracted", "normalised", "gold", "answer_type", "span")
    return shown | {name: getattr(verdict, name) for name in fields}
