"""Questions read, thinned, put into their prompt and made into requests: what `cot-pairs` and `eval` ask.

A bad image (missing, outside the root, unreadable) costs its own row: the row gets a `problem`, is reported as dropped
and stays owed; everything else goes on. The id of a question is the hash of its images, prompt and reference; a row
that stands twice in the file is asked twice, under two ids. An id of the row's own says nothing about its content and
may stand in the file twice: it is kept as `source_id`.
"""

import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from pipelines.cli.options import given
from pipelines.dry_run import rehearse
from pipelines.engines.base import Engine, Request, Sampling
from pipelines.judging import ANSWER_TYPES
from pipelines.prompts import TEMPLATES, Template, build, own_template
from pipelines.rundir import unique_ids
from prefdata import images
from prefdata.errors import PrefdataError
from prefdata.formats.dialect import IMAGE, in_reading_order, join
from prefdata.readers import Located, read_rows
from prefdata.records import Media, Question, content_id, record_id

if TYPE_CHECKING:
    from pipelines.cli.judged_options import JudgedOptions


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """One question: its row as it will stand in every output, what to ask, and how to judge the answers.

    `row` holds the input's keys plus `question_orig` (untouched), `question` (the whole prompt) and `prompt_version`.
    """

    id: str
    row: dict[str, Any]
    request: Request
    gold: tuple[str, ...] = ()
    answer_type: str = "auto"
    options: tuple[str, ...] = ()
    problem: str | None = None


class How(msgspec.Struct, frozen=True, kw_only=True):
    """How the questions are asked: `template` is how they are put, `version` what that is called."""

    version: str
    template: Template
    n: int
    sampling: Sampling
    seed: int
    image_root: Path | None


def load(path: Path, how: How, rows: Sequence[Located] | None = None) -> list[Asked]:
    """The questions of a `qa` file in its order; PrefdataError at a row that is none or that cannot be judged."""
    found = list(read_rows(path, "qa")) if rows is None else rows
    ids = unique_ids(record_id(_question(path, located)) for located in found)
    asked = [_asked(path, located, identity, how) for located, identity in zip(found, ids, strict=True)]
    for located, one in zip(found, asked, strict=True):
        if one.answer_type not in ANSWER_TYPES:
            raise PrefdataError(
                f"{path}:{located.line}: answer_type {one.answer_type!r} is not known; "
                f"use one of {', '.join(ANSWER_TYPES)}."
            )
    return asked


def check_answer_type(name: str) -> None:
    """Refuse an `--answer-type` that is none."""
    if name not in ANSWER_TYPES:
        raise PrefdataError(f"--answer-type {name}: use one of {', '.join(ANSWER_TYPES)}.")


def template_of(options: "JudgedOptions") -> Template:
    """How questions are put: the file's own way, or that of a version."""
    if options.prompt_file and "prompt_version" in given(options):
        raise PrefdataError(
            "--prompt-file and --prompt-version both say how questions are put; leave one out."
        )
    return (
        own_template(Path(options.prompt_file)) if options.prompt_file else TEMPLATES[options.prompt_version]
    )


def judgeable(options: "JudgedOptions", source: Path) -> list[Asked]:
    """The questions of a file that the flags ask for; PrefdataError where one has no reference answer."""
    check_answer_type(options.answer_type)
    how = How(
        version=options.version,
        template=template_of(options),
        n=options.num_return_sequences,
        sampling=options.sampling(),
        seed=options.seed,
        image_root=Path(options.image_root) if options.image_root else None,
    )
    rows = thinned(
        list(read_rows(source, "qa")), options.sample_start_idx, options.sample_max_num, options.seed
    )
    asked = [
        one if one.answer_type != "auto" else msgspec.structs.replace(one, answer_type=options.answer_type)
        for one in load(source, how, rows)
    ]
    for one in asked:
        if not one.gold:
            question = str(one.row["question_orig"])[:60]
            raise PrefdataError(f"{source}: the question {question!r} has no `answer` to judge by.")
    return asked


def rehearse_questions(engine: Engine, asked: Sequence[Asked], price: str) -> None:
    """`--dry-run` of questions."""
    dropped = Counter(one.problem.split(":")[0] for one in asked if one.problem is not None)
    rehearse(engine, [one.request for one in asked if one.problem is None], None, dropped, price)


def thinned(rows: Sequence[Any], start: int, most: int | None, seed: int) -> list[Any]:
    """Without the first `start`, and of the rest at most `most`: a seeded uniform draw, in the file's order."""
    rest = list(rows[start:])
    if most is None or most >= len(rest):
        return rest
    return [rest[index] for index in sorted(random.Random(seed).sample(range(len(rest)), most))]


def _question(path: Path, located: Located) -> Question:
    record = located.record
    if not isinstance(record, Question) or not any(turn.role == "user" for turn in record.prompt):
        raise PrefdataError(
            f"{path}:{located.line}: no question; each row needs `question` (and `answer` to be judged)."
        )
    return record


def _asked(path: Path, located: Located, identity: str, how: How) -> Asked:
    record = _question(path, located)
    prompt = build(record.prompt, record.media, how.template)
    prompt, media = in_reading_order(prompt, record.media, leave_single=False)
    question = next(turn for turn in reversed(prompt) if turn.role == "user")
    row = {**located.row, "question_orig": located.row.get("question", ""), "prompt_version": how.version}
    row["question"] = join(
        question, media, {kind: f"<{kind}>" for kind in ("image", "video", "audio")} | {"image": IMAGE}
    )
    if media != record.media:
        row["image"] = [item.uri for item in media]
    files, problem = image_files(media, how.image_root, path.parent)
    if not any(turn.text.strip() for turn in record.prompt if turn.role == "user"):
        problem = "empty question"
    request = Request(
        id=identity, messages=prompt, images=files, n=how.n, sampling=how.sampling, seed=how.seed
    )
    return Asked(
        id=identity,
        row=row,
        request=request,
        gold=record.answer,
        answer_type=record.answer_type or "auto",
        options=record.options,
        problem=problem,
    )


def image_files(
    media: Sequence[Media], root: Path | None, base: Path
) -> tuple[tuple[Path | bytes, ...], str | None]:
    """What to send for the images of a row, and why the row cannot be asked (None where it can)."""
    files: list[Path | bytes] = []
    for item in media:
        if item.kind != "image":
            return (), f"media: {item.kind} cannot be sent to an engine"
        if item.data is not None:
            files.append(item.data)
            continue
        try:
            file = images.resolve(item.uri or "", root, base)
        except PrefdataError as error:
            return (), f"image: {error}"
        if not file.is_file():
            return (), f"image: {item.uri}: no such file (looked for {file})"
        files.append(file)
    return tuple(files), None


def source_id(row: dict[str, Any]) -> Any:
    """The id that a row brought along (its own, or in its `meta` when it was generated), None where it has none."""
    meta = row.get("meta")
    return row["id"] if row.get("id") is not None else meta.get("id") if isinstance(meta, dict) else None


def group_id(row: dict[str, Any]) -> str:
    """The id of the question that a row sampled elsewhere answers: image, prompt and reference."""
    return content_id(row.get("image"), row.get("system_prompt"), row.get("question"), row.get("answer"))
