"""One typed struct per command is the only source of its flags, its YAML keys, its help and its checks.

A field is written once:

    batch_size: Annotated[int, Meta(ge=1, description="Rows asked of the engine at a time.")] = 1

and becomes `--batch-size INTEGER`, the YAML key `batch_size` (or `batch-size`), the line of `--help` with its
default, and the check with its sentence. Flags win over the file, the file over the defaults. Positional
arguments and short names are named in `Meta(extra={"argument": True})` / `Meta(extra={"flags": ["-o"]})`,
paths, which start at the project's settings file where they stand in it, in `"path": True` (`"folder": True`: one that
must be there), a field without a default that every preset gives in `"preset": "recipe"`.
"""

import logging
import os
import types
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

import click
import msgspec

from prefdata.errors import PrefdataError
from prefdata.progress import log, set_up_logging

# Commands that read the project's settings, and what all of them take from the first one's.
_PROJECT = ("validate", "report", "stats")
_OF_ALL = ("image_root", "select", "ignore")

C = TypeVar("C", bound=msgspec.Struct)

# What a command says when Ctrl-C stops it.
STARTS_ANEW = "Stopped. The same command begins from the start."
GOES_ON = "Stopped. Run the same command again to go on where it stopped."


class Command(click.Command):
    """A click command that knows its place in `prefdata --help`."""

    section: str = ""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Print the examples as they are typed: no re-wrapping."""
        if self.epilog:
            formatter.write("\nExamples:\n")
            for line in self.epilog.strip().splitlines():
                formatter.write(f"  {line.strip()}\n")


def config_command(
    config: type[C],
    *,
    name: str,
    section: Literal["Data", "Generate", "Train"],
    examples: str,
    project: bool = False,
    preset: tuple[str, Callable[[str], str]] | None = None,
    stopped: str | Callable[[C], str] = STARTS_ANEW,
) -> Callable[[Callable[[C], int | None]], Command]:
    """Make a command of a function that takes `config` and returns an exit code (None is 0).

    The docstring is the help text, `examples` the lines shown under it. With `project`, flags may stand in the
    project's own file (see `read_project`). `preset` is a setting whose value names a shipped file of settings, and how
    the file is found; it comes below all others. `stopped` is the sentence for Ctrl-C, where it depends on the settings
    made of them.
    """

    def decorate(function: Callable[[C], int | None]) -> Command:
        fields = msgspec.structs.fields(config)
        hints = typing.get_type_hints(config, include_extras=True)

        def callback(**given: Any) -> None:
            set_verbosity(given.pop("quiet"), given.pop("verbose"))
            file = given.pop("config")
            flags = {key: value for key, value in given.items() if value is not None and value != ()}
            place, values = read_project(name, config) if project else ("", {})
            places = dict.fromkeys(values, place)
            if file:
                read = read_config(file, config)
                values, places = values | read, places | dict.fromkeys(read, file)
            chosen = (values | flags).get(preset[0]) if preset else None
            if preset and chosen is not None:
                shipped = preset[1](chosen)
                read = read_config(shipped, config)
                values, places = read | values, dict.fromkeys(read, shipped) | places
            settings = build(config, values | flags, {k: v for k, v in places.items() if k not in flags})
            try:
                code = function(settings)
            except KeyboardInterrupt:
                raise click.Abort(stopped if isinstance(stopped, str) else stopped(settings)) from None
            if code:
                raise SystemExit(code)

        command = Command(
            name=name,
            callback=callback,
            params=[_parameter(field, hints[field.name]) for field in fields] + _common(),
            help=function.__doc__,
            epilog=examples,
            no_args_is_help=any(field.required for field in fields),
        )
        command.section = section
        return command

    return decorate


def build(config: type[C], values: dict[str, Any], places: dict[str, str]) -> C:
    """Check `values` against the struct. The error names the flag (or file and key), the value and what is expected.

    places: the file that each value comes from which is no flag's.
    """
    missing = [f.name for f in msgspec.structs.fields(config) if f.required and f.name not in values]
    hints = typing.get_type_hints(config, include_extras=True)
    if missing:
        names = ", ".join(_shown(config, name) for name in missing)
        given = [
            f"{_preset(hints[name])} gives {_shown(config, name)}" for name in missing if _preset(hints[name])
        ]
        more = "".join(f"; a {one}, too" for one in given)
        raise PrefdataError(f"Missing {names}; give it on the command line or in the --config file{more}.")
    try:
        built = msgspec.convert(values, config, strict=False)
    except msgspec.ValidationError as error:
        text = str(error)
        expected, _, place = text.partition(" - at `$.")
        key = place.split("[")[0].split(".")[0].rstrip("`")
        base = _strip(hints[key]) if key in hints else None
        if get_origin(base) is Literal:
            expected = f"choose one of {', '.join(map(str, get_args(base)))}"
        raise PrefdataError(
            f"{_said(key, places)} {values.get(key)!r}: {expected[0].lower()}{expected[1:].replace('`', '')}."
        ) from error
    for key in values:
        value = getattr(built, key)
        if value is not None and (_meta(hints[key]).extra or {}).get("folder") and not Path(value).is_dir():
            raise PrefdataError(f"{_said(key, places)} {value}: no such folder.")
    return built


def _said(key: str, places: dict[str, str]) -> str:
    """A setting as it was given: a flag, or a key of a file."""
    name = key.rstrip("_").replace("_", "-")
    return f"{places[key]}: {name}" if key in places else f"--{name}"


def read_project(name: str, config: type[msgspec.Struct]) -> tuple[str, dict[str, Any]]:
    """The project's settings of a command: `[NAME]` in prefdata.toml or `[tool.prefdata.NAME]` in pyproject.toml.

    The nearest folder upward from the working directory that has either decides; its prefdata.toml comes first. What
    every command takes may stand under `[validate]`. Paths start at the file's folder.
    """
    here = Path.cwd()
    for folder in (here, *here.parents):
        for file, keys in (("prefdata.toml", ()), ("pyproject.toml", ("tool", "prefdata"))):
            path = folder / file
            if path.is_file() and (table := _table(path, keys)) is not None:
                values = _sections(path, table, name, config)
                return str(path), values if folder == here else _from_folder(folder, values, config)
    return "", {}


def _sections(path: Path, table: dict[str, Any], name: str, config: type[msgspec.Struct]) -> dict[str, Any]:
    """What the tables of a settings file say for one command."""
    for section, values in table.items():
        if section not in _PROJECT:
            known = ", ".join(f"[{one}]" for one in _PROJECT)
            raise PrefdataError(f"{path}: unknown section or key `{section}`; settings stand under {known}.")
        if not isinstance(values, dict):
            raise PrefdataError(f"{path}: `{section}` must be a table of `flag = value` lines.")
    own = _known_keys(str(path), table.get(name, {}), config)
    fields = {field.name for field in msgspec.structs.fields(config)}
    given = {key.replace("-", "_"): value for key, value in table.get(_PROJECT[0], {}).items()}
    return {key: given[key] for key in _OF_ALL if key in given and key in fields} | own


def _from_folder(folder: Path, values: dict[str, Any], config: type[msgspec.Struct]) -> dict[str, Any]:
    """The values with paths that start at a folder, as they are called from the working directory."""
    from prefdata.models import DEMO_MODEL

    hints = typing.get_type_hints(config, include_extras=True)

    def moved(value: Any) -> Any:
        if isinstance(value, list):
            return [moved(one) for one in value]
        if not isinstance(value, str) or value == DEMO_MODEL or os.path.isabs(value):
            return value
        return os.path.relpath(folder / value)

    return {
        key: moved(value) if {"path", "folder"} & (_meta(hints[key]).extra or {}).keys() else value
        for key, value in values.items()
    }


def _table(path: Path, keys: tuple[str, ...]) -> dict[str, Any] | None:
    import tomllib

    try:
        table: Any = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        if keys:
            return None  # somebody else's pyproject.toml is not ours to judge
        raise PrefdataError(f"{path}: not valid TOML ({error}).") from error
    for key in keys:
        table = table.get(key) if isinstance(table, dict) else None
    return table if isinstance(table, dict) else None


def read_config(path: str, config: type[msgspec.Struct]) -> dict[str, Any]:
    """Read a YAML file whose keys are the flags' names (dashes or underscores)."""
    import yaml

    try:
        loaded = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise PrefdataError(f"{path}: not valid YAML ({' '.join(str(error).split())}).") from error
    except UnicodeDecodeError as error:
        raise PrefdataError(
            f"{path}: not a UTF-8 text file; a YAML file of `flag: value` lines is needed."
        ) from error
    if not isinstance(loaded, dict):
        raise PrefdataError(f"{path}: a mapping of `flag: value` lines is needed at the top level.")
    return _known_keys(path, loaded, config)


