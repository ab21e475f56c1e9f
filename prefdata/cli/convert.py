"""`prefdata convert`: the same data in another format."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import click
import msgspec
from msgspec import Meta

from prefdata.cli.config import config_command
from prefdata.errors import EXIT_DATA

if TYPE_CHECKING:
    from prefdata.outcome import Count, Outcome


class ConvertConfig(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """What to convert into what."""

    src: Annotated[str, Meta(extra={"argument": True, "metavar": "SRC"})]
    dst: Annotated[str, Meta(extra={"argument": True, "metavar": "DST"})]
    to: Annotated[str, Meta(description="Format to write; `prefdata formats` lists them.")]
    from_: Annotated[str | None, Meta(description="Format to read, instead of telling it by content.")] = None
    on_loss: Annotated[
        Literal["warn", "error"],
        Meta(
            description="What the target cannot hold: report it and leave such rows out, or stop and write nothing."
        ),
    ] = "warn"
    flatten_turns: Annotated[
        bool,
        Meta(
            description="Write a prompt of several turns as a transcript where the target holds one question."
        ),
    ] = False
    pairing: Annotated[
        Literal["best-worst", "all", "adjacent"] | None,
        Meta(description="Which pairs to make of several rated answers."),
    ] = None
    min_gap: Annotated[
        float, Meta(ge=0, description="Smallest difference of a pair's scores (or ranks), with --pairing.")
    ] = 0.0
    container: Annotated[
        Literal["jsonl", "json", "parquet"] | None,
        Meta(description="How rows lie in DST. Default: as its suffix says, else the format's habit."),
    ] = None
    extract_images: Annotated[
        str | None, Meta(description="Write images that are inside the rows into this folder.")
    ] = None
    verify: Annotated[
        bool, Meta(description="Read the result back and compare every record before DST appears.")
    ] = False
    limit: Annotated[Annotated[int, Meta(ge=1)] | None, Meta(description="Read only so many rows.")] = None
    output_format: Annotated[
        Literal["text", "json"], Meta(description="The report, for people or programs.")
    ] = "text"


@config_command(
    ConvertConfig,
    name="convert",
    section="Data",
    examples="""
    prefdata convert pairs.jsonl pairs-trl.jsonl --to trl
    prefdata convert dpo_en_demo.json pairs.jsonl --to mmpr --flatten-turns
    prefdata convert ultrafeedback.parquet pairs.jsonl.gz --to trl --pairing best-worst --min-gap 1 --verify
    """,
)
def command(config: ConvertConfig) -> int:
    """Write preference data in another format, and say what the target cannot hold.

    SRC is read in the format told by its content; DST appears complete or not at all. Rows whose content the target
    cannot hold are left out and counted. Exit code 1: some rows of SRC could not be read.
    """
    from prefdata.convert import convert
    from prefdata.outcome import Options

    options = Options(
        to=config.to,
        source=config.from_,
        on_loss=config.on_loss,
        flatten_turns=config.flatten_turns,
        limit=config.limit,
        pairing=config.pairing,
        min_gap=config.min_gap,
        container=config.container,
        extract_images=Path(config.extract_images) if config.extract_images else None,
        verify=config.verify,
    )
    source, target = Path(config.src), Path(config.dst)
    outcome = convert(source, target, options)
    if config.output_format == "json":
        click.echo(msgspec.json.encode(outcome))
    else:
        click.echo(_text(outcome, source, target, config))
    return EXIT_DATA if outcome.unread else 0


def _text(outcome: "Outcome", source: Path, target: Path, config: ConvertConfig) -> str:
    from prefdata.formats import get
    from prefdata.sinks import kind_of

    proof = ", read back and found equal" if outcome.verified else ""
    lines = [
        f"{source} ({outcome.source}) -> {target} ({outcome.target}): "
        f"{outcome.read} row{'' if outcome.read == 1 else 's'} read, {outcome.written} written{proof}."
    ]
    lines += _table("left out, not readable", outcome.unreadable)
    lines += _table(f"left out, `{outcome.target}` cannot hold", outcome.left_out)
    lines += told(outcome.target, outcome.lost, outcome.ignored)
    if outcome.relative_paths and source.parent.resolve() != target.parent.resolve():
        lines.append(
            f"  image paths are relative to {source.parent.resolve()} as before (or to your own image root)"
        )
    usual = get(outcome.target).container
    if outcome.target in _ONE_CONTAINER and kind_of(target, config.container, usual) != usual:
        lines.append(f"  readers of `{outcome.target}` take {_ONE_CONTAINER[outcome.target]} only")
    return "\n".join(lines)


# Formats whose own readers parse a file in one way, whatever its name.
_ARRAY, _JSON_LINES = "one JSON array", "JSON lines"
_ONE_CONTAINER = {
    "ixc-reward": _ARRAY,
    "ixc-sft-2.0": _ARRAY,
    "ixc-sft-2.5": _ARRAY,
    "llava": _ARRAY,
    "mmpr": _JSON_LINES,
    "internvl-sft": _JSON_LINES,
}


def told(target: str, lost: "dict[str, Count]", ignored: "dict[str, Count]") -> list[str]:
    """What rows lost on the way to a format, and what its readers will not look at."""
    lines = _table("lost", lost)
    if ignored:
        names = ", ".join(f"{name} ({count.rows})" for name, count in ignored.items())
        lines.append(f"  carried as extra keys that readers of `{target}` ignore: {names}")
    return lines


def _table(title: str, table: dict[str, "Count"]) -> list[str]:
    lines = []
    for name, count in sorted(table.items(), key=lambda item: -item[1].rows):
        places = ", ".join(map(str, count.lines)) + (", ..." if count.rows > len(count.lines) else "")
        rows = "1 row" if count.rows == 1 else f"{count.rows} rows"
        lines.append(f"  {title}: {name}: {rows} (line{'s' if count.rows > 1 else ''} {places})")
    return lines
