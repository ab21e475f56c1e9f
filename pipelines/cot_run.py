"""One `cot-pairs` run from its options: inputs, run directory, sampling or reading, results, mixture entry and card."""

import sys
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import xxhash

from pipelines import correctness, samples
from pipelines.judging import ANSWER_TYPES, VERSION
from pipelines.questions import Asked, How, load, thinned
from pipelines.rundir import RunDir
from prefdata.errors import PrefdataError
from prefdata.jsonl import write_text
from prefdata.mixtures import Mixture, Source, write_meta
from prefdata.models import DEMO_MODEL, resolve_model
from prefdata.progress import say
from prefdata.readers import read_rows

if TYPE_CHECKING:
    from pipelines.cli.cot_pairs import Config

_NOT_SAMPLING = frozenset({"samples", "max_lines"})


def run(config: "Config") -> dict[str, Any]:
    """Do the run, print its counts, and put one JSON line on standard output."""
    if config.answer_type not in ANSWER_TYPES:
        raise PrefdataError(f"--answer-type {config.answer_type}: use one of {', '.join(ANSWER_TYPES)}.")
    how = correctness.Pairing(limit=config.num_pairs_per_key, band=config.band)
    counts, path, root = _judge_only(config, how) if config.samples else _generate(config, how)
    if counts["pairs"]:
        source = Source(
            name=path.name,
            annotation=path / "pairs.jsonl",
            root=root,
            repeat_time=Decimal(1),
            length=counts["pairs"],
        )
        write_meta(path / "meta.json", Mixture(sources=(source,)))
    else:
        (path / "meta.json").unlink(missing_ok=True)
    write_text(path / "README.md", _card(path.name, counts, how))
    _say(counts, path)
    result = {"run": str(path), "pairs": str(path / "pairs.jsonl"), "samples": str(path / "samples.jsonl")}
    result |= {"questions": counts["questions"], "sampled": counts["samples"], "pair_count": counts["pairs"]}
    result |= {key: value for key, value in counts.items() if key not in ("questions", "samples", "pairs")}
    sys.stdout.write(msgspec.json.encode(result).decode() + "\n")
    return result


def run_path(out_dir: str, model: str, source: Path, suffix: str) -> Path:
    """OUT_DIR/<model>/<input>_<suffix>-<hash>: two inputs of one name in different folders stay apart."""
    tag = xxhash.xxh3_64_hexdigest(str(source.resolve()).encode())[:6]
    return Path(out_dir) / (Path(model).name or "model") / f"{source.stem}_{suffix}-{tag}"


def model_of(checkpoint: str, engine: str) -> tuple[str, str]:
    """(what the engine loads, the name it has in folders and provenance)."""
    if engine == "replay":
        return checkpoint, Path(checkpoint).stem
    model = resolve_model(checkpoint)
    return model, checkpoint if checkpoint == DEMO_MODEL else Path(model).name


def _generate(config: "Config", how: correctness.Pairing) -> tuple[dict[str, Any], Path, Path | None]:
    from pipelines.cli.options import identity
    from pipelines.engines import make_engine

    if not config.prompt_path:
        raise PrefdataError(
            "Missing --prompt-path: name a file of questions, or --samples with what was sampled elsewhere."
        )
    if not config.checkpoint:
        raise PrefdataError(
            "Missing --checkpoint: name the model that answers, or --samples with what was sampled elsewhere."
        )
    source = Path(config.prompt_path)
    model, name = model_of(config.checkpoint, config.engine)
    config = msgspec.structs.replace(config, checkpoint=model)
    asked = _questions(config, source)
    suffix = f"{config.prompt_version}_correctness" + (
        f"_max_tiles_{config.max_num}" if config.dynamic else ""
    )
    index, count = config.shard_of
    path = run_path(config.out_dir, name, source, suffix + (f"_{index}of{count}" if count > 1 else ""))
    settings = {key: value for key, value in identity(config).items() if key not in _NOT_SAMPLING} | {
        "judge": VERSION
    }
    with RunDir.open(path, settings, {"questions": source}) as rundir:
        engine = make_engine(config)
        correctness.sample(engine, rundir, asked, name, in_flight=config.in_flight)
        counts = correctness.finish(rundir, [one.id for one in asked], how, config.sampling())
    root = Path(config.image_root) if config.image_root else source.parent
    return counts, path, root


