"""Around the pairs of a run: where it lives, the mixture entry to train on, the dataset card.

Nothing here holds a time or a machine's name, so the same run gives the same files.
"""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import xxhash

from pipelines.cli.options import identity
from pipelines.rundir import RunDir
from prefdata.errors import EXIT_DATA, PrefdataError
from prefdata.images import resolve
from prefdata.jsonl import read_lines
from prefdata.mixtures import Mixture, Source, write_meta
from prefdata.models import model_hash, resolve_model
from prefdata.progress import say, silent
from prefdata.report import card, write_report

if TYPE_CHECKING:
    from pipelines.cli.options import EngineOptions

# The file that holds the data comes first.
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
    if own := getattr(options, "prompt_file", ""):
        inputs["prompt_file"] = Path(own)
    if options.engine == "replay":
        inputs["answers"] = Path(options.checkpoint)
    elif options.engine == "openai":
        settings["model_hash"] = options.checkpoint  # a server shows no more of it than the name
    else:
        model = resolve_model(options.checkpoint)
        # A hub model counts by its name: which of its files lie here changes while the run downloads them.
        settings["model_hash"] = model_hash(model) if Path(model).is_dir() else model
    return settings, inputs


def exit_code(run: RunDir, *, asked: int, pairs: int) -> int | None:
    """1 where requests failed (which is said: they are owed to the next start) or nothing came of what was asked."""
    if run.failed:
        say(f"failed: {len(run.failed)} of {asked}; dropped.jsonl says why, the same command asks them again")
    return EXIT_DATA if run.failed or (asked and not pairs) else None


def image_root(given: str | None, source: Path, run: Path) -> Path | None:
    """Where the image paths of the run's pairs start: the folder given, else the one in which all of them are found
    (beside the input, or the working directory). None, and a sentence, where some are in the one, some in the other.
    """
    if given is not None:
        return Path(given).absolute()
    beside, here = source.parent.absolute(), Path.cwd()
    if beside == here:
        return beside
    examples: dict[Path, str] = {}
    for uri in relative_images(run / "pairs.jsonl"):
        try:
            file = resolve(uri, None, beside)
        except PrefdataError:
            continue
        if file.exists():
            examples.setdefault(beside if file.is_absolute() else here, uri)
    if len(examples) > 1:
        say(
            f"{run}: no meta.json was written, because the images of the pairs start in two folders "
            f"({examples[beside]} in {beside}, {examples[here]} in {here}); "
            "put them into one, name it with --image-root and run the command again."
        )
        return None
    return next(iter(examples), beside)


class _Pictured(msgspec.Struct):
    image: Any = None


def relative_images(pairs: Path) -> Iterator[str]:
    """The image paths in a file of pairs that need a folder to start from."""
    last = None
    for _, line in read_lines(pairs):
        image = msgspec.json.decode(line, type=_Pictured).image
        if image == last:  # the pairs of one question
            continue
        last = image
        for uri in image if isinstance(image, list) else [image]:
            if isinstance(uri, str) and not Path(uri).is_absolute():
                yield uri


def write_mixture_entry(run: Path, pairs: int, root: Path | None, name: str) -> None:
    """meta.json with the one source `pairs.jsonl`, and its report.

    No files where there is nothing to train on, or no folder (`root`) in which all image paths start.
    """
    path, report = run / "meta.json", run / "report.html"
    if not pairs or root is None:
        path.unlink(missing_ok=True)
        report.unlink(missing_ok=True)
        return
    source = Source(
        name=name,
        annotation=run / "pairs.jsonl",
        root=root,
        repeat_time=Decimal(1),
        length=pairs,
        format="mmpr",
    )
    write_meta(path, Mixture((source,)))
    with silent():
        write_report(report, (source,), title=name)


def write_card(
    run: Path,
    what: str,
    counts: Mapping[str, Any],
    settings: Mapping[str, Any],
    caveats: str,
    name: str,
    files: Mapping[str, str] = _FILES,
) -> None:
    """README.md: what the rows are, the counts (nested ones by reason), the settings, what to beware of.

    files: what each file holds, the data itself first.
    """
    command = settings.get("command")
    card.write_card(
        run / "README.md",
        name=name,
        what=what,
        counts=counts,
        settings={key: value for key, value in settings.items() if key != "command"},
        caveats=caveats,
        files={file: holds for file, holds in files.items() if (run / file).exists()},
        tags=(str(command),) if command else (),
        images=any(
            msgspec.json.decode(line, type=_Pictured).image for _, line in read_lines(run / next(iter(files)))
        ),
    )
