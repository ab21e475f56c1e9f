"""`prefdata explain`: what a finding means and how to mend it."""

from typing import Annotated

import click
import msgspec
from msgspec import Meta

from prefdata.cli.config import config_command


class ExplainConfig(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Which code."""

    code: Annotated[str | None, Meta(extra={"argument": True, "metavar": "[CODE]"})] = None


@config_command(
    ExplainConfig, name="explain", section="Data", examples="prefdata explain PD302\nprefdata explain"
)
def command(config: ExplainConfig) -> None:
    """Tell what a finding means and how to mend it; without a code, list them all."""
    from prefdata.findings import catalogue, entry, group

    if config.code is None:
        for code, each in catalogue().items():
            click.echo(
                f"{code}  {each.severity:7}  {group(code):11}  {each.message.replace('{detail}', '...')}"
            )
        return
    found = entry(config.code)
    code = config.code.upper()
    click.echo(f"{code} ({found.severity}, {group(code)}): {found.message.replace('{detail}', '...')}\n")
    click.echo(found.hint)
    if found.bad:
        click.echo(f"\nBad ({found.format}):\n  {found.bad}\n\nGood:\n  {found.good}")
    if found.on_request:
        click.echo(f"\nMuch good data has this, so it is looked for only with `--select PD,{code}`.")
    if found.fixable:
        click.echo("\n`prefdata validate --fix` mends this; nothing of the data is lost by it.")
