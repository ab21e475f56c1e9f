"""One `cot-pairs` run from its flags: inputs, run directory, sampling or reading, results, mixture entry and card."""

import sys
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from pipelines import correctness, results, samples
from pipelines.cli.options import flag, given, identity
from pipelines.engines import make_engine
from pipelines.feed import shard
from pipelines.judging import version
from pipelines.model_judge import OF_MODEL, judged_by, model_judge, refuse_without_model
from pipelines.output import (
    checkpoint_name,
    exit_code,
    image_root,
    pinned,
    run_path,
    write_card,
    write_mixture_entry,
)
from pipelines.places import Places
from pipelines.questions import check_answer_type, judgeable, rehearse_questions
from pipelines.rundir import RunDir
from prefdata.errors import PrefdataError
from prefdata.outputs import many
from prefdata.progress import say

if TYPE_CHECKING:
    from pipelines.cli.cot_pairs import Config

WHAT = """Preference pairs made from a model's own answers to questions with known answers: `chosen` was judged right,
`rejected` wrong, by rules (`{version}`)."""
CAVEATS = """A right final answer can have a wrong reasoning before it: only the answer was judged. Undecided answers
(`undecided.jsonl`) are in no pair; `format_pairs.jsonl` sets right answers against responses without a readable one;
`hard.jsonl` and `easy.jsonl` are the questions with only wrong or only right answers."""
WHAT_BY_MODEL = """Preference pairs made from a model's own answers to questions with known answers: `chosen` was judged
right, `rejected` wrong, by rules, and by a model where these leave it open (`{version}`)."""
# Settings that decide the result where nothing is sampled: of pairing, and those that mean nothing without --samples.
_OF_PAIRS = ("num_pairs_per_key", "accuracy_range", "answer_type", "answer_fix", "force")
_OF_SAMPLES = ("max_lines", "judge_model", *OF_MODEL)
_OF_JUDGING = frozenset(("samples", "out_dir", "image_root", *_OF_PAIRS, *_OF_SAMPLES))
# In the summary: the questions that make no pair.
_ONE_SIDED = {"hard": "all wrong", "easy": "all right", "open": "left open by undecided answers"}


def run(config: "Config") -> int | None:
    """Do the run, print its counts, and put one JSON line on standard output."""
    if config.dry_run:
        _rehearse(config)
        return None
    how = results.Pairing(limit=config.num_pairs_per_key, band=config.band)
    made = _judge_only(config, how) if config.samples else _generate(config, how)
    counts, path = made.counts, made.run.path
    describe(path, made.settings, counts, made.root, path.name)
    _say(counts, path)
    code = exit_code(made.run, asked=made.asked, pairs=counts["pairs"])
    result = {"run": str(path), "pairs": str(path / "pairs.jsonl"), "samples": str(path / "samples.jsonl")}
    result |= {"questions": counts["questions"], "sampled": counts["samples"], "pair_count": counts["pairs"]}
    result |= {key: value for key, value in counts.items() if key not in ("questions", "samples", "pairs")}
    sys.stdout.write(msgspec.json.encode(result).decode() + "\n")
    return code


def describe(
    run: Path, settings: Mapping[str, Any], counts: Mapping[str, Any], root: Path | None, name: str
) -> None:
    """Write the mixture entry and the card of a finished run that is called `name`."""
    write_mixture_entry(run, counts["pairs"], root, name)
    lengths = {
        mean: {name: round(value, 1) for name, value in counts[mean].items()}
        for mean in ("length_gap", "length_distance")
    }
    what = (WHAT_BY_MODEL if settings.get("judge_model") else WHAT).format(version=settings["judge"])
    write_card(run, what, {**counts, **lengths}, settings, CAVEATS, name)


class _Finished(msgspec.Struct, frozen=True, kw_only=True):
    run: RunDir
    asked: int
    counts: dict[str, Any]
    root: Path | None
    settings: dict[str, Any]


def _check_inputs(config: "Config") -> None:
    for name in given(config):
        if name in _OF_SAMPLES:
            raise PrefdataError(
                f"{flag(name)}: it is for what was sampled before; sample first, then name the run with --samples."
            )
    if not config.prompt_path:
        raise PrefdataError(
            "Missing --prompt-path: name a file of questions, or --samples with what was sampled elsewhere."
        )
    if not config.checkpoint:
        raise PrefdataError(
            "Missing --checkpoint: name the model that answers, or --samples with what was sampled elsewhere."
        )


