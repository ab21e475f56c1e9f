"""The folder of `prefdata mix write`: shards, `meta.json` to train on them, `mix.json` with plan and hashes, a card.

An earlier write stays whole until the new one is: shards grow in a temporary folder inside and are moved when all are
there, the manifest last. Only what an earlier manifest names is replaced, and never in a folder that is read from. A
lock on the folder (released by the kernel, whatever happens to the process) keeps a second writer out.
"""

import fcntl
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec

from prefdata.atomic import NO_SPACE
from prefdata.errors import PrefdataError
from prefdata.formats import get
from prefdata.jsonl import write_json
from prefdata.mixtures.meta import write_meta
from prefdata.mixtures.model import Mixture, Source
from prefdata.mixtures.plan import Plan
from prefdata.outcome import Count
from prefdata.progress import say

MANIFEST = "mix.json"
META = "meta.json"
CARD = "README.md"
_STAGED = ".mix-"
_LOCK = ".lock"


class Written(msgspec.Struct, kw_only=True):
    """The result of a write. `lost` and `ignored` are those of `prefdata convert`, by source."""

    folder: str
    files: list[str]
    rows: int
    bytes: int
    root: str
    rewritten: int = 0
    lost: dict[str, Count] = {}
    ignored: dict[str, Count] = {}


class Shard(msgspec.Struct, kw_only=True):
    """A file that is written: rows `first` to `last` of the epoch. Its bytes and their hash are known afterwards."""

    name: str
    first: int
    last: int
    bytes: int = 0
    hash: str = ""


def cut(rows: int, shards: int, suffix: str) -> list[Shard]:
    """The shards of an epoch. Raises PrefdataError where some would be empty, which no loader takes for data."""
    if shards > rows:
        raise PrefdataError(
            f"--shards {shards}: the epoch has {rows} row{'' if rows == 1 else 's'}; ask for fewer."
        )
    return [
        Shard(
            name=f"part-{number:05d}-of-{shards:05d}.{suffix}",
            first=rows * number // shards,
            last=rows * (number + 1) // shards,
        )
        for number in range(shards)
    ]


@contextmanager
def staging(folder: Path) -> Iterator[Path]:
    """A place for the shards until `finish`, gone afterwards. Raises PrefdataError where other files are in the way."""
    made = not folder.exists()
    if not made and not folder.is_dir():
        raise PrefdataError(f"{folder}: is a file; name a folder to write into.")
    folder.mkdir(parents=True, exist_ok=True)
    lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            made = False
            raise PrefdataError(
                f"{folder}: another process is writing to this folder; wait for it, or name another one."
            ) from error
        _earlier(folder)
        for left in folder.glob(f"{_STAGED}*"):  # of a process that was killed: nobody else holds the lock
            shutil.rmtree(left, ignore_errors=True)
        with TemporaryDirectory(dir=folder, prefix=_STAGED) as staged:
            yield Path(staged)
    except BaseException as error:
        if isinstance(error, OSError) and error.errno in NO_SPACE:
            error.filename = str(folder)
        if made:
            with suppress(OSError):
                (folder / _LOCK).unlink()
                folder.rmdir()
        raise
    finally:
        os.close(lock)


def refuse_own_inputs(folder: Path, inputs: Sequence[Path]) -> None:
    """Raises PrefdataError where the folder holds the mixture or a source: writing could replace them."""
    for path in inputs:
        if os.path.realpath(path.parent) == os.path.realpath(folder):
            raise PrefdataError(
                f"{folder}: holds {path.name}, an input of this command; name another folder."
            )


def finish(
    folder: Path, staged: Path, shards: Mapping[str, dict[str, Any]], plan: Plan, format_id: str, root: Path
) -> None:
    """Put the shards in the place of those of an earlier write. shards: file name -> {"rows", "hash"}."""
    stale = _earlier(folder) - set(shards)
    for name in shards:
        os.replace(staged / name, folder / name)
    sources = tuple(
        Source(
            name=name.partition(".")[0], annotation=folder / name, root=root, length=shard["rows"], format=format_id,
        )
        for name, shard in shards.items()
    )  # fmt: skip
    write_meta(folder / META, Mixture(sources))
    write_json(
        folder / MANIFEST, {"plan": msgspec.to_builtins(plan), "files": dict(shards), "format": format_id}
    )
    for name in stale:
        (folder / name).unlink(missing_ok=True)
    if "pair" in get(format_id).kinds:
        _describe(folder, plan, next(iter(shards)).partition("-")[0] + "-*" + Path(next(iter(shards))).suffix)


def _describe(folder: Path, plan: Plan, data: str) -> None:
    """The card that a hub needs to load the shards and nothing else. One that is there may hold a person's licence."""
    from prefdata.report.card import write_card

    if (folder / CARD).exists():
        say(f"{folder / CARD}: kept as it is; remove it to have its counts written anew.")
        return
    settings = {
        "seed": plan.seed,
        "epoch": plan.epoch,
        "drawn": f"as {plan.compat} draws" if plan.compat else "exactly",
    }
    write_card(
        folder / CARD,
        name=folder.resolve().name,
        what="One epoch of a mixture of preference pairs, shuffled.",
        counts={"pairs": plan.total["want"], "of source": {one.name: one.want for one in plan.sources}},
        settings=settings,
        caveats="Rows of a source can be here several times, or only some of them: `mix.json` holds the whole plan.",
        files={
            data: "the pairs",
            MANIFEST: "the plan and the hashes of the files",
            META: "a mixture to train on",
        },
        tags=("mixture",),
        images=plan.total["images"] > 0,
        provenance="",
    )


def _earlier(folder: Path) -> set[str]:
    """The shards that an earlier write named in its manifest."""
    named: set[str] = set()
    manifest = folder / MANIFEST
    ours = {MANIFEST, META} if manifest.exists() else set()
    if ours:
        try:
            files = msgspec.json.decode(manifest.read_bytes())["files"]
            named = {name for name in files if os.path.basename(name) == name}
        except (msgspec.DecodeError, KeyError, TypeError) as error:
            raise PrefdataError(
                f"{manifest}: not written by `prefdata mix write`; name an empty folder."
            ) from error
    there = [entry.name for entry in folder.iterdir()] if folder.is_dir() else []
    foreign = [name for name in there if name.startswith("part-") or name == META]
    if foreign := sorted(set(foreign) - named - ours):
        raise PrefdataError(f"{folder}: holds {foreign[0]} of something else; name an empty folder.")
    return named
