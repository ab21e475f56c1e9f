"""The result files of judged samples: pairs, samples, undecided, hard and easy questions, and their counts.

    the run's parts -> samples, pairs, format_pairs, undecided, hard, easy and audit.jsonl

The parts are read once, in the order of the questions; each question is paired and its rows go to all files. Memory
holds one question and the audit's sample. The files appear together at the end, whole or not at all.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec

from pipelines.audit import Audit, add_sample
from pipelines.drawn import questions, reference
from pipelines.engines.base import Sampling
from pipelines.judging.workers import shared
from pipelines.pairing import Judged, pair
from pipelines.result_files import Write, result_files
from pipelines.rows import pair_row, question_row, sample_row
from pipelines.rundir import RunDir
from pipelines.tally import Tally
from prefdata.progress import progress

METHOD: Final = "correctness"
_FILES: Final = ("samples", "pairs", "format_pairs", "undecided", "hard", "easy")


class Pairing(msgspec.Struct, frozen=True, kw_only=True):
    """How many pairs, from which questions."""

    limit: int = 15
    band: tuple[float, float] = (0.0, 1.0)


def finish(
    run: RunDir, asked: Sequence[str], keys: Sequence[str], how: Pairing, sampling: Sampling | None
) -> dict[str, Any]:
    """Write every result file from the parts; returns the counts.

    asked: ids of the questions in their order. keys: those of all their rounds.
    """
    run.complete(keys)
    audit = Audit([run.path / "audit.jsonl"])
    for kind in ("symbolic", "regex"):
        shared(kind).close()  # judging is over: their memory is for what follows
    tally = Tally()
    with (
        result_files(run.path, _FILES) as (write, lengths),
        progress("pairing", total=len(asked), unit="questions") as shown,
    ):
        for question, samples in questions(run, asked):
            _write_question(question, samples, how, sampling, write, tally, audit)
            shown.advance()
    counts = tally.counts()
    dropped = run.finish(keys, {"audit.jsonl": audit.rows()}, **lengths, judging=counts)
    return counts | {"dropped": dropped}


def _write_question(
    question: dict[str, Any],
    samples: Sequence[Judged],
    how: Pairing,
    sampling: Sampling | None,
    write: Write,
    tally: Tally,
    audit: Audit,
) -> None:
    paired = pair(samples, how.limit, how.band, reference(question))
    tally.add(samples, paired, refused="refused" in question.get("reference", {}))
    for index, one in enumerate(samples):
        row = sample_row(question, index, one, sampling)
        write("samples", row)
        add_sample(audit, row)
        if one.verdict.outcome == "undecided":
            write("undecided", row)
    for name, made, mark, method in (
        ("pairs", paired.pairs, "", METHOD),
        ("format_pairs", paired.format_pairs, "f", "format"),
    ):
        for index, (chosen, rejected) in enumerate(made):
            identity = f"{question['id']}-{mark}{index}"
            write(name, pair_row(question, chosen, rejected, identity, method, sampling))
    if paired.side in ("hard", "easy"):
        write(paired.side, question_row(question, samples))


def sample_rows(run: RunDir, asked: Sequence[str], sampling: Sampling | None) -> Iterator[dict[str, Any]]:
    """The rows of samples.jsonl."""
    for question, samples in questions(run, asked):
        for index, one in enumerate(samples):
            yield sample_row(question, index, one, sampling)
