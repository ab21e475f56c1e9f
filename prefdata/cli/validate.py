"""`prefdata validate`: what is wrong with this data?"""

from pathlib import Path
from typing import Annotated, Literal

import click
import msgspec
from msgspec import Meta

from prefdata.cli.config import config_command
from prefdata.errors import EXIT_DATA, EXIT_USAGE, PrefdataError
from prefdata.findings import Finding, catalogue
from prefdata.images import Tier
from prefdata.validate import Options, Report, validate

_SHOWN = 5
# GitHub shows ten annotations per step and kind; a few more do no harm in the log.
_SHOWN_GITHUB = 50


class ValidateConfig(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """What to check and how to tell."""

    paths: Annotated[tuple[str, ...], Meta(extra={"argument": True, "metavar": "PATH..."})]
    format: Annotated[
        str | None, Meta(description="Format of all files, instead of telling it by content.")
    ] = None
    images: Annotated[
        Tier, Meta(description="How closely images are looked at; `decode` opens each one with Pillow.")
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
    )
    report = validate([Path(path) for path in config.paths], options)
    for sentence in report.unreadable:
        click.echo(f"error: {sentence}", err=True)
    _print(report, config)
    if report.unreadable:
        return EXIT_USAGE
    return EXIT_DATA if report.errors or (config.strict and report.warnings) else 0


def _print(report: Report, config: ValidateConfig) -> None:
    limit = config.max_findings
    if config.output_format == "json":
        shown = _first(report.findings, limit or 0)
        document = {
            "files": report.files,
            "findings": shown,
            "counts": report.counts,
            "rows": report.rows,
            "seconds": report.seconds,
        }
        click.echo(msgspec.json.encode(document))
    elif config.output_format == "github":
        for found in _first(report.findings, _SHOWN_GITHUB if limit is None else limit):
            place = f"file={_property(found.path)},line={found.line},title={found.code}"
            click.echo(f"::{found.severity} {place}::{_message(f'{found.message}. {found.hint}')}")
    elif report.files or not report.unreadable:
        click.echo(_text(report, _SHOWN if limit is None else limit))


def _first(findings: list[Finding], limit: int) -> list[Finding]:
    """At most `limit` findings of each code; 0 means all."""
    if not limit:
        return findings
    seen: dict[str, int] = {}
    shown = []
    for found in findings:
        seen[found.code] = seen.get(found.code, 0) + 1
        if seen[found.code] <= limit:
            shown.append(found)
    return shown


def _text(report: Report, limit: int) -> str:
    lines = []
    by_code: dict[str, list[Finding]] = {}
    for found in report.findings:
        by_code.setdefault(found.code, []).append(found)
    for code, findings in sorted(by_code.items(), key=lambda item: (findings_order(item[0]), item[0])):
        count = report.counts[code]
        lines.append(f"{code} {catalogue()[code].severity}, {_times(count)}")
        for found in findings[: limit or None]:
            field = f" {found.field}:" if found.field else ""
            lines.append(f"  {_line(found.path)}:{found.line}:{field} {found.message}")
        if limit and count > limit:
            lines.append(f"  ... and {count - limit} more")
        lines.append(f"  = {catalogue()[code].hint}")
        lines.append("")
    skipped = [file for file in report.files if file.format == "unknown"]
    for file in skipped:
        lines.append(f"not checked: {_line(file.path)} (no known format)")
    formats = sorted({file.format for file in report.files} - {"unknown"})
    checked = len(report.files) - len(skipped)
    lines.append(
        f"{_many(report.rows, 'row')} in {checked} file{'' if checked == 1 else 's'} ({', '.join(formats) or 'none'}): "
        f"{_many(report.errors, 'error')}, {_many(report.warnings, 'warning')}."
    )
    return "\n".join(lines)


def findings_order(code: str) -> int:
    """Errors before warnings."""
    return 0 if catalogue()[code].severity == "error" else 1


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _many(count: int, word: str) -> str:
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


def _line(text: str) -> str:
    """A path on one line, whatever it holds."""
    return text.replace("\n", "\\n").replace("\r", "\\r")


def _message(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _message(text).replace(":", "%3A").replace(",", "%2C")
