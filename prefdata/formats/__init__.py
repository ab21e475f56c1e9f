"""The formats, one file each, found by their id and imported when they are first asked for.

Other packages add formats through the entry-point group `prefdata.formats` (name = the id, object = a `Format` subclass
or instance). Their list is read only when a name is none of the built-in ones, or when all formats are listed, so that
built-in names cost nothing at start-up. A built-in id cannot be replaced: a file must mean the same everywhere.
"""

import functools
from importlib import import_module
from typing import TYPE_CHECKING

from prefdata.errors import PrefdataError
from prefdata.formats.base import BadRow, CannotHold, Format, View, Written

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

__all__ = ["BadRow", "CannotHold", "Format", "View", "Written", "added", "get", "ids", "writable"]

GROUP = "prefdata.formats"
# id -> module:class. Those that are written come first, then those that are only read.
_BUILT_IN = {
    "mmpr": "mmpr:Mmpr",
    "trl": "trl:Trl",
    "ixc-reward": "ixc_reward:IxcReward",
    "lf-sharegpt": "lf_sharegpt:LfSharegpt",
    "internvl-sft": "internvl_sft:InternvlSft",
    "llava": "llava:Llava",
    "qa": "qa:Qa",
    "ixc-sft-2.0": "ixc_sft:IxcSft20",
    "ixc-sft-2.5": "ixc_sft:IxcSft25",
    "sharegpt": "sharegpt:ShareGpt",
    "openai": "openai:OpenAI",
    "lf-alpaca": "lf_alpaca:LfAlpaca",
    "swift": "swift:Swift",
    "xtuner-pref": "xtuner_pref:XtunerPref",
    "rlaifv": "flat:RlaifV",
    "spavl": "flat:SpaVl",
    "povid": "povid:Povid",
    "vlfeedback": "vlfeedback:VlFeedback",
    "nectar": "transcript:Nectar",
    "ultrafeedback": "ultrafeedback:UltraFeedback",
    "hh": "transcript:Hh",
    "vlrb": "benches:Vlrb",
    "rewardbench": "flat:RewardBench",
    "rmbench": "benches:RmBench",
    "pku": "either:Pku",
    "llmbar": "either:LlmBar",
    "turbo-alignment": "turbo:Turbo",
    "lf-v1": "lf_v1:LfV1",
    "rlvr": "asked:Rlvr",
    "llava-eval": "asked:LlavaEval",
}


def built_in() -> tuple[str, ...]:
    """The ids of the formats that come with prefdata."""
    return tuple(_BUILT_IN)


def ids() -> tuple[str, ...]:
    """The ids of all formats, those of other packages last."""
    return (*_BUILT_IN, *_entries())


def writable() -> tuple[str, ...]:
    """The ids of the formats that can be written."""
    return tuple(name for name in ids() if get(name).writes)


def added() -> tuple[Format, ...]:
    """The formats of other packages."""
    return tuple(get(name) for name in _entries())


@functools.cache
def get(format_id: str) -> Format:
    """The format of this id. Raises PrefdataError."""
    if format_id in _BUILT_IN:
        module, _, name = _BUILT_IN[format_id].partition(":")
        found = getattr(import_module(f"prefdata.formats.{module}"), name)()
        assert isinstance(found, Format)
        return found
    entry = _entries().get(format_id)
    if entry is None:
        raise PrefdataError(f"Unknown format {format_id!r}; known formats: {', '.join(ids())}.")
    try:
        loaded = entry.load()
    except (ImportError, AttributeError) as error:
        raise PrefdataError(
            f"The format {format_id!r} of {entry.value} cannot be loaded ({error}); mend or uninstall it."
        ) from error
    made = loaded() if isinstance(loaded, type) and issubclass(loaded, Format) else loaded
    if not isinstance(made, Format) or made.id != format_id:
        raise PrefdataError(
            f"The entry point {format_id!r} ({entry.value}) is not a prefdata format of this id; mend or uninstall it."
        )
    return made


@functools.cache
def _entries() -> "dict[str, EntryPoint]":
    # A fifth of a worker's start-up, for what is hardly ever there.
    from importlib.metadata import entry_points

    return {entry.name: entry for entry in entry_points(group=GROUP) if entry.name not in _BUILT_IN}
