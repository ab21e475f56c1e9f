"""`prefdata demo`: the whole road on the bundled model, in minutes, on a CPU."""

from pathlib import Path
from typing import Annotated

import click
import msgspec
from msgspec import Meta

from prefdata.cli.config import GOES_ON, config_command


class Config(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """What `prefdata demo` can be told."""

    out: Annotated[str, Meta(description="Folder for everything the demo makes.", extra={"metavar": "DIR"})]
    seed: Annotated[
        int, Meta(ge=0, le=900, description="Another seed: other pictures, samples and order.")
    ] = 0
    questions: Annotated[int, Meta(ge=20, le=100_000, description="Questions to make pairs from.")] = 600
    samples: Annotated[int, Meta(ge=2, le=64, description="Answers sampled for each question.")] = 8
    held_out: Annotated[int, Meta(ge=20, le=100_000, description="Questions kept for the evaluation.")] = 1000
    descriptions: Annotated[
        int, Meta(ge=10, le=100_000, description="Descriptions looked at for invented shapes.")
    ] = 250
    steps: Annotated[int, Meta(ge=1, description="Training steps of SFT and of MPO.")] = 60


@config_command(
    Config,
    name="demo",
    section="Data",
    stopped=GOES_ON,
    examples="""
    prefdata demo --out demo-out
    prefdata demo --out demo-1 --seed 1
    prefdata demo --out quick --questions 60 --held-out 100 --descriptions 50 --steps 5
    """,
)
def command(config: Config) -> None:
    """Walk the whole road on a bundled tiny vision-language model.

    The model answers questions about small pictures, its own right and wrong answers become preference pairs, it
    is trained on them with MPO and evaluated on questions it has not seen. Takes a few minutes on a CPU. Stop it
    whenever you like: the same command goes on where it stopped.
    """
    from prefdata.demo import road, summary

    out = Path(config.out)
    sizes = {name: getattr(config, name) for name in road.Size.__struct_fields__}
    figures = road.run(out, seed=config.seed, size=road.Size(**sizes))
    summary.write_page(out, figures)
    click.echo(summary.table(out, figures))
