"""`prefdata mix plan|write|convert`: what an epoch of a mixture will hold, as numbers, as files, in another form."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import click
import msgspec
from msgspec import Meta

from prefdata.choices import Compat, Form
from prefdata.cli.config import Command, config_command, image_root
from prefdata.errors import PrefdataError
from prefdata.progress import say

if TYPE_CHECKING:
    from collections.abc import Callable

    from prefdata.mixtures import Mixture, Source
    from prefdata.mixtures.index import Index
    from prefdata.mixtures.plan import Plan


class _Group(Command, click.Group):
    """A command of commands that knows its place in `prefdata --help`."""


class Common(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """What every action needs."""

    mix: Annotated[str, Meta(extra={"argument": True, "metavar": "MIX"})]
    image_root: Annotated[
        str | None,
        Meta(
            description="Where image paths of all sources start, instead of what MIX says.",
            extra={"folder": True},
        ),
    ] = None
    index: Annotated[
        str | None,
        Meta(
            description="Folder for the indexes of rows. Default: .prefdata-index beside MIX.",
            extra={"metavar": "DIR"},
        ),
    ] = None


class Drawn(Common, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """What decides the rows of an epoch."""

    seed: Annotated[int, Meta(ge=0, description="Decides the rows drawn and their order.")] = 0
    epoch: Annotated[
        int, Meta(ge=0, description="Which epoch, from 0; remainders are drawn anew each time.")
    ] = 0
    compat: Annotated[
        Compat | None,
        Meta(description="The original loader's arithmetic, defects included, for comparisons."),
    ] = None
    batch_size: Annotated[
        int,
        Meta(ge=1, description="With --compat xcomposer: the original's --batch_size, rows of each draw."),
    ] = 1


class PlanConfig(Drawn, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """What to plan."""

    tokenizer: Annotated[
        str | None,
        Meta(description="Model folder or tokenizer.json: also count tokens, on 1,000 rows of each source."),
    ] = None
    max_tiles: Annotated[
        int, Meta(ge=1, description="Tiles per image (256 tokens each) where a source does not say.")
    ] = 12
    output_format: Annotated[Literal["text", "json"], Meta(description="For people or for programs.")] = (
        "text"
    )


class WriteConfig(Drawn, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """What to write."""

    out: Annotated[str, Meta(extra={"argument": True, "metavar": "DIR"})]
    shards: Annotated[int, Meta(ge=1, le=99_999, description="Number of files.")] = 1
    container: Annotated[
        Literal["jsonl", "parquet"],
        Meta(
            description="JSON lines as they stand, or parquet with the images inside, as `datasets` loads it."
        ),
    ] = "jsonl"
    to: Annotated[
        str | None,
        Meta(description="Format of the rows of JSON lines; needed where the sources' formats differ."),
    ] = None


class ConvertConfig(Common, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Which form to write."""

    dst: Annotated[str, Meta(extra={"argument": True, "metavar": "DST"})]
    to: Annotated[Form, Meta(description="The form of the mixture's file.")]


@click.group(cls=_Group, name="mix")
def command() -> None:
    """Mixtures: exact counts of every source per epoch, as a plan, as files, in another form.

    MIX is a meta.json, data.txt, XTuner list (YAML), dataset_info.json, list of path#N, prefdata's own YAML, or one
    data file.
    """


command.section = "Data"
command.epilog = """
prefdata mix plan meta.json
prefdata mix write meta.json mixed/ --seed 1 --shards 8
prefdata mix convert data.txt meta.json --to meta
"""


@config_command(
    PlanConfig,
    name="plan",
    section="Data",
    examples="""
    prefdata mix plan meta.json
    prefdata mix plan data.txt --compat xcomposer
    """,
)
def plan_command(config: PlanConfig) -> int:
    """Say what an epoch will hold of each source: the same rows that `mix write` writes and `train` trains on."""
    from prefdata.mixtures.plan import table

    mixture, indexes = _opened(config)
    counter = None
    if config.tokenizer is not None:
        from prefdata.mixtures.tokens import row_tokens

        counter = row_tokens(config.tokenizer, config.max_tiles)
    plan = _planned(config, mixture, indexes, counter)
    click.echo(msgspec.json.encode(plan) if config.output_format == "json" else table(plan))
    return 0