def _questions(config: "Config", source: Path) -> list[Asked]:
    how = How(
        version=config.prompt_version,
        n=config.num_return_sequences,
        sampling=config.sampling(),
        seed=config.seed,
        image_root=Path(config.image_root) if config.image_root else None,
    )
    rows = thinned(list(read_rows(source, "qa")), config.sample_start_idx, config.sample_max_num, config.seed)
    asked = load(source, how, rows)
    index, count = config.shard_of
    asked = asked[len(asked) * index // count : len(asked) * (index + 1) // count]
    judgeable = [
        one if one.answer_type != "auto" else msgspec.structs.replace(one, answer_type=config.answer_type)
        for one in asked
    ]
    for one in judgeable:
        if not one.gold:
            raise PrefdataError(
                f"{source}: the question {str(one.row['question_orig'])[:60]!r} has no `answer` to judge by."
            )
        if one.answer_type not in ANSWER_TYPES:
            raise PrefdataError(
                f"{source}: answer_type {one.answer_type!r} is not known; use one of {', '.join(ANSWER_TYPES)}."
            )
    return judgeable


def _judge_only(config: "Config", how: correctness.Pairing) -> tuple[dict[str, Any], Path, Path | None]:
    from pipelines.cli.options import identity

    where = Path(config.samples)
    files = samples.files_of(where)
    path = run_path(config.out_dir, "samples", where, "correctness")
    # Only what decides the pairs: nothing was sampled here.
    kept = ("num_pairs_per_key", "accuracy_range", "answer_type", "max_lines")
    settings = {key: value for key, value in identity(config).items() if key in kept} | {"judge": VERSION}
    inputs = {f"{number}:{file.name}": file for number, file in enumerate(files)}
    with RunDir.open(path, settings, inputs) as rundir:
        places = samples.Places(files)
        samples.judge_samples(rundir, places, config.answer_type, config.max_lines)
        counts = correctness.finish(rundir, places.ids, how, None)
    root = Path(config.image_root) if config.image_root else files[0].parent
    return counts, path, root


def _say(counts: dict[str, Any], path: Path) -> None:
    reasons = ", ".join(f"{count} {reason}" for reason, count in counts["undecided_by_reason"].items())
    say(
        f"{counts['samples']} samples of {counts['questions']} questions: {counts['correct']} correct, "
        f"{counts['wrong']} wrong, {counts['undecided']} undecided" + (f" ({reasons})" if reasons else "")
    )
    say(
        f"{counts['pairs']} pairs, {counts['format_pairs']} format pairs; {counts['hard']} questions all wrong, "
        f"{counts['easy']} all right, {counts['open']} open; {counts['duplicates']} duplicate samples left out"
    )
    if counts["dropped"]:
        say("dropped: " + ", ".join(f"{count} {reason}" for reason, count in counts["dropped"].items()))
    say(f"wrote {path}")


def _card(name: str, counts: dict[str, Any], how: correctness.Pairing) -> str:
    reasons = "".join(
        f"| undecided: {reason} | {count} |\n" for reason, count in counts["undecided_by_reason"].items()
    )
    dropped = "".join(f"| dropped: {reason} | {count} |\n" for reason, count in counts["dropped"].items())
    gap = counts["length_gap"] or {"before": 0.0, "after": 0.0}
    return f"""# {name}

Preference pairs made from a model's own answers: a right answer against a wrong one to the same question, judged by
rules (`{VERSION}`). `run.json` holds the settings; every pair's `meta` names its model, sampling and verdicts.

| | count |
|---|---|
| questions | {counts["questions"]} |
| samples | {counts["samples"]} |
| correct | {counts["correct"]} |
| wrong | {counts["wrong"]} |
| undecided | {counts["undecided"]} |
{reasons}| duplicates left out | {counts["duplicates"]} |
{dropped}| pairs (at most {how.limit} per question, accuracy {how.band[0]:g} to {how.band[1]:g}) | {counts["pairs"]} |
| format pairs | {counts["format_pairs"]} |
| questions all wrong (hard.jsonl) | {counts["hard"]} |
| questions all right (easy.jsonl) | {counts["easy"]} |
| questions left open by undecided answers | {counts["open"]} |

Chosen minus rejected, mean length in characters: {gap["before"]} over all samples, {gap["after"]} in the pairs.
"""
