"""Settings that need another setting, or a package that may not be there.

Where it stands: `launch.py` asks before torch is imported or a process started, so that a mistake costs no half minute.
"""

from importlib.util import find_spec

from prefdata.errors import PrefdataError
from trainers.config import TrainConfig


def refuse_settings(config: TrainConfig) -> None:
    """Settings that need another one, or a package that is not there."""
    refuse_tracker(config.report_to)
    needs_rank = {
        "--lora-vision-rank": config.lora_vision_rank,
        "--lora-projector": config.lora_projector,
        "--lora-dropout": config.lora_dropout,
        "--load-in-4bit": config.load_in_4bit,
    }
    for flag, value in needs_rank.items():
        if value and not config.lora_rank:
            raise PrefdataError(f"{flag}: is of use with adapters only; add --lora-rank, for example 64.")
    if config.reference != "cached" and config.stage not in ("dpo", "mpo"):
        raise PrefdataError(
            f"--reference {config.reference}: --stage {config.stage} has no reference; leave it out."
        )
    if config.load_in_4bit and find_spec("bitsandbytes") is None:
        raise PrefdataError(
            "--load-in-4bit: bitsandbytes is not installed; `pip install bitsandbytes`, or leave the flag out."
        )
    if config.load_in_4bit and config.deepspeed not in ("none", "zero1", "zero2"):
        raise PrefdataError(
            f"--load-in-4bit: four-bit weights cannot be cut over processes by --deepspeed {config.deepspeed}; "
            "use zero2, zero1 or none."
        )
    if config.load_in_4bit and config.dtype == "fp32":
        raise PrefdataError("--dtype fp32: four-bit weights are computed with in bf16; leave it out.")
    if config.liger and find_spec("liger_kernel") is None:
        raise PrefdataError(
            "--liger: liger-kernel is not installed; `pip install liger-kernel`, or leave the flag out."
        )


def refuse_tracker(name: str) -> None:
    """A tracker whose package is not installed."""
    if name != "none" and find_spec(name) is None:
        raise PrefdataError(
            f"--report-to {name}: this package is not installed; `pip install {name}`, or leave the flag out."
        )