def _generate(config: "Config", how: results.Pairing) -> _Finished:
    _check_inputs(config)
    source = Path(config.prompt_path)
    settings, inputs = pinned(config, "cot-pairs", source)
    if config.band != (0.0, 1.0) and not config.fixed_n:
        say(
            "--accuracy-range: rounds end early and leave coarse shares of right answers; --fixed-n gives finer ones."
        )
    engine = make_engine(config)
    asked = shard(judgeable(config, source), *config.shard_of, engine.batch_size)
    if not config.fixed_n and any(one.answer_type == "llm" for one in asked):
        raise PrefdataError(
            f"{source}: answer_type llm is judged by a model afterwards, so rounds cannot tell when they have enough; "
            "sample with --fixed-n, then run again with --samples RUN --judge-model MODEL."
        )
    suffix = f"_{config.version}_correctness"
    path = run_path(config.out_dir, config.checkpoint, source, suffix, config.shard_of)
    settings = {key: value for key, value in settings.items() if key not in _OF_SAMPLES}
    settings["judge"] = version()
    with RunDir.open(path, settings, inputs) as rundir:
        keys = correctness.sample(
            engine,
            rundir,
            asked,
            checkpoint_name(config.checkpoint),
            plan=config.plan,
            how=config.judging,
            stall_timeout=config.stall_timeout or None,
        )
        counts = results.finish(rundir, [one.id for one in asked], keys, how, config.sampling())
    root = image_root(config.image_root, source, path)
    return _Finished(run=rundir, asked=len(asked), counts=counts, root=root, settings=settings)


def _rehearse(config: "Config") -> None:
    if config.samples:
        raise PrefdataError("--dry-run: with --samples nothing is generated; leave one of them out.")
    _check_inputs(config)
    engine = make_engine(config)
    asked = shard(judgeable(config, Path(config.prompt_path)), *config.shard_of, engine.batch_size)
    if config.plan.size < config.plan.most:
        say(
            f"questions are asked in rounds of {config.plan.size}: the samples told here are the most there can be"
        )
    rehearse_questions(engine, asked, config.price_per_mtok)


def _judge_only(config: "Config", how: results.Pairing) -> _Finished:
    for name in given(config):
        if name not in _OF_JUDGING:
            raise PrefdataError(f"{flag(name)}: with --samples nothing is sampled; leave one of them out.")
    refuse_without_model(config)
    check_answer_type(config.answer_type)
    where = Path(config.samples)
    files = samples.files_of(where)
    path = run_path(config.out_dir, "samples", where, "_correctness")
    # Only what decides the pairs: nothing was sampled here.
    settings = {key: value for key, value in identity(config).items() if key in (*_OF_PAIRS, *_OF_SAMPLES)}
    settings |= {"command": "cot-pairs", "judge": judged_by(config) if config.judge_model else version()}
    inputs = {f"{number}:{file.name}": file for number, file in enumerate(files)}
    if config.judge_prompt:
        inputs["judge_prompt"] = Path(config.judge_prompt)
    with RunDir.open(path, settings, inputs) as rundir:
        places = Places(files)
        ask_model = config.judge_model and any(map(rundir.owed, places.ids))
        with model_judge(config, settings["judge"]) if ask_model else nullcontext() as model:
            samples.judge_samples(
                rundir,
                places,
                config.answer_type,
                config.max_lines,
                config.judging,
                model,
            )
        counts = results.finish(rundir, places.ids, places.ids, how, None)
    root = image_root(config.image_root, files[0], path)
    return _Finished(run=rundir, asked=len(places.ids), counts=counts, root=root, settings=settings)


def _say(counts: dict[str, Any], path: Path) -> None:
    reasons = ", ".join(f"{count} {reason}" for reason, count in counts["undecided_by_reason"].items())
    say(
        f"{many(counts['samples'], 'sample')} of {many(counts['questions'], 'question')}: {counts['correct']} correct, "
        f"{counts['wrong']} wrong, {counts['undecided']} undecided" + (f" ({reasons})" if reasons else "")
    )
    say(
        f"{many(counts['pairs'], 'pair')} of {many(counts['paired'], 'question')}, "
        f"{many(counts['format_pairs'], 'format pair')}"
    )
    if one_sided := [f"{counts[key]} {what}" for key, what in _ONE_SIDED.items() if counts[key]]:
        say(f"questions without both right and wrong answers: {', '.join(one_sided)}")
    if counts["duplicates"] or counts["near_duplicates"]:
        say(
            f"left out: {many(counts['duplicates'], 'sample')} that repeat others, {counts['near_duplicates']} nearly"
        )
    if counts["pairs"]:
        gap, distance = counts["length_gap"], counts["length_distance"]
        say(
            f"{counts['samples_per_pair']:.2f} samples were drawn for each pair; chosen is "
            f"{_longer(gap['after'])} than rejected on average ({_longer(gap['before'])} over all right-wrong "
            f"combinations), their lengths differ by {distance['after']:.1f} ({distance['before']:.1f})"
        )
    extras = {
        "answers_fixed": "answers spelt as the reference",
        "forced": "questions with their rationale as chosen",
        "rationales_refused": "rationales refused because they are not right or name no answer",
    }
    if told := [f"{counts[key]} {what}" for key, what in extras.items() if counts[key]]:
        say(", ".join(told))
    if counts["dropped"]:
        say("dropped: " + ", ".join(f"{count} {reason}" for reason, count in counts["dropped"].items()))
    if counts["undecided"] > counts["samples"] / 2:
        say("more than half is undecided: does the model answer in the form asked for (--prompt-version)?")
    trained = f"   to train on them: --data {path / 'meta.json'}" if counts["pairs"] else ""
    say(f"wrote {path}{trained}")


def _longer(gap: float) -> str:
    return f"{abs(gap):.1f} characters {'shorter' if round(gap, 1) < 0 else 'longer'}"
