"""Recipes by name: shipped settings of published trainings, below a user's own file and flags.

Where it stands: the command asks for the file of a name; `prefdata/cli/config.py` reads it like any other, only first.
The decision to question: a recipe is settings and nothing else, each with its origin behind it. What a training did
that has no setting here is said at its top, so that nobody takes a recipe for a reproduction.
"""

from importlib.resources import files
from pathlib import Path

from prefdata.errors import PrefdataError

LIST = "list"


def names() -> list[str]:
    """Names of all recipes."""
    return sorted(
        Path(entry.name).stem
        for entry in (files("trainers") / "recipes").iterdir()
        if entry.name.endswith(".yaml")
    )


def path(name: str) -> str:
    """The file of a recipe; `list` prints what there is and ends the program."""
    if name == LIST:
        for known in names():
            print(f"{known:28} {_title(known)}")  # noqa: T201 - the answer to the command
        raise SystemExit(0)
    if name not in names():
        raise PrefdataError(f"--recipe {name}: no such recipe; `prefdata train --recipe list` names them.")
    return str(files("trainers") / "recipes" / f"{name}.yaml")


def _title(name: str) -> str:
    text = (files("trainers") / "recipes" / f"{name}.yaml").read_text(encoding="utf-8")
    return text.partition("\n")[0].lstrip("# ")
