"""The program as a whole: help by section, one sentence for a mistake, exit codes."""

import os
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from prefdata.cli.main import OWN


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


def test_the_commands_of_this_package_are_found_without_their_entry_points() -> None:
    own = {
        entry.name for entry in entry_points(group="prefdata.commands") if entry.value.startswith("prefdata.")
    }
    assert own == set(OWN)


def test_every_command_explains_itself_with_an_example() -> None:
    from prefdata.cli.main import cli

    for name in cli.list_commands(None):  # type: ignore[arg-type]
        shown = prefdata(name, "--help")
        assert shown.returncode == 0, name
        assert f"prefdata {name}" in shown.stdout.split("Examples:")[1], name


def without(package: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The program as if a package were not installed."""
    program = f"import sys; sys.modules[{package!r}] = None; from prefdata.cli.main import main; main()"
    return subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=False
    )


def test_a_package_that_is_not_installed_is_named_with_its_extra(tmp_path: Path) -> None:
    shown = without("numpy", "demo", "--out", str(tmp_path / "out"))
    assert shown.returncode == 2
    assert shown.stderr == (
        "error: `prefdata demo` needs the package numpy, which is not installed: pip install 'prefdata[demo]'.\n"
    )


def test_a_stopped_command_that_cannot_go_on_does_not_promise_it(tmp_path: Path) -> None:
    program = (
        "import signal, prefdata.validate as v\n"
        "v.validate = lambda *given: signal.raise_signal(signal.SIGINT)\n"
        "from prefdata.cli.main import main; main()"
    )
    shown = subprocess.run(
        [sys.executable, "-c", program, "validate", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert shown.returncode == 130
    assert shown.stderr.strip() == "Stopped. The same command begins from the start."


def test_being_terminated_leaves_nothing_behind(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "never")
    script = (
        "import sys; from prefdata.cli import main as m; from prefdata.atomic import atomic_writer\n"
        "from pathlib import Path; import click\n"
        "def work(**_):\n"
        "    with atomic_writer(Path('a.jsonl')): print('ready', flush=True); open('never')\n"
        "m.cli.main = work; m.main()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.terminate()
    assert process.wait() == 130
    assert process.communicate()[1] == "Stopped.\n"
    assert os.listdir(tmp_path) == ["never"]
