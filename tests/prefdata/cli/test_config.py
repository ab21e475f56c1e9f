"""Flags, YAML keys, help and checks of a command all come from one struct."""

from pathlib import Path
from typing import Annotated, Literal

import click
import msgspec
import pytest
from click.testing import CliRunner
from msgspec import Meta

from prefdata.cli.config import Command, config_command
from prefdata.errors import PrefdataError


class Config(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    paths: Annotated[
        tuple[str, ...], Meta(description="Files.", extra={"argument": True, "metavar": "PATH..."})
    ]
    count: Annotated[int, Meta(ge=1, description="How many.")] = 3
    kind: Annotated[Literal["a", "b"], Meta(description="Which kind.")] = "a"
    fast: Annotated[bool, Meta(description="Hurry.")] = False
    name: Annotated[str | None, Meta(description="A name.", extra={"flags": ["-o"]})] = None
    seed: Annotated[int, Meta(description="Seed.")] = 0


def make() -> tuple[Command, list[Config]]:
    seen: list[Config] = []

    @config_command(Config, name="probe", section="Data", examples="prefdata probe x")
    def command(config: Config) -> int | None:
        """Probe."""
        seen.append(config)
        return 1 if config.fast else None

    return command, seen


def run(*arguments: str) -> tuple[Config, int]:
    command, seen = make()
    result = CliRunner().invoke(command, list(arguments))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return seen[0], result.exit_code


def test_defaults_hold_when_nothing_is_given() -> None:
    config, code = run("x.jsonl")
    assert config == Config(paths=("x.jsonl",))
    assert code == 0


def test_flags_reach_the_struct_and_the_exit_code_the_shell() -> None:
    config, code = run("x", "y", "--count", "7", "--kind", "b", "--fast", "-o", "n")
    assert config == Config(paths=("x", "y"), count=7, kind="b", fast=True, name="n")
    assert code == 1


def test_a_file_gives_values_and_flags_win(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("paths: [z]\ncount: 5\nkind: b\nfast: true\n")
    config, _ = run("--config", str(file), "--count", "3", "--no-fast")
    assert config == Config(paths=("z",), count=3, kind="b", fast=False)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cuont: 1\n", "unknown key `cuont`"),
        ("- 1\n", "a mapping of"),
        ("a: [1\n", "not valid YAML"),
        ("paths: [x]\ncount: many\n", "count 'many': expected int"),
    ],
)
def test_a_bad_file_gets_a_sentence_that_names_it(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "c.yaml"
    file.write_text(text)
    with pytest.raises(PrefdataError, match=message) as caught:
        run("--config", str(file))
    assert str(file) in str(caught.value)


def test_a_value_out_of_range_names_flag_and_value() -> None:
    with pytest.raises(PrefdataError, match=r"--count 0: expected int >= 1"):
        run("x", "--count", "0")


def test_a_missing_required_value_is_named() -> None:
    with pytest.raises(PrefdataError, match="Missing PATH"):
        run("--count", "1")


def test_what_a_preset_gives_is_required_without_it_alone() -> None:
    class Preset(msgspec.Struct, kw_only=True):
        stage: Annotated[str, Meta(description="What.", extra={"preset": "recipe"})]
        recipe: str | None = None

    @config_command(Preset, name="probe", section="Data", examples="prefdata probe")
    def command(config: Preset) -> int | None:
        """Probe."""
        return None

    assert "[required without --recipe]" in CliRunner().invoke(command, ["--help"]).output
    with pytest.raises(
        PrefdataError, match=r"Missing --stage; .* --config file; a --recipe gives --stage, too\."
    ):
        command.main(["--recipe", "x"], standalone_mode=False)


def test_help_shows_defaults_and_examples_as_typed() -> None:
    command, _ = make()
    text = CliRunner().invoke(command, ["--help"]).output
    assert "[default: 3]" in text
    assert "Seed.  [default: 0]" in text
    assert "Examples:\n  prefdata probe x" in text


@pytest.mark.parametrize(("arguments", "sentence"), [(["x"], "starts anew"), (["x", "--fast"], "goes on")])
def test_a_command_says_what_its_stop_means(arguments: list[str], sentence: str) -> None:
    @config_command(
        Config,
        name="probe",
        section="Data",
        examples="",
        stopped=lambda config: "goes on" if config.fast else "starts anew",
    )
    def command(config: Config) -> None:
        """Probe."""
        raise KeyboardInterrupt

    with pytest.raises(click.Abort, match=sentence):
        command.main(arguments, standalone_mode=False)
