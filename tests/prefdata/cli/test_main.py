"""The program as a whole: help by section, one sentence for a mistake, exit codes."""

import subprocess
import sys

import pytest


def prefdata(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "prefdata", *arguments], capture_output=True, text=True, check=False
    )


def test_help_groups_commands() -> None:
    shown = prefdata("--help")
    assert shown.returncode == 0
    for section in ("Data:", "Generate:", "Train:"):
        assert section in shown.stdout
    assert "cannot be loaded" not in shown.stdout


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("nonsense",), "No such command 'nonsense'"),
        (("validate", "x.jsonl", "--bogus"), "No such option '--bogus'"),
        (("validate", "no-such-file.jsonl"), "no-such-file.jsonl: no such file"),
        (("demo", "--out", "x", "--seed", "-1"), "--seed -1"),
        (
            ("dropout-ntp", "--checkpoint", "no-such-model", "--prompt-path", "x"),
            "no-such-model: no such model",
        ),
    ],
)
def test_a_mistake_gets_one_sentence_and_exit_code_2(arguments: tuple[str, ...], sentence: str) -> None:
    shown = prefdata(*arguments)
    assert shown.returncode == 2
    assert shown.stdout == ""
    assert shown.stderr.startswith("error: ")
    assert sentence in shown.stderr
    assert shown.stderr.count("\n") == 1


def test_every_command_explains_itself_with_an_example() -> None:
    from prefdata.cli.main import cli

    for name in cli.list_commands(None):  # type: ignore[arg-type]
        shown = prefdata(name, "--help")
        assert shown.returncode == 0, name
        assert f"prefdata {name}" in shown.stdout.split("Examples:")[1], name