@config_command(
    WriteConfig,
    name="write",
    section="Data",
    examples="""
    prefdata mix write meta.json mixed/ --seed 1
    prefdata mix write meta.json hub/ --container parquet
    """,
)
def write_command(config: WriteConfig) -> int:
    """Write one epoch of a mixture to DIR, shuffled: the same seed gives the same bytes.

    DIR gets the shards, a meta.json to train on them, and mix.json with the plan and the files' hashes. What rows lose
    with --to is told as by `prefdata convert`.
    """
    from prefdata.cli.convert import told
    from prefdata.mixtures import epoch
    from prefdata.mixtures.materialise import write_epoch
    from prefdata.mixtures.outputs import refuse_own_inputs

    mixture, indexes = _opened(config)
    refuse_own_inputs(Path(config.out), _inputs(config, mixture))
    plan = _planned(config, mixture, indexes)
    rows = [len(index) for index in indexes]
    drawn = epoch(mixture, config.seed, config.epoch, rows, config.compat, config.batch_size)
    if config.container == "parquet":
        from prefdata.mixtures.parquet import write_parquet

        if config.to not in (None, "trl"):
            raise PrefdataError(
                f"--to {config.to}: parquet holds pairs as TRL reads them; leave --to out, or write JSON lines."
            )
        written = write_parquet(Path(config.out), mixture, indexes, drawn, plan, shards=config.shards)
    else:
        written = write_epoch(
            Path(config.out), mixture, indexes, drawn, plan, shards=config.shards, to=config.to
        )
    for line in told(config.to or "", written.lost, written.ignored):
        say(line.strip())
    click.echo(msgspec.json.encode(written))
    return 0


@config_command(
    ConvertConfig,
    name="convert",
    section="Data",
    examples="""
    prefdata mix convert data.txt meta.json --to meta
    prefdata mix convert meta.json mix.yaml --to prefdata
    """,
)
def convert_command(config: ConvertConfig) -> int:
    """Write a mixture in another form, with the same rows per epoch, and say what that form cannot hold."""
    from prefdata.atomic import keep_inputs
    from prefdata.mixtures.write import write_mixture

    mixture, indexes = _opened(config)
    keep_inputs(Path(config.dst), _inputs(config, mixture))
    rows = [len(index) for index in indexes]
    lost = write_mixture(Path(config.dst), mixture, config.to, rows)
    sources = f"{len(rows)} source{'' if len(rows) == 1 else 's'}"
    click.echo(f"{config.mix} ({mixture.kind}) -> {config.dst} ({config.to}): {sources}.")
    for sentence in lost:
        click.echo(f"  lost: {sentence}")
    return 0


for _action in (plan_command, write_command, convert_command):
    command.add_command(_action)


def _planned(
    config: Drawn,
    mixture: "Mixture",
    indexes: "list[Index]",
    tokens: "Callable[[Source, Index], float] | None" = None,
) -> "Plan":
    from prefdata.mixtures.plan import make_plan

    if config.batch_size > 1 and config.compat != "xcomposer":
        raise PrefdataError(
            f"--batch-size {config.batch_size}: goes with --compat xcomposer only; leave it out."
        )
    return make_plan(
        mixture, indexes, seed=config.seed, number=config.epoch, compat=config.compat, batch=config.batch_size,
        tokens=tokens,
    )  # fmt: skip


def _inputs(config: Common, mixture: "Mixture") -> list[Path]:
    """All files that are read; none of them may be written."""
    return [Path(config.mix), *(source.annotation for source in mixture.sources)]


def _opened(config: Common) -> "tuple[Mixture, list[Index]]":
    """(mixture, an index of each source)."""
    from prefdata.mixtures import load
    from prefdata.mixtures.index import open_index

    root = image_root(config.image_root)
    mixture = load(Path(config.mix), root)
    folder = Path(config.index) if config.index else Path(config.mix).parent / ".prefdata-index"
    if folder.exists() and not folder.is_dir():
        raise PrefdataError(f"--index {folder}: is a file; name a folder for the indexes.")
    return mixture, [open_index(source.annotation, folder) for source in mixture.sources]
