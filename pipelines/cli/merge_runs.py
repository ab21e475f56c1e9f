"""`prefdata merge-runs`: shards of one run to one run directory."""

from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from prefdata.cli.config import config_command


class Config(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """What `prefdata merge-runs` can be told."""

    runs: Annotated[
        tuple[str, ...],
        Meta(
            min_length=1,
            description="Run directories of all shards.",
            extra={"argument": True, "metavar": "DIR..."},
        ),
    ]
    out_dir: Annotated[
        str, Meta(description="Where the merged run goes; a new folder.", extra={"metavar": "DIR"})
    ]


@config_command(
    Config,
    name="merge-runs",
    section="Generate",
    examples="""
    prefdata merge-runs runs/demo/answers*.shard-*-of-8 --out-dir runs/merged
    """,
)
def command(config: Config) -> int | None:
    """Join the shards of one run (made with --shard I/N) to the files that one run would have written."""
    import sys

    from pipelines.merge import merge
    from prefdata.progress import say

    out = Path(config.out_dir)
    counts = merge([Path(run) for run in config.runs], out)
    data = "pairs" if "pairs" in counts else "steps"
    rows = "pairs" if data == "pairs" else "responses with scored steps"
    say(f"{len(config.runs)} shards, {counts[data]} {rows}: {out / f'{data}.jsonl'}")
    result = {"run": str(out), data: str(out / f"{data}.jsonl"), "counts": counts}
    sys.stdout.write(msgspec.json.encode(result).decode() + "\n")
    return None
