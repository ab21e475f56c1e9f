"""Whose output folder is this: an earlier run's result is gone on with or kept, never written over by another run.

Where it stands: `run.py` asks before it reads any row. The decision to question: settings are compared as they were
typed, all but those that change nothing in the result; the same data under another path is refused, which costs a
moment, where the opposite mistake costs a model.
"""

import shutil
from pathlib import Path
from typing import Any, Final

import msgspec

from prefdata.errors import PrefdataError
from trainers.config import TrainConfig

STATE_FILE: Final = "prefdata.json"
"""Written last into a checkpoint: its presence means the checkpoint is whole."""

CARD_FILE: Final = "train.json"
"""Settings and versions of a run."""

_SAME_RESULT: Final = frozenset(
    (
        "output_dir",
        "nproc",
        "resume",
        "save_steps",
        "save_total",
        "reference_cache",
        "tree_cache",
        "require_share",
        "on_bad_row",
        "num_workers",
        "report_to",
        "recipe",
        "eval_data",
        "eval_steps",
    )
)
"""Settings that change nothing in the result. What `nproc` and `on_bad_row` do to the data, the plan's hash tells."""


def claim(config: TrainConfig) -> Path | None:
    """The checkpoint to go on from, if any; refuses a folder whose result another run, or none of ours, has made."""
    output = Path(config.output_dir)
    checkpoint = last_checkpoint(output)
    if checkpoint is None and not (output / "config.json").is_file():
        return None  # nothing there that would be lost
    card = output / CARD_FILE
    if not card.is_file():
        raise PrefdataError(
            f"{output}: holds a model, and no {CARD_FILE} that says how it was trained; choose another --output-dir."
        )
    changed = differences(_settings(card), config)
    if changed:
        raise PrefdataError(
            f"{output}: holds a run with {', '.join(changed)}; give the same settings, or choose another --output-dir."
        )
    if checkpoint is not None and not config.resume:
        raise PrefdataError(
            f"{output}: holds the checkpoint {checkpoint.name} of an earlier run; go on from it with --resume, "
            "remove it, or choose another --output-dir."
        )
    return checkpoint


def differences(before: dict[str, Any], config: TrainConfig) -> list[str]:
    """`--flag then (now this)` for every setting that differs and matters; settings unknown then are not compared."""
    return [
        f"--{key.replace('_', '-')} {before[key]} (now {value})"
        for key, value in msgspec.to_builtins(config).items()
        if key not in _SAME_RESULT and key in before and before[key] != value
    ]


def last_checkpoint(output: Path) -> Path | None:
    """The newest whole checkpoint of an output folder."""
    whole = [path.parent for path in output.glob(f"checkpoint-*/{STATE_FILE}")]
    return max(whole, key=lambda path: int(path.name.rpartition("-")[2]), default=None)


def drop_old_checkpoints(output: Path, keep: int) -> None:
    """Remove all whole checkpoints but the newest, once a new one is whole: Trainer would do it before."""
    whole = sorted(
        (path.parent for path in output.glob(f"checkpoint-*/{STATE_FILE}")),
        key=lambda path: int(path.name.rpartition("-")[2]),
    )
    for folder in whole[:-keep]:
        (folder / STATE_FILE).unlink()  # first, so that what is left by a kill is not taken for whole
        shutil.rmtree(folder)


def _settings(card: Path) -> dict[str, Any]:
    try:
        settings = msgspec.json.decode(card.read_bytes(), type=dict[str, Any])["config"]
    except (msgspec.DecodeError, KeyError) as error:
        raise PrefdataError(
            f"{card}: does not say how this folder's model was trained; choose another --output-dir."
        ) from error
    return dict(settings)
