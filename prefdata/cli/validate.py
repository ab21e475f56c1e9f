"""`prefdata validate`: what is wrong with this data?"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import click
import msgspec
from msgspec import Meta

from prefdata.atomic import keep_inputs
from prefdata.cli.config import config_command, image_root
from prefdata.errors import EXIT_DATA, EXIT_USAGE, PrefdataError

if TYPE_CHECKING:
    from prefdata.validate import Options


class ValidateConfig(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """What to check and how to tell."""

    paths: Annotated[tuple[str, ...], Meta(extra={"argument": True, "metavar": "PATH...", "path": True})]
    format: Annotated[
        str | None, Meta(description="Format of all files, instead of telling it by content.")
    ] = None
    images: Annotated[
        Literal["none", "stat", "header", "decode"],
        Meta(description="How closely images are looked at; `decode` opens each one with Pillow."),
    ] = "header"
    image_root: Annotated[
        str | None,
        Meta(
            description="Where image paths start; none may leave it. Else beside the data file.",
            extra={"folder": True},
        ),
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
    tokenizer: Annotated[
        str | None,
        Meta(
            description="Model folder or `demo`: find rows over --max-length by its tokens.",
            extra={"metavar": "M", "path": True},
        ),
    ] = None
    max_length: Annotated[
        Annotated[int, Meta(ge=1)] | None, Meta(description="Tokens that a trainer will keep of a row.")
    ] = None
    max_tiles: Annotated[int, Meta(ge=1, le=64, description="Most tiles of an image, for --max-length.")] = 12
    max_length_ratio: Annotated[
        Annotated[float, Meta(gt=1)] | None,
        Meta(
            description="Report pairs in which one answer is more than R times as long as the other.",
            extra={"metavar": "R"},
        ),
    ] = None
    min_length_gap: Annotated[
        int,
        Meta(
            ge=0,
            description="Characters; with --max-length-ratio, pairs that differ by fewer are let through.",
        ),
    ] = 100
    fix: Annotated[
        bool,
        Meta(
            description="Write the clean rows to --output (or --in-place), the others beside it with their findings."
        ),
    ] = False
    output: Annotated[
        str | None,
        Meta(description="Where --fix writes the clean rows.", extra={"metavar": "FILE", "path": True}),
    ] = None
    in_place: Annotated[
        bool, Meta(description="Let --fix replace its input; the old file is kept as FILE.bak.")
    ] = False
    report: Annotated[
        str | None,
        Meta(
            description="Also write a page to look at the rows and their findings.",
            extra={"metavar": "FILE.html", "path": True},
        ),
    ] = None
    max_findings: Annotated[
        Annotated[int, Meta(ge=0)] | None,
        Meta(
            description="Places shown per code, 0 for all. Default: 5 in text, 50 for GitHub, 10,000 in JSON."
        ),
    ] = None


@config_command(
    ValidateConfig,
    name="validate",
    section="Data",
    project=True,
    examples="""
    prefdata validate pairs.jsonl
    prefdata validate meta.json --image-root images --images decode
    prefdata validate data/ --ignore PD4 --output-format json > findings.json
    """,
)
def command(config: ValidateConfig) -> int:
    """Find what is wrong with preference data, and where.

    PATH is a JSON-lines, JSON-array or parquet file, a mixture (meta.json, data.txt, YAML, dataset_info.json, path#N),
    or a folder of them; the format is told by content. Exit code 0: no errors; 1: errors; 2: a file could not be read.
    """
    from prefdata.outputs import rendered
    from prefdata.rules.length import Ratio
    from prefdata.rules.tokens import TokenLimit
    from prefdata.validate import ALL, KEPT, Options, validate

    if not config.paths:
        raise PrefdataError("Missing PATH; name a data file, a mixture or a folder.")
    root = image_root(config.image_root)
    tokens = None
    if (config.tokenizer is None) != (config.max_length is None):
        raise PrefdataError("--tokenizer and --max-length go together; give both.")
    if config.tokenizer is not None and config.max_length is not None:
        tokens = TokenLimit(tokenizer=config.tokenizer, limit=config.max_length, tiles=config.max_tiles)
    options = Options(
        format=config.format,
        images=config.images,
        image_root=root,
        select=config.select,
        ignore=config.ignore,
        keep=ALL if config.max_findings == 0 else max(KEPT, config.max_findings or 0),
        workers=config.workers,
        tokens=tokens,
        ratio=Ratio(config.max_length_ratio, config.min_length_gap) if config.max_length_ratio else None,
    )
    _check_fix(config)
    inputs = [Path(path) for path in config.paths]
    if config.report is not None:
        keep_inputs(Path(config.report), inputs)
    report = validate(inputs, options)
    for sentence in report.unreadable:
        click.echo(f"error: {sentence}", err=True)
    printed = rendered(report, config.output_format, config.max_findings)
    if printed:
        click.echo(printed)
    if config.report is not None:
        from prefdata.report import sources_of, write_report

        keep_inputs(Path(config.report), (Path(file.path) for file in report.files))
        shown = sources_of(inputs, report, root)
        write_report(Path(config.report), shown, report)
    if report.unreadable:
        return EXIT_USAGE
    if config.fix:
        return _fix(Path(config.paths[0]), config, options)
    return EXIT_DATA if report.errors or (config.strict and report.warnings) else 0


def _check_fix(config: ValidateConfig) -> None:
    if not config.fix:
        if config.output is not None or config.in_place:
            raise PrefdataError("--output and --in-place say where --fix writes; add --fix.")
        return
    if len(config.paths) != 1:
        raise PrefdataError("--fix takes one data file at a time.")
    if (config.output is None) == (not config.in_place):
        raise PrefdataError("--fix needs --output FILE, or --in-place to replace the file (with a backup).")


def _fix(path: Path, config: ValidateConfig, options: "Options") -> int:
    """Write the clean rows; exit code 1 when some had to be rejected."""
    from prefdata.mending import mend
    from prefdata.outputs import many

    done = mend(path, Path(config.output) if config.output is not None else None, options)
    if config.in_place and not done.backup:
        if config.output_format == "text":
            click.echo(
                f"{done.output}: nothing to mend in {many(done.kept, 'row')}; the file stays as it is."
            )
        return 0
    if config.output_format == "text":
        also = "".join(f" {what} was left out." for what in done.left_out)
        click.echo(f"{done.output}: {many(done.kept, 'row')} kept, {done.mended} of them mended.{also}")
        if done.backup:
            click.echo(f"{done.backup}: the file as it was.")
        if done.rejected:
            click.echo(f"{done.rejected_to}: {many(done.rejected, 'row')} rejected, with their findings.")
    return EXIT_DATA if done.rejected else 0
