"""The whole road on the bundled model: pictures and questions, pairs made by the model itself, training, evaluation.

    data -> validate -> cot-pairs -> dropout-ntp -> validate -> train (SFT and MPO) -> eval (base, SFT, MPO)

No reference answer enters a training pair: correctness pairs are the model's own right and wrong answers, and
DropoutNTP continues the model's own right answers without the picture. SFT on the very same chosen answers is
trained beside MPO, because an improvement over the base alone would say nothing about preference training.
"""

import shutil
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from prefdata import __version__
from prefdata.demo import data
from prefdata.demo.steps import Road, Step, lines
from prefdata.errors import PrefdataError
from prefdata.jsonl import write_json
from prefdata.mixtures import Mixture, Source, write_meta

# At equal weight DropoutNTP pairs push correctness pairs out of the fixed number of steps and cost accuracy.
_SHARES = {"correctness": Decimal(1), "dropout_ntp": Decimal("0.25")}


class Size(msgspec.Struct, frozen=True, kw_only=True):
    """How much of everything: the defaults take a few minutes on two processor cores."""

    questions: int
    samples: int
    held_out: int
    descriptions: int
    steps: int


def run(out: Path, *, seed: int, size: Size) -> dict[str, Any]:
    """Walk the road in `out`; returns (and writes as `out/demo.json`) the figures."""
    started = time.monotonic()
    _claim(out, {"seed": seed, "version": __version__, **msgspec.to_builtins(size)})
    inputs = out / "results" / "inputs.json"
    if not inputs.exists():
        data.write_inputs(
            out, seed=seed, questions=size.questions, held_out=size.held_out, descriptions=size.descriptions
        )
        write_json(inputs, {"files": [data.QUESTIONS, data.REFERENCES, data.HELD_OUT]})
    road = Road(out)
    road.run(
        _validate(out, "validate-inputs", out / data.QUESTIONS, out / data.REFERENCES, out / data.HELD_OUT)
    )
    cot, base = road.run(_cot_pairs(out, seed, size), _evaluate(out, "base", "demo"))
    (dropout,) = road.run(_dropout(out, seed, Path(cot["pairs"])))
    mixture = _mix(out, {"correctness": Path(cot["pairs"]), "dropout_ntp": Path(dropout["pairs"])})
    road.run(_validate(out, "validate-pairs", mixture))
    road.run(_train(out, "sft", mixture, seed, size), _train(out, "mpo", mixture, seed, size))
    sft, mpo = road.run(*(_evaluate(out, stage, str(out / "models" / stage)) for stage in ("sft", "mpo")))
    figures: dict[str, Any] = {"seed": seed, "held_out": size.held_out}
    hallucination = {}
    for name, result in (("base", base), ("sft", sft), ("mpo", mpo)):
        samples = lines(Path(result["samples"]))
        exact = data.exact_list_rate(samples)
        figures[name] = {"accuracy": result["accuracy"], "ci95": result["ci95"], "exact_list": exact}
        hallucination[name] = data.hallucination_rate(samples)
    figures["hallucination"] = hallucination
    figures["pairs"] = {"correctness": _count(cot), "dropout_ntp": _count(dropout)}
    figures["seconds"] = round(time.monotonic() - started, 1)
    figures["commands"] = [step.typed for step in road.taken]
    write_json(out / "demo.json", figures)
    return figures


def _claim(out: Path, config: dict[str, Any]) -> None:
    """Refuse a folder that holds another demo, so that results of two seeds never mix."""
    note = out / "results" / "config.json"
    if note.exists():
        before = msgspec.json.decode(note.read_bytes(), type=dict[str, Any])
        changed = [key for key in config if before.get(key) != config[key]]
        if changed:
            was = ", ".join(f"{key} {before.get(key)!r} (now {config[key]!r})" for key in changed)
            raise PrefdataError(
                f"{out}: holds a demo made with {was}; choose another --out or remove the folder."
            )
        return
    if out.exists() and any(out.iterdir()):
        raise PrefdataError(f"{out}: is not empty and holds no demo; choose another --out.")
    free = shutil.disk_usage(out.parent if out.parent.exists() else Path.cwd()).free
    if free < 200 * 2**20:
        raise PrefdataError(
            f"{out}: only {free // 2**20} MiB are free there, the demo needs 200; choose another --out."
        )
    write_json(note, config)


def _validate(out: Path, name: str, *paths: Path) -> Step:
    return Step(
        name,
        (
            "validate",
            *map(str, paths),
            "--image-root",
            str(out),
            "--images",
            "decode",
            "--output-format",
            "json",
        ),
    )


def _cot_pairs(out: Path, seed: int, size: Size) -> Step:
    return Step(
        "cot-pairs",
        (
            *("cot-pairs", "--checkpoint", "demo", "--prompt-path", str(out / data.QUESTIONS)),
            *("--image-root", str(out), "--out-dir", str(out / "runs"), "--prompt-version", "plain"),
            *("--num-return-sequences", str(size.samples), "--num-pairs-per-key", "2", "--temperature", "1"),
            *(
                "--fixed-n",
                "--top-k",
                "0",
                "--max-new-tokens",
                "64",
                "--batch-size",
                "24",
                "--seed",
                str(seed),
            ),
        ),
    )


def _dropout(out: Path, seed: int, pairs: Path) -> Step:
    return Step(
        "dropout-ntp",
        (
            *("dropout-ntp", "--checkpoint", "demo", "--prompt-path", str(pairs), "--image-root", str(out)),
            *("--out-dir", str(out / "runs"), "--start-ratio", "0.5", "--temperature", "1", "--top-k", "0"),
            *("--max-new-tokens", "64", "--batch-size", "128", "--seed", str(seed)),
        ),
    )


def _mix(out: Path, files: dict[str, Path]) -> Path:
    meta = out / "mixture.json"
    sources = tuple(
        Source(name=name, annotation=path, root=out, repeat_time=_SHARES[name], length=len(lines(path)))
        for name, path in files.items()
    )
    write_meta(meta, Mixture(sources=sources))
    return meta


def _train(out: Path, stage: str, mixture: Path, seed: int, size: Size) -> Step:
    return Step(
        f"train-{stage}",
        (
            *("train", "--stage", stage, "--model", "demo", "--data", str(mixture)),
            *(
                "--output-dir",
                str(out / "models" / stage),
                "--max-steps",
                str(size.steps),
                "--batch-size",
                "32",
            ),
            *(
                "--learning-rate",
                "2e-4",
                "--warmup",
                "0.1",
                "--deepspeed",
                "zero1",
                "--seed",
                str(seed),
            ),
        ),
    )


def _evaluate(out: Path, name: str, model: str) -> Step:
    return Step(
        f"eval-{name}",
        (
            *("eval", "--checkpoint", model, "--data", str(out / data.HELD_OUT), "--image-root", str(out)),
            *("--out-dir", str(out / "eval" / name), "--prompt-version", "plain"),
            *("--max-new-tokens", "64", "--batch-size", "128"),
        ),
    )


def _count(result: dict[str, Any]) -> int:
    return len(lines(Path(result["pairs"])))
