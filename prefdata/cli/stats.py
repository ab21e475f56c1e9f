"""`prefdata stats`: numbers about preference data, by source."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import click
import msgspec
from msgspec import Meta

from prefdata.cli.config import config_command, image_root
from prefdata.errors import PrefdataError
from prefdata.progress import progress, say

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prefdata.mixtures import Source
    from prefdata.stats import Collector

# Images looked at per source: their sizes vary little, and each costs an open of a file.
_IMAGES = 5000


class StatsConfig(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """What to count."""

    paths: Annotated[tuple[str, ...], Meta(extra={"argument": True, "metavar": "PATH...", "path": True})]
    image_root: Annotated[
        str | None,
        Meta(
            description="Where image paths start; none may leave it. Else beside the data file.",
            extra={"folder": True},
        ),
    ] = None
    tokenizer: Annotated[
        str | None,
        Meta(description="Model folder or tokenizer.json: lengths in tokens, too.", extra={"path": True}),
    ] = None
    max_tiles: Annotated[int, Meta(ge=1, description="Most tiles of an image (InternVL).")] = 12
    near: Annotated[
        bool, Meta(description="Count near-duplicates (needs `prefdata[near]`; left out without it).")
    ] = True
    output_format: Annotated[Literal["text", "json"], Meta(description="For people or for programs.")] = (
        "text"
    )


@config_command(
    StatsConfig,
    name="stats",
    section="Data",
    project=True,
    examples="""
    prefdata stats pairs.jsonl
    prefdata stats meta.json --tokenizer MODEL --output-format json
    """,
)
def command(config: StatsConfig) -> int:
    """Count lengths, shortcuts a model could learn, duplicates, scripts and image sizes, by source.

    PATH is a data file, a mixture or a folder of them. Rows that cannot be read are counted and passed over;
    `validate` names them.
    """
    from prefdata.stats import Collector
    from prefdata.stats.near import NearDuplicates, available
    from prefdata.stats.read import readable
    from prefdata.stats.tokens import counter

    if not config.paths:
        raise PrefdataError("Missing PATH; name a data file, a mixture or a folder.")
    root = image_root(config.image_root)
    near = config.near and available()
    if config.near and not near:
        say("near-duplicates are not counted: pip install 'prefdata[near]' for that.")
    tokens = counter(config.tokenizer) if config.tokenizer is not None else None
    found: list[dict[str, Any]] = []
    passed: list[str] = []
    for path in config.paths:
        for source in _sources(Path(path), root, passed):
            collector = Collector(source.name, tokens, NearDuplicates() if near else None)
            with progress(f"stats {source.name}") as bar:
                for line, record in readable(source, collector):
                    collector.add(record, line)
                bar.advance(collector.rows)
            summary = {"path": str(source.annotation), "format": source.format} | collector.summary()
            summary["image_sizes"] = _sizes(source, collector, config.max_tiles)
            found.append(summary)
    if config.output_format == "json":
        click.echo(msgspec.json.encode({"sources": found, "passed_over": passed}))
    else:
        click.echo("\n\n".join(_text(summary) for summary in found))
        for why in passed:
            click.echo(f"\npassed over: {why}")
    return 0


def _sources(path: Path, root: Path | None, passed: list[str]) -> "Iterator[Source]":
    """The sources of a file; of a folder those of its mixtures, then the data that none of them names.

    passed: gets a sentence for every file of a folder that cannot be read. Raises PrefdataError where that is all.
    """
    from prefdata.folders import data_files
    from prefdata.mixtures import load

    if not path.is_dir():
        yield from load(path, root).sources
        return
    mixtures, others = data_files(path)
    named, read = set(), bool(mixtures)
    for file in mixtures:
        for source in load(file, root).sources:
            named.add(source.annotation.resolve())
            yield source
    for file in others:
        if file.resolve() not in named:
            try:
                (source,) = load(file, root).sources
            except PrefdataError as error:
                passed.append(str(error))
            else:
                read = True
                yield source
    if not read:
        raise PrefdataError(f"{path}: no file in this folder can be read; the last: {passed[-1]}")


def _sizes(source: "Source", collector: "Collector", most: int) -> dict[str, Any] | None:
    """Sizes and tiles of the distinct images, from their headers."""
    from prefdata.images import resolve
    from prefdata.stats.collect import spread
    from prefdata.stats.pictures import size_of
    from prefdata.tiling import internvl_tiles

    sizes, missing = [], 0
    for uri in list(collector.uris)[:_IMAGES]:
        try:
            size = size_of(resolve(uri, source.root, source.annotation.parent))
        except PrefdataError:
            size = None
        if size is None:
            missing += 1
        else:
            sizes.append(size)
    if not sizes:
        return {"looked_at": 0, "unreadable": missing} if missing else None
    return {
        "looked_at": len(sizes),
        "unreadable": missing,
        "width": spread([width for width, _ in sizes]),
        "height": spread([height for _, height in sizes]),
        "tiles": spread([internvl_tiles(width, height, most) for width, height in sizes]),
    }


def _text(found: dict[str, Any]) -> str:
    lines = [f"{found['path']} ({found['format']}): {found['rows']:,} rows, {found['pairs']:,} pairs"]
    if found["unreadable"]:
        lines.append(f"  not readable            {found['unreadable']:,} rows")
    for side in ("prompt", "chosen", "rejected", "answer", "candidate"):
        for unit, numbers in found.get(side, {}).items():
            lines.append(
                f"  {f'{side}, {unit}':<24}median {numbers['median']:,}, mean {numbers['mean']:,}, "
                f"95 % {numbers['p95']:,}, most {numbers['max']:,}"
            )
    if "length_baseline" in found:
        lines.append(f"  {'the longer is better':<24}right for {found['length_baseline']:.1%} of the pairs")
        lines.append(f"  {'same first word':<24}{found['same_first_word']:.1%}")
    lines.append(f"  {'duplicates':<24}{found['duplicates']:,}")
    if "near_duplicates" in found:
        beyond = found["rows_not_compared"]
        rest = f" (later rows were not compared: {beyond:,})" if beyond else ""
        lines.append(f"  {'near-duplicates':<24}{found['near_duplicates']:,}{rest}")
    scripts = ", ".join(f"{name} {share:.1%}" for name, share in found["scripts"].items())
    lines.append(f"  {'script of the answers':<24}{scripts or 'none'}")
    if found["images"]:
        lines.append(f"  {'images':<24}{found['images']:,} in {found['rows_with_images']:,} rows")
    if (sizes := found["image_sizes"]) and sizes["looked_at"]:
        lines.append(
            f"  {'image size, tiles':<24}median {sizes['width']['median']}x{sizes['height']['median']}, "
            f"{sizes['tiles']['median']} tiles; most {sizes['tiles']['max']} tiles"
        )
    if sizes and sizes["unreadable"]:
        lines.append(f"  {'images not readable':<24}{sizes['unreadable']:,}")
    return "\n".join(lines)
