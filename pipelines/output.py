"""Around the pairs of a run: where it lives, the mixture entry to train on, the dataset card.

Nothing here holds a time or a machine's name, so the same run gives the same files.
"""

from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import xxhash

from pipelines.cli.options import identity
from pipelines.engines.identity import model_hash
from prefdata.mixtures import Mixture, Source, write_meta
from prefdata.models import resolve_model
from prefdata.progress import silent
from prefdata.report import card, write_report

if TYPE_CHECKING:
    from pipelines.cli.options import EngineOptions

_FILES = {
    "pairs.jsonl": "the pairs",
    "dropped.jsonl": "what was left out, and why",
    "meta.json": "the mixture entry to train on",
    "report.html": "a page to look at the pairs",
    "run.json": "versions and hashes",
}


def checkpoint_name(checkpoint: str) -> str:
    """How a model is called in folders and rows: `demo`, `owner_name`, or the last part of its path."""
    if (
        checkpoint.count("/") == 1
        and not checkpoint.startswith((".", "/", "~"))
        and not Path(checkpoint).exists()
    ):
        return checkpoint.replace("/", "_")
    return Path(checkpoint).absolute().name


def run_path(
    out_dir: str, checkpoint: str, source: Path, suffix: str, shard: tuple[int, int] = (0, 1)
) -> Path:
    """OUT_DIR/<model>/<input><suffix>-<hash>[.shard-I-of-N]: inputs of one name in different folders stay apart."""
    tag = xxhash.xxh3_64_hexdigest(str(source.resolve()).encode())[:6]
    index, count = shard
    part = f".shard-{index}-of-{count}" if count > 1 else ""
    return Path(out_dir) / checkpoint_name(checkpoint) / f"{source.stem}{suffix}-{tag}{part}"


def pinned(options: "EngineOptions", command: str, source: Path) -> tuple[dict[str, Any], dict[str, Path]]:
    """(settings, inputs) that a resumed run must repeat: the flags, the model's content, the files."""
    settings = identity(options) | {"command": command}
    inputs = {"prompts": source}
    if options.engine == "replay":
        inputs["answers"] = Path(options.checkpoint)
    else:
        settings["model_hash"] = model_hash(resolve_model(options.checkpoint))
    return settings, inputs


def image_root(given: str | None, source: Path, uri: str | None) -> Path:
    """Where the image paths of the pairs start: the folder given, else the one in which the first image was found."""
    if given is not None:
        return Path(given).absolute()
    beside = source.parent.absolute()
    if uri is not None and not (beside / uri).exists() and Path(uri).exists():
        return Path.cwd()
    return beside


def write_mixture_entry(run: Path, pairs: int, root: Path) -> None:
    """meta.json with the one source `pairs.jsonl`, and its report; no files where there is nothing to train on."""
    path, report = run / "meta.json", run / "report.html"
    if not pairs:
        path.unlink(missing_ok=True)
        report.unlink(missing_ok=True)
        return
    source = Source(
        name=run.name,
        annotation=run / "pairs.jsonl",
        root=root,
        repeat_time=Decimal(1),
        length=pairs,
        format="mmpr",
    )
    write_meta(path, Mixture((source,)))
    with silent():
        write_report(report, (source,), title=run.name)


def write_card(
    run: Path, what: str, counts: Mapping[str, Any], settings: Mapping[str, Any], caveats: str
) -> None:
    """README.md: what the pairs are, the counts (nested ones by reason), the settings, what to beware of."""
    command = settings.get("command")
    card.write_card(
        run / "README.md",
        name=run.name,
        what=what,
        counts=counts,
        settings={key: value for key, value in settings.items() if key != "command"},
        caveats=caveats,
        files=_FILES,
        tags=(str(command),) if command else (),
    )
