"""`prefdata validate`: what is wrong with this data?"""

from pathlib import Path
from typing import Annotated, Literal

import click
import msgspec
from msgspec import Meta

from prefdata.cli.config import config_command
from prefdata.errors import EXIT_DATA, EXIT_USAGE, PrefdataError


class ValidateConfig(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """What to check and how to tell."""

    paths: Annotated[tuple[str, ...], Meta(extra={"argument": True, "metavar": "PATH..."})]
    format: Annotated[
        str | None, Meta(description="Format of all files, instead of telling it by content.")
    ] = None
    images: Annotated[
        Literal["none", "stat", "header", "decode"],
        Meta(description="How closely images are looked at; `decode` opens each one with Pillow."),
    ] = "header"
    image_root: Annotated[
        str | None, Meta(description="Where image paths start; none may leave it. Else beside the data file.")
    ] = None
    output_format: Annotated[
        Literal["text", "json", "github"],
        Meta(description="For people, for programs, for GitHub annotations."),
    ] = "text"
    select: Annotated[
        tuple[str, ...], Meta(description="Only these codes, or codes beginning so (PD4).")
    ] = ()
    ignore: Annotated[tuple[str, ...], Meta(description="Not these codes, or codes beginning so.")] = ()
    strict: Annotated[bool, Meta(description="Warnings count as errors for the exit code.")] = False
    workers: Annotated[
        Annotated[int, Meta(ge=1, le=256)] | None,
        Meta(description="Processes for JSON lines. Default: all cores for large files, one for small ones."),
    ] = None
    max_findings: Annotated[
        Annotated[int, Meta(ge=0)] | None,
        Meta(description="Places shown per code, 0 for all. Default: 5 in text, all in JSON."),
    ] = None


@config_command(
    ValidateConfig,
    name="validate",
    section="Data",
    examples="""
    prefdata validate pairs.jsonl
    prefdata validate meta.json --image-root images --images decode
    prefdata validate data/ --ignore PD4 --output-format json > findings.json
    """,
)
def command(config: ValidateConfig) -> int:
    """Find what is wrong with preference data, and where.

    PATH is a JSON-lines, JSON-array or parquet file, a meta.json mixture, or a folder of them; the format is told by
    content. Exit code 0: no errors; 1: errors; 2: a file could not be read.
    """
    from prefdata.outputs import rendered
    from prefdata.validate import Options, validate

    if not config.paths:
        raise PrefdataError("Missing PATH; name a data file, a folder or a meta.json.")
    root = Path(config.image_root) if config.image_root is not None else None
    if root is not None and not root.is_dir():
        raise PrefdataError(f"--image-root {root}: no such folder.")
    options = Options(
        format=config.format,
        images=config.images,
        image_root=root,
        select=config.select,
        ignore=config.ignore,
        workers=config.workers,
    )
    report = validate([Path(path) for path in config.paths], options)
    for sentence in report.unreadable:
        click.echo(f"error: {sentence}", err=True)
    printed = rendered(report, config.output_format, config.max_findings)
    if printed:
        click.echo(printed)
    if report.unreadable:
        return EXIT_USAGE
    return EXIT_DATA if report.errors or (config.strict and report.warnings) else 0