def _known_keys(path: str, loaded: dict[Any, Any], config: type[msgspec.Struct]) -> dict[str, Any]:
    """The settings of a file under the names of the struct's fields. Raises PrefdataError for a key that is none."""
    values = {str(key).replace("-", "_"): value for key, value in loaded.items()}
    known = {field.name for field in msgspec.structs.fields(config)}
    values = {f"{key}_" if f"{key}_" in known else key: value for key, value in values.items()}
    for key in values:
        if key not in known:
            names = ", ".join(sorted(name.rstrip("_").replace("_", "-") for name in known))
            raise PrefdataError(f"{path}: unknown key `{key.replace('_', '-')}`; known keys: {names}.")
    return values


def image_root(given: str | None) -> Path | None:
    """The folder of --image-root, which `build` has found to be one."""
    return Path(given) if given is not None else None


def set_verbosity(quiet: bool, verbose: bool) -> None:
    """Set how much the run says beside its results: errors only, the usual, or everything with tracebacks."""
    set_up_logging()
    log.setLevel(logging.ERROR if quiet else logging.DEBUG if verbose else logging.INFO)


def _common() -> list[click.Parameter]:
    return [
        click.Option(
            ["--config"], metavar="FILE.yaml", help="Read flags from a YAML file; flags given here win."
        ),
        click.Option(
            ["-q", "--quiet"], is_flag=True, help="No progress, no remarks; results and errors as ever."
        ),
        click.Option(["-v", "--verbose"], is_flag=True, help="Say more; show tracebacks."),
    ]


