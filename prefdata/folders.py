"""What a user means by a folder: its data, not the files that prefdata keeps beside them for itself.

`prefdata validate DIR` asks here. Left out are hidden files and folders (indexes, temporary files), and in the folders
that commands of prefdata write everything that is no data to train on: parts, dropped rows and samples of a run, its
settings, the plan of `mix write`.
"""

from pathlib import Path

from prefdata.containers import probe
from prefdata.errors import PrefdataError
from prefdata.mixtures.load import listed

# What a folder is searched for; files without a suffix are left alone.
SUFFIXES = (".json", ".jsonl", ".parquet")
_OF_A_RUN = ("run.json", "dropped.jsonl", "samples.jsonl")
_OF_A_MIX = ("mix.json",)


def data_files(folder: Path, *, mixtures: bool = True) -> tuple[list[Path], list[Path]]:
    """(mixtures, other files) of a folder and those in it; with `mixtures` off all are others. Raises PrefdataError."""
    found = sorted(
        path
        for path in folder.rglob("*")
        if path.suffix in SUFFIXES and not _hidden(path.relative_to(folder)) and path.is_file()
    )
    if not found:
        raise PrefdataError(f"{folder}: no {', '.join(SUFFIXES)} file in this folder.")
    wanted = [path for path in found if not _kept_for_itself(path)]
    if not wanted:
        raise PrefdataError(
            f"{folder}: holds no data yet, only what an unfinished run keeps; finish it, or name a file."
        )
    listing = [path for path in wanted if mixtures and _is_mixture(path)]
    return listing, [path for path in wanted if path not in set(listing)]


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _kept_for_itself(path: Path) -> bool:
    here, above = path.parent, path.parent.parent
    if here.name == "parts" and (above / "run.json").is_file():
        return True
    in_run = path.name in _OF_A_RUN and (here / "parts").is_dir() and (here / "run.json").is_file()
    return in_run or (path.name in _OF_A_MIX and (here / "meta.json").is_file())


def _is_mixture(path: Path) -> bool:
    if path.suffix != ".json":
        return False
    try:
        return listed(path) is not None or probe(path).container == "meta"
    except (PrefdataError, OSError):
        return False
