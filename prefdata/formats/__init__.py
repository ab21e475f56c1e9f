"""The formats, one file each, found by their id."""

from prefdata.errors import PrefdataError
from prefdata.formats.base import BadRow, CannotHold, Format, View, Written
from prefdata.formats.internvl_sft import InternvlSft
from prefdata.formats.ixc_reward import IxcReward
from prefdata.formats.lf_sharegpt import LfSharegpt
from prefdata.formats.llava import Llava
from prefdata.formats.mmpr import Mmpr
from prefdata.formats.qa import Qa
from prefdata.formats.trl import Trl

__all__ = ["BadRow", "CannotHold", "Format", "View", "Written", "get", "ids"]

_FORMATS: dict[str, Format] = {
    each.id: each for each in (Mmpr(), Trl(), IxcReward(), LfSharegpt(), InternvlSft(), Llava(), Qa())
}


def ids() -> tuple[str, ...]:
    """The ids of all formats, pairs first."""
    return tuple(_FORMATS)


def get(format_id: str) -> Format:
    """The format of this id."""
    try:
        return _FORMATS[format_id]
    except KeyError:
        raise PrefdataError(f"Unknown format {format_id!r}; known formats: {', '.join(_FORMATS)}.") from None
