"""The sources behind what `validate` was asked to check: where each file's images start, and its format."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from prefdata.errors import PrefdataError
from prefdata.mixtures import Source, load

if TYPE_CHECKING:
    from prefdata.validate import Report

# Mixtures themselves, and files that hold no rows.
_NO_ROWS = ("meta", "unknown")


def sources_of(paths: Sequence[Path], checked: "Report", image_root: Path | None) -> list[Source]:
    """One source for each data file of the report. Raises PrefdataError where there is none."""
    known: dict[str, Source] = {}
    for path in paths:
        if not path.is_file():
            continue
        try:
            known |= {str(source.annotation): source for source in load(path, image_root).sources}
        except PrefdataError:
            continue  # the report says what is wrong with this one
    sources = [
        known.get(file.path)
        or Source(name=Path(file.path).stem, annotation=Path(file.path), root=image_root, format=file.format)
        for file in checked.files
        if file.rows and file.format not in _NO_ROWS
    ]
    if not sources:
        raise PrefdataError("--report: none of the files has a row to show.")
    return sources
