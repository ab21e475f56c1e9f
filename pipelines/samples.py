"""Samples drawn elsewhere (the original pipeline's files, or ours) brought into a run, judged, ready to be paired.

One row is one sample: `question_orig`, `question`, `response`, `prompt_version`, `answer`, maybe `image`. The rows
of one question may lie anywhere in any of the files (the original appends them in chunks from many processes), so a
first pass notes where each question's rows are (`places.py`), and a second reads one question at a time.
Old files lack `finish_reason`; there, a cut-off answer is known only by its missing marker.
"""

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.canonical import judge_and_fix
from pipelines.correctness import Judging
from pipelines.drawn import entry
from pipelines.judging import Ask
from pipelines.judging.verdict import Verdict
from pipelines.pairing import Fix
from pipelines.places import Places
from pipelines.rationale import reference_of
from pipelines.rows import MAKER_KEYS
from pipelines.rundir import RunDir
from prefdata.errors import PrefdataError
from prefdata.progress import progress

if TYPE_CHECKING:
    from pipelines.judging.llm import ModelJudge

_TOGETHER = 64
"""Questions judged at a time: enough to keep the worker processes busy beside one that is stuck, few enough to hold."""


def files_of(path: Path) -> list[Path]:
    """The sampled files at `path`: the file, a run's own samples.jsonl, or every *.jsonl of the folder."""
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise PrefdataError(f"--samples {path}: no such file or folder.")
    own = path / "samples.jsonl"
    found = [own] if own.is_file() else sorted(path.glob("*.jsonl"))
    if not found:
        raise PrefdataError(f"--samples {path}: no *.jsonl file in this folder.")
    return found


def judge_samples(
    run: RunDir,
    places: Places,
    answer_type: str,
    max_lines: int | None,
    how: Judging,
    model: "ModelJudge | None" = None,
) -> None:
    """Judge every question's rows that the run still owes.

    max_lines: about so many rows in all; each question keeps an equal number, so that none loses its samples to the
    order in which a file happened to be written.
    Raises PrefdataError where a file changed since `places` were read; nothing is kept of what was read then.
    """
    most = None if max_lines is None else max(1, max_lines // max(1, len(places.ids)))
    owed = [identity for identity in places.ids if run.owed(identity)]
    with ExitStack() as stack, progress("judging", total=len(places.ids), unit="questions") as shown:
        shown.advance(len(places.ids) - len(owed))
        streams = [stack.enter_context(file.open("rb")) for file in places.files]
        for start in range(0, len(owed), _TOGETHER):
            some = owed[start : start + _TOGETHER]
            groups = [places.of(identity, streams, most) for identity in some]
            places.check(run.manifest["inputs"])
            asks = [[_ask(row, answer_type) for row in rows] for rows in groups]
            if model is None and any(ask.answer_type == "llm" for group in asks for ask in group):
                raise PrefdataError("answer_type llm: the answer needs a model; name one with --judge-model.")
            verdicts = iter(judge_and_fix([ask for group in asks for ask in group], how.fix, model))
            for identity, rows, group in zip(some, groups, asks, strict=True):
                entries = [_entry(row, *next(verdicts)) for row in rows]
                reference = reference_of(rows[0], group[0]) if how.force else None
                line = {"id": identity, "row": _base(rows[0]), "samples": entries}
                named = ({"reference": reference} if reference else {}) | (
                    {"judge": model.label} if model else {}
                )
                run.append(line | named)
                shown.advance()
    places.check(run.manifest["inputs"])


def _ask(row: dict[str, Any], answer_type: str) -> Ask:
    return Ask(
        row["response"],
        forms_of(row["answer"]),
        str(row.get("answer_type") or answer_type),
        str(row.get("question_orig") or row["question"]),
        tuple(row.get("options") or ()),
        row.get("finish_reason") or "stop",
    )


def _entry(row: dict[str, Any], verdict: Verdict, fix: Fix | None) -> dict[str, Any]:
    found = row.get("meta")
    meta: dict[str, Any] = found if isinstance(found, dict) else {}
    by = {key: meta[key] for key in MAKER_KEYS if meta.get(key)}
    one = entry(row["response"], row.get("finish_reason") or "stop", row.get("seed"), verdict, fix)
    return one | ({"by": by} if by else {})


def forms_of(answer: Any) -> tuple[str, ...]:
    """Every valid form of a reference as it stands in a row: a text, a number, or a list of them.

    VQA's own files hold one object per person: `{"answer": "net", "answer_id": 1}`.
    """
    if isinstance(answer, dict):
        return forms_of(answer.get("answer"))
    if isinstance(answer, list | tuple):
        return tuple(form for item in answer for form in forms_of(item))
    return (str(answer),) if isinstance(answer, str | int | float) and not isinstance(answer, bool) else ()


def _base(row: dict[str, Any]) -> dict[str, Any]:
    """The question of a sampled row. What belongs to the sample goes; our own samples name the question's own id."""
    own = ("response", "finish_reason", "seed", "meta", "is_correct", "answer_pred", "id")
    base = {"question_orig": row["question"]} | {key: value for key, value in row.items() if key not in own}
    meta = row.get("meta")
    if isinstance(meta, dict) and meta.get("source_id") is not None:
        base["id"] = meta["source_id"]
    return base
