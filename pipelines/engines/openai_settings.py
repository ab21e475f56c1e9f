"""What the `openai` engine can be told: `--base-url`, the key's variable, and `--engine-arg` by name.

Where it stands: `openai.py` reads it once. The decision to question: unknown names are refused, and what a server
understands beyond OpenAI's fields goes under `body.NAME`, so that a typing mistake is not sent along silently.
"""

import os
from typing import TYPE_CHECKING, Any, Literal, cast, get_args
from urllib.parse import urlsplit

import msgspec

from pipelines.engines import refuse_unsupported
from prefdata.errors import PrefdataError

if TYPE_CHECKING:
    from pipelines.cli.options import EngineOptions

ImageForm = Literal["data", "path"]

_NO = ("no", "false", "off", "0")


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """How to talk to the server. images: `data` URIs, `path` (file:// URIs), or the address images lie under."""

    base_url: str
    key: str
    timeout: float = 600.0
    retries: int = 6
    seeds: bool = True
    images: str = "data"
    tokenizer: str = ""
    body: dict[str, Any] = {}


def settings_of(options: "EngineOptions") -> Settings:
    """The settings that flags and environment ask for. Raises PrefdataError."""
    refuse_unsupported(
        options, "tp", "pp", "session_len", "cache_max_entry_count", "vit_batch_size", "dynamic"
    )
    if options.dtype != "auto":
        raise PrefdataError(f"--dtype {options.dtype}: the server chose its number type; leave it out.")
    given = options.engine_args
    body = {key.removeprefix("body."): given.pop(key) for key in list(given) if key.startswith("body.")}
    variable = given.pop("key_env", "OPENAI_API_KEY")
    values: dict[str, Any] = {}
    for name, least in (("timeout", 0.001), ("retries", 0)):
        if name in given:
            values[name] = _number(name, given.pop(name), least)
    if "retries" in values:
        values["retries"] = int(values["retries"])
    if "seeds" in given:
        values["seeds"] = given.pop("seeds").lower() not in _NO
    values |= {name: given.pop(name) for name in ("images", "tokenizer") if name in given}
    if given:
        raise PrefdataError(
            f"--engine-arg {next(iter(given))}: the openai engine knows timeout, retries, seeds, images, tokenizer, "
            "key_env and body.NAME."
        )
    images = values.get("images", "data")
    if images not in get_args(ImageForm) and not images.startswith(("http://", "https://")):
        raise PrefdataError(f"--engine-arg images={images}: write data, path, or the address they lie under.")
    return Settings(
        base_url=_checked(options.base_url),
        key=os.environ.get(variable, "").strip(),
        body={key: _value(value) for key, value in body.items()},
        **values,
    )


def _checked(base_url: str | None) -> str:
    if not base_url:
        raise PrefdataError("--engine openai: give --base-url, such as http://localhost:8000/v1.")
    parts = urlsplit(base_url)
    if parts.username or parts.password or parts.query:
        # A key in the address would stand in process lists, logs and error messages.
        raise PrefdataError(
            "--base-url: no user, password or query in it; the key belongs into the environment."
        )
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise PrefdataError(f"--base-url {base_url}: write it with http:// or https://, as the server says.")
    return base_url


def _number(name: str, text: str, least: float) -> float:
    try:
        value = float(text)
    except ValueError:
        value = least - 1
    if not value >= least:
        raise PrefdataError(f"--engine-arg {name}={text}: a number from {least:g} is needed.")
    return value


def _value(text: str) -> Any:
    """A YAML value: `true`, `0.05`, `{enable_thinking: false}`, else the text."""
    import yaml

    try:
        return cast(Any, yaml.safe_load(text))
    except yaml.YAMLError:
        return text
