"""`prefdata judge` from its flags: rows in, judged some hundred at a time, a model asked where one was named.

Some hundred at a time, so that worker processes and the model's engine have enough to do side by side, and memory
holds no more than that.
"""

import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from pipelines.audit import Audit
from pipelines.judging import ANSWER_TYPES, Ask, Tolerance, Verdict, judge_all
from pipelines.judging.agreement import Agreement
from pipelines.model_judge import consulted, model_judge, refuse_without_model
from pipelines.questions import check_answer_type
from pipelines.samples import forms_of
from prefdata import jsonl
from prefdata.atomic import keep_inputs
from prefdata.containers import probe
from prefdata.errors import PrefdataError
from prefdata.progress import say
from prefdata.readers import plain_rows

if TYPE_CHECKING:
    from pipelines.cli.judge import Config
    from pipelines.judging.llm import ModelJudge

_BATCH: Final = 512
_FIELDS: Final = ("rule", "reason", "extracted", "normalised", "gold", "answer_type", "span")


class _Row(NamedTuple):
    line: int
    row: dict[str, Any]
    ask: Ask
    label: bool | None


def run(config: "Config") -> None:
    """Judge the file, print a line for each row and a summary."""
    check_answer_type(config.answer_type)
    refuse_without_model(config)
    if config.audit:
        keep_inputs(Path(config.audit), [Path(config.file)])
    outcomes: Counter[str] = Counter()
    agreement = Agreement()
    audit = Audit([Path(config.audit)] if config.audit else ())
    write = sys.stdout.buffer.write
    with ExitStack() as stack:
        model = stack.enter_context(model_judge(config)) if config.judge_model else None
        for rows in _batches(_rows(config)):
            for one, verdict in zip(rows, _verdicts(config, rows, model), strict=True):
                outcomes[verdict.outcome] += 1
                if one.label is not None:
                    agreement.add(verdict.outcome, one.label)
                shown = _shown(one, verdict)
                identity = str(one.row.get("id") or one.line)
                audit.add(identity, one.ask.question, list(one.ask.gold), one.ask.response, _kept(shown))
                if config.explain:
                    write(_explained(config, one, verdict).encode())
                else:
                    write(msgspec.json.encode(shown) + b"\n")
    sys.stdout.buffer.flush()
    say(
        f"{sum(outcomes.values())} rows: "
        + ", ".join(f"{outcomes[name]} {name}" for name in ("correct", "wrong", "undecided"))
    )
    if config.audit:
        count = jsonl.write_jsonl(Path(config.audit), audit.rows())
        say(f"wrote {config.audit}: {count} verdicts to check, spread over the rules")
    if agreement.answers:
        say(summary(agreement))
    elif config.label_key and outcomes:
        raise PrefdataError(
            f"{config.file}: no row has `{config.label_key}`; name the labels' key with --label-key."
        )


def summary(agreement: Agreement) -> str:
    """Agreement of the decided verdicts with a label, false wrong and false correct apart."""
    answers, right = agreement.answers, agreement.right
    return (
        f"labelled {answers}: agreement of decided {agreement.agreed / max(agreement.decided, 1):.4f} "
        f"({agreement.agreed}/{agreement.decided}), false wrong {agreement.false_wrong}/{right}, "
        f"false correct {agreement.false_correct}/{answers - right}, "
        f"undecided {1 - agreement.decided / max(answers, 1):.4f}"
    )


def _tolerance(config: "Config") -> Tolerance:
    return Tolerance(relative=config.relative_tolerance, absolute=config.absolute_tolerance)


def _verdicts(config: "Config", rows: list[_Row], model: "ModelJudge | None") -> list[Verdict]:
    asks = [one.ask for one in rows]
    verdicts = judge_all(
        asks, anchored=config.anchored, tolerance=_tolerance(config), algebra=config.math_verify
    )
    return consulted(asks, verdicts, model) if model is not None else verdicts


def _batches(rows: Iterator[_Row]) -> Iterator[list[_Row]]:
    while batch := list(islice(rows, _BATCH)):
        yield batch


def _rows(config: "Config") -> Iterator[_Row]:
    path = Path(config.file)
    for line, row in plain_rows(path, probe(path).container):
        answer_type = row.get("answer_type") or config.answer_type
        if answer_type not in ANSWER_TYPES:
            raise PrefdataError(
                f"{path}:{line}: answer_type {answer_type!r}; use one of {', '.join(ANSWER_TYPES)}."
            )
        if answer_type == "llm" and not config.judge_model:
            raise PrefdataError(f"{path}:{line}: answer_type llm needs a model; name one with --judge-model.")
        prediction = _of(row, config.prediction_key, ("prediction", "response"), path, line)
        gold = _of(row, config.answer_key, ("answers", "answer"), path, line)
        # The consensus counts how often an answer was given; elsewhere each form stands once.
        alone = config.answer_key or "answer" not in row or (answer_type == "vqa" and isinstance(gold, list))
        options = row.get("options") or row.get("choices") or ()
        ask = Ask(
            prediction if isinstance(prediction, str) else msgspec.json.encode(prediction).decode(),
            forms_of(gold) if alone else _both(row["answer"], gold),
            answer_type,
            str(row.get("question_orig") or row.get("question") or ""),
            tuple(option for option in options if isinstance(option, str)),
            str(row.get("finish_reason") or "stop"),
        )
        label = row.get(config.label_key) if config.label_key else None
        right = None if label is None else _right(label, config.label_key, path, line)
        yield _Row(line, row, ask, right)


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
    return tuple(
        dict.fromkeys((*forms_of(answer), *(forms_of(answers) if isinstance(answers, list) else ())))
    )


def _shown(one: _Row, verdict: Verdict) -> dict[str, Any]:
    shown = {"line": one.line} | ({"id": one.row["id"]} if "id" in one.row else {})
    return shown | {"verdict": verdict.outcome} | {name: getattr(verdict, name) for name in _FIELDS}


def _kept(shown: dict[str, Any]) -> dict[str, Any]:
    """A printed verdict as rows of a run hold it."""
    return {"outcome": shown["verdict"]} | {name: shown[name] for name in _FIELDS if shown[name]}


def _explained(config: "Config", one: _Row, verdict: Verdict) -> str:
    from pipelines.judging.explain import explain

    steps = explain(one.ask, anchored=config.anchored, tolerance=_tolerance(config), verdict=verdict)
    return f"line {one.line}: " + "\n".join(steps) + "\n"
