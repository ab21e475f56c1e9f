"""The `prefdata` program: a group of commands found through the entry-point group `prefdata.commands`.

Commands of `pipelines` and `trainers` join the same way a third party's would, so this file imports neither.
A command's module is imported only when it is asked for or listed, and none imports an engine or torch at the
top, which keeps `prefdata --help` fast.
"""

import os
import re
import signal
import sys
from importlib import import_module
from types import FrameType
from typing import TYPE_CHECKING

import click

from prefdata import __version__
from prefdata.cli.config import Command
from prefdata.errors import EXIT_DATA, EXIT_STOPPED, EXIT_USAGE, PrefdataError, from_os_error

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

# The commands of this package, `prefdata/cli/NAME.py`. They are found without importlib.metadata, whose import alone is
# a fifth of the start-up of `validate`; no plug-in can take their names.
OWN = ("validate", "convert", "formats", "explain", "report", "mix", "stats", "demo")
# A requirement of the installed package that only an extra has.
_OPTIONAL = re.compile(r"(?P<package>[\w-]+).*; extra == ['\"](?P<extra>(?!dev)[\w-]+)['\"]")
SECTIONS = ("Data", "Generate", "Train")


class Group(click.Group):
    """Commands by entry point, listed by section."""

    def _found(self) -> "dict[str, EntryPoint]":
        from importlib.metadata import entry_points

        return {entry.name: entry for entry in entry_points(group="prefdata.commands")}

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names of all installed commands."""
        return sorted(self._found())

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command."""
        if cmd_name in OWN:
            own: click.Command = import_module(f"prefdata.cli.{cmd_name}").command
            return own
        entry = self._found().get(cmd_name)
        if entry is None:
            return None
        command = entry.load()
        if not isinstance(command, click.Command):
            raise PrefdataError(
                f"The plug-in {entry.value} for `{cmd_name}` is not a command; uninstall or mend it."
            )
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List commands under Data, Generate and Train."""
        rows: dict[str, list[tuple[str, str]]] = {section: [] for section in SECTIONS}
        for name, entry in sorted(self._found().items()):
            try:
                command = entry.load()
            except ImportError as error:
                # One broken plug-in must not take the help of all others away.
                rows.setdefault("Not usable", []).append((name, f"cannot be loaded: {error}"))
                continue
            section = command.section if isinstance(command, Command) else "Other"
            rows.setdefault(section, []).append((name, command.get_short_help_str(limit=90)))
        for section, commands in rows.items():
            if commands:
                with formatter.section(section):
                    formatter.write_dl(commands)


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="prefdata")
def cli() -> None:
    """Validate, convert, make and train on multimodal preference data.

    \b
    Start here:
      prefdata demo --out demo-out        the whole road on a bundled model, on a CPU, in minutes
      prefdata validate pairs.jsonl       what is wrong with my data?
    """


def main() -> None:
    """Run the program; every problem ends as one sentence and an exit code."""
    verbose = "-v" in sys.argv[1:] or "--verbose" in sys.argv[1:]
    _stop_when_terminated()
    try:
        cli.main(standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        sys.exit(EXIT_USAGE)
    except click.ClickException as error:
        message = " ".join(error.format_message().split())
        hint = _usage_hint(error)
        click.echo(f"error: {message}{hint}", err=True)
        sys.exit(EXIT_USAGE)
    except (KeyboardInterrupt, click.exceptions.Abort) as error:
        click.echo(str(error) or "Stopped.", err=True)
        sys.exit(EXIT_STOPPED)
    except (PrefdataError, OSError) as error:
        if verbose:
            raise
        problem = from_os_error(error) if isinstance(error, OSError) else error
        click.echo(f"error: {problem}", err=True)
        sys.exit(problem.exit_code)
    except Exception as error:
        missing = _missing(error) if isinstance(error, ModuleNotFoundError) else None
        if missing is not None and not verbose:
            click.echo(f"error: {missing}", err=True)
            sys.exit(EXIT_USAGE)
        # The last line of defence: a user sees a sentence, never a stack.
        if verbose:
            raise
        said = " ".join(str(error).split())
        click.echo(
            f"error: a fault in prefdata ({type(error).__name__}: {said}); "
            "please report it with what the same command prints under -v.",
            err=True,
        )
        sys.exit(EXIT_DATA)


def _stop_when_terminated() -> None:
    """Have SIGTERM (a scheduler, a shutdown) stop a command as Ctrl-C does: temporary files go, runs can go on."""
    owner = os.getpid()

    def stop(number: int, _: FrameType | None) -> None:
        if os.getpid() != owner:  # a forked child, which others end in this way
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        raise KeyboardInterrupt

    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, stop)


def _missing(error: ModuleNotFoundError) -> str | None:
    """A sentence for a package of one of the extras; None for a module that is no such package."""
    from importlib.metadata import requires

    package = (error.name or "").partition(".")[0]
    extras = [
        found["extra"]
        for line in requires("prefdata") or ()
        if (found := _OPTIONAL.match(line)) and found["package"].replace("-", "_") == package
    ]
    if not extras:
        return None
    command = next((word for word in sys.argv[1:] if not word.startswith("-")), "")
    extra = next((name for name in (command, "generate") if name in extras), extras[-1])
    return f"`prefdata {command}` needs the package {package}, which is not installed: pip install 'prefdata[{extra}]'."


def _usage_hint(error: click.ClickException) -> str:
    context = error.ctx if isinstance(error, click.UsageError) else None
    return f" See `{context.command_path} --help`." if context is not None else ""
