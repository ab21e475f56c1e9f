"""`prefdata formats`: the formats and what each can hold."""

from typing import TYPE_CHECKING, Annotated, Literal

import click
import msgspec
from msgspec import Meta

from prefdata.cli.config import config_command

if TYPE_CHECKING:
    from prefdata.formats.base import Format


class FormatsConfig(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Which format, how printed."""

    format: Annotated[str | None, Meta(extra={"argument": True, "metavar": "[FORMAT]"})] = None
    output_format: Annotated[Literal["text", "json"], Meta(description="For people or for programs.")] = (
        "text"
    )


HEADER = ("format", "use", "rows are", "file", "images", "placeholder", "turns", "system", "tools", "margin")


@config_command(
    FormatsConfig, name="formats", section="Data", examples="prefdata formats\nprefdata formats mmpr"
)
def command(config: FormatsConfig) -> None:
    """List the formats and what each can hold; with a name, show a sample row."""
    from prefdata.formats import get, ids

    if config.format is not None:
        found = get(config.format)
        click.echo(f"{found.id}: {found.title}\n\n{found.sample}")
        return
    rows = [cells(get(name)) for name in ids()]
    if config.output_format == "json":
        click.echo(msgspec.json.encode([dict(zip(HEADER, row, strict=True)) for row in rows]))
        return
    widths = [max(len(row[column]) for row in (HEADER, *rows)) for column in range(len(HEADER))]
    for row in (HEADER, *rows):
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def cells(fmt: "Format") -> tuple[str, ...]:
    """One line of the table."""
    holds = fmt.holds
    media = holds.images + ("" if len(holds.kinds) < 2 else " (+ " + ", ".join(holds.kinds[1:]) + ")")
    return (
        fmt.id,
        "read, write" if fmt.writes else "read",
        ", ".join(fmt.kinds),
        "JSON lines" if fmt.container == "jsonl" else "JSON array",
        media,
        fmt.marker or ("none" if holds.images in ("none", "one") else "typed parts"),
        "several" if holds.turns else "one",
        *("yes" if flag else "no" for flag in (holds.system, holds.tools, holds.margin)),
    )