def _shown(config: type[msgspec.Struct], name: str) -> str:
    """What a user calls a field: its metavar for an argument, else its flag."""
    extra = _meta(typing.get_type_hints(config, include_extras=True)[name]).extra or {}
    return str(extra.get("metavar", name.upper())) if extra.get("argument") else "--" + name.replace("_", "-")


def _meta(hint: Any) -> msgspec.Meta:
    return next((m for m in getattr(hint, "__metadata__", ()) if isinstance(m, msgspec.Meta)), msgspec.Meta())


def _parameter(field: msgspec.structs.FieldInfo, hint: Any) -> click.Parameter:
    meta = _meta(hint)
    extra = meta.extra or {}
    base = _strip(hint)
    multiple = get_origin(base) is tuple
    item = get_args(base)[0] if multiple else base
    kind, is_flag = _click_type(item)
    if extra.get("argument"):
        nargs = -1 if multiple else 1
        return click.Argument(
            [field.name], type=kind, nargs=nargs, required=False, metavar=extra.get("metavar")
        )
    # A trailing underscore lets a flag be a Python keyword (`from_` is `--from`).
    long = "--" + field.name.rstrip("_").replace("_", "-")
    names = [*extra.get("flags", ()), f"{long}/--no-{long[2:]}" if is_flag else long, field.name]
    help_text = (meta.description or "") + _default_text(field, _preset(hint))
    # With `default=None` "not given" can be told from "given the default", so that a file's value survives.
    return click.Option(
        names,
        type=None if is_flag else kind,
        default=None,
        multiple=multiple,
        help=help_text,
        metavar=extra.get("metavar"),
    )


def _preset(hint: Any) -> str | None:
    """The flag of a preset that gives a field which has no default."""
    preset = (_meta(hint).extra or {}).get("preset")
    return f"--{preset}" if preset else None


def _default_text(field: msgspec.structs.FieldInfo, preset: str | None) -> str:
    if field.required:
        return f"  [required without {preset}]" if preset else "  [required]"
    if field.default is msgspec.NODEFAULT or field.default is None or field.default is False:
        return ""
    if field.default in ("", ()):
        return ""
    return f"  [default: {'on' if field.default is True else field.default}]"


def _strip(hint: Any) -> Any:
    """Remove Annotated and `| None` layers."""
    while True:
        if hasattr(hint, "__metadata__"):
            hint = hint.__origin__
        elif get_origin(hint) in (Union, types.UnionType):
            hint = next(arg for arg in get_args(hint) if arg is not type(None))
        else:
            return hint


def _click_type(base: Any) -> tuple[click.ParamType[Any], bool]:
    base = _strip(base)
    if base is bool:
        return click.BOOL, True
    if get_origin(base) is Literal:
        return click.Choice([str(value) for value in get_args(base)]), False
    if base is int:
        return click.INT, False
    return (click.FLOAT if base is float else click.STRING), False
