"""DeepSpeed's JSON: a shipped one by its name, or a user's own, made to agree with the flags.

Where it stands: `needs.py` reads it before anything starts, so that a wrong name or file costs no tokenising;
`settings.py` hands it to Trainer. The decision to question: what flags decide is set to "auto" in a user's file, and
said. Trainer would end in a list of mismatches otherwise, after all rows were tokenised.
"""

from importlib.resources import files
from pathlib import Path
from typing import Any

import msgspec

from prefdata.errors import PrefdataError

_DECIDED = {
    "train_batch_size": "--batch-size",
    "train_micro_batch_size_per_gpu": "--max-tokens",
    "gradient_accumulation_steps": "--max-tokens",
    "gradient_clipping": "--max-grad-norm",
}
"""Keys whose values follow from flags."""


def read(name: str) -> tuple[dict[str, Any] | None, list[str]]:
    """(settings, None without DeepSpeed; what flags have decided otherwise than the file says)."""
    if name == "none":
        return None, []
    shipped = files("trainers") / "zero" / f"{name}.json"
    text = shipped.read_bytes() if shipped.is_file() else _read_user_file(name)
    try:
        settings: dict[str, Any] = msgspec.json.decode(text, type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise PrefdataError(f"--deepspeed {name}: not a JSON object ({error}).") from error
    if "optimizer" in settings or "scheduler" in settings:
        block = "optimizer" if "optimizer" in settings else "scheduler"
        raise PrefdataError(
            f"--deepspeed {name}: has its own `{block}`, which flags such as --learning-rate decide; remove that block."
        )
    for key in ("fp16", "bf16"):
        if not isinstance(settings.get(key, {}), dict):
            raise PrefdataError(
                f'--deepspeed {name}: `{key}` is no block; write "{key}": {{"enabled": "auto"}}.'
            )
    if settings.get("fp16", {}).get("enabled", False) is True:
        raise PrefdataError(
            f"--deepspeed {name}: has fp16 enabled, which this trainer does not compute in; remove that block, and "
            "choose bf16 or fp32 with --dtype."
        )
    return settings, _agree(settings)


def stage(name: str) -> int:
    """The ZeRO stage behind a name or a file; 0 without DeepSpeed."""
    settings, _ = read(name)
    return int(((settings or {}).get("zero_optimization") or {}).get("stage", 0))


def _agree(settings: dict[str, Any]) -> list[str]:
    """Leave to the flags what they decide; says what that was."""
    said = []
    for key, flag in _DECIDED.items():
        if settings.get(key, "auto") != "auto":
            said.append(f"{key} {settings[key]} (see {flag})")
            settings[key] = "auto"
    if "bf16" in settings and settings["bf16"].get("enabled", "auto") != "auto":
        settings["bf16"] = settings["bf16"] | {"enabled": "auto"}  # said by --dtype
    return said


def _read_user_file(name: str) -> bytes:
    path = Path(name)
    if not path.is_file():
        raise PrefdataError(
            f"--deepspeed {name}: neither none, zero1, zero2, zero3, zero3-offload nor a file; name one of these, or "
            "a DeepSpeed JSON file."
        )
    return path.read_bytes()
