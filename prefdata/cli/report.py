"""`prefdata report`: one page to look at the data with."""

from pathlib import Path
from typing import Annotated

import click
import msgspec
from msgspec import Meta

from prefdata.atomic import keep_inputs
from prefdata.cli.config import config_command, image_root
from prefdata.errors import PrefdataError


class ReportConfig(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """What to show."""

    paths: Annotated[tuple[str, ...], Meta(extra={"argument": True, "metavar": "FILE...", "path": True})]
    output: Annotated[
        str,
        Meta(
            description="The HTML file to write.",
            extra={"flags": ["-o"], "metavar": "FILE.html", "path": True},
        ),
    ] = "report.html"
    image_root: Annotated[
        str | None,
        Meta(
            description="Where image paths start; none may leave it. Else beside the data file.",
            extra={"folder": True},
        ),
    ] = None
    select: Annotated[
        tuple[str, ...], Meta(description="Show only these findings, or codes beginning so (PD4).")
    ] = ()
    ignore: Annotated[tuple[str, ...], Meta(description="Not these findings, or codes beginning so.")] = ()
    rows: Annotated[
        int, Meta(ge=1, description="Rows to show; of more, those with findings first, the rest at random.")
    ] = 2000
    thumbnails: Annotated[int, Meta(ge=0, description="Images to show; each is stored once.")] = 500
    thumbnail_size: Annotated[int, Meta(ge=16, le=2048, description="Longest edge of a thumbnail.")] = 256
    title: Annotated[str, Meta(description="Title of the page. Default: the files' names.")] = ""
    seed: Annotated[int, Meta(ge=0, description="Which rows are drawn.")] = 0


@config_command(
    ReportConfig,
    name="report",
    section="Data",
    project=True,
    examples="""
    prefdata report pairs.jsonl -o report.html
    prefdata report meta.json --image-root images --rows 500
    """,
)
def command(config: ReportConfig) -> int:
    """Write one HTML page to look at preference data: findings, lengths, pairs with their images and differences.

    FILE is a data file, a mixture, or the folder of a generation run. The page opens offline, asks nothing of the
    network, and shows everything in the data as text.
    """
    from prefdata.mixtures import load
    from prefdata.outputs import many
    from prefdata.report import Limits, write_report
    from prefdata.validate import Options

    if not config.paths:
        raise PrefdataError("Missing FILE; name a data file, a mixture or the folder of a run.")
    root = image_root(config.image_root)
    files = [_file(Path(path)) for path in config.paths]
    sources = [source for file in files for source in load(file, root).sources]
    keep_inputs(Path(config.output), (*files, *(source.annotation for source in sources)))
    _refuse_other_files(Path(config.output))
    limits = Limits(
        rows=config.rows,
        thumbnails=config.thumbnails,
        edge=config.thumbnail_size,
        # On average a thumbnail of 256 pixels takes 10 kB; larger ones may take their share more.
        bytes=max(8 * 2**20, config.thumbnails * config.thumbnail_size**2 // 4),
        seed=config.seed,
    )
    made = write_report(
        Path(config.output),
        sources,
        title=config.title,
        limits=limits,
        options=Options(select=config.select, ignore=config.ignore),
    )
    click.echo(
        f"{config.output}: {made['shown']} of {many(made['rows'], 'row')}, {many(made['thumbnails'], 'image')}, "
        f"{made['bytes'] / 1e6:.1f} MB"
    )
    return 0


def _file(path: Path) -> Path:
    """The mixture of a run's folder, or the file itself."""
    if path.is_dir():
        if not (path / "meta.json").is_file():
            raise PrefdataError(f"{path}: a folder without meta.json; name a data file.")
        return path / "meta.json"
    return path


def _refuse_other_files(output: Path) -> None:
    """A page may replace a page, and nothing else: a run's own files lie beside it."""
    if output.is_file() and output.stat().st_size and output.read_bytes()[:15].lower() != b"<!doctype html>":
        raise PrefdataError(f"{output}: is there and is no HTML page; name another file for the report.")
