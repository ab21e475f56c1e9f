"""Settings that do nothing as they stand, that need another one, or a package that may not be there.

Where it stands: `launch.py` asks before torch is imported or a process started, so that a mistake costs no half minute.
The decision to question: a setting that would be ignored is refused, not warned of. Whoever gives `--lora-alpha`
without `--lora-rank` believes that adapters are trained, and finds out from a model that took all parameters. A value
equal to the default is as good as not given.
"""

import os
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any, Literal, NamedTuple, get_args

import msgspec

from prefdata.cli.config import read_config
from prefdata.errors import PrefdataError
from prefdata.progress import say
from trainers import recipe, zerofile
from trainers.config import Stage, TrainConfig
from trainers.filters import make_sieve

Part = Literal["vision", "projector", "language"]
"""The parts of a model; `parts.py` finds them in one."""


class Use(NamedTuple):
    """Where a setting does anything: in these stages (none named = in all), and only where `met` says so."""

    stages: tuple[Stage, ...] = ()
    met: Callable[[TrainConfig], bool] = lambda config: True
    without: str = ""
    """What it does nothing without, as the error says it."""


_PAIRS: tuple[Stage, ...] = ("dpo", "mpo")
_NEEDS_RANK = "adapters (add --lora-rank, for example 64)"


def _adapters(stages: tuple[Stage, ...] = ()) -> Use:
    return Use(stages, lambda config: config.lora_rank > 0, _NEEDS_RANK)


def _trains(part: str, flag: str, own: Callable[[TrainConfig], object], unless: str = "") -> Use:
    """A rate of a part: frozen by name, or by adapters that are elsewhere, it moves nothing."""

    def met(config: TrainConfig) -> bool:
        if config.lora_rank:
            return bool(own(config))
        return part not in config.freeze or bool(unless and getattr(config, unless))

    return Use(met=met, without=f"a {part} part that is trained (see --freeze and, with --lora-rank, {flag})")


_USES = {
    "beta": Use(_PAIRS),
    "dpo_loss": Use(_PAIRS),
    "label_smoothing": Use(_PAIRS),
    "dpo_weight": Use(("mpo",)),
    "bco_weight": Use(("mpo",)),
    "sft_weight": Use(("mpo",)),
    "bco_delta": Use(
        ("mpo",),
        lambda c: c.compat == "none" or (c.compat, c.bco_delta) == ("internvl", "cumulative"),
        "--compat none, for --compat decides the delta",
    ),
    "bco_decay": Use(
        ("mpo",), lambda c: c.bco_delta == "ema" and c.compat == "none", "--bco-delta ema and --compat none"
    ),
    "sft_normalise": Use(("sft", "mpo")),
    "pooling": Use(("reward",)),
    "reward_token": Use(("reward",), lambda c: c.pooling == "token", "--pooling token"),
    "reward_loss": Use(("reward",)),
    "margin_weight": Use(("reward",)),
    "centring_weight": Use(("reward",)),
    "score_penalty": Use(("reward",)),
    "penalty_weight": Use(("reward",), lambda c: c.score_penalty != "none", "--score-penalty"),
    "length_unit": Use(
        met=lambda c: bool(c.max_length_ratio or c.max_chosen_ratio),
        without="--max-length-ratio or --max-chosen-ratio",
    ),
    "require_share": Use(met=lambda c: c.share, without="sharing, which --no-share switches off"),
    "lora_alpha": _adapters(),
    "lora_targets": _adapters(),
    "lora_dropout": _adapters(),
    "lora_projector": _adapters(),
    "lora_vision_rank": _adapters(),
    "lora_vision_alpha": Use(met=lambda c: c.lora_vision_rank > 0, without="--lora-vision-rank"),
    "load_in_4bit": _adapters(),
    "vision_learning_rate": _trains(
        "vision", "--lora-vision-rank", lambda c: c.lora_vision_rank, "unfreeze_vit_layers"
    ),
    "projector_learning_rate": _trains("projector", "--lora-projector", lambda c: c.lora_projector),
    "reference": Use(_PAIRS),
    "reference_cache": Use(
        _PAIRS,
        lambda c: c.reference == "cached" or (c.reference == "online" and bool(c.eval_data or c.eval_share)),
        "--reference cached",
    ),
}
"""By the name of the field. What is not here is of use in every run."""


def warn_of_rate(config: TrainConfig) -> None:
    """Adapters at the learning rate of a recipe that trains all parameters: they would hardly move."""
    if config.recipe is None or not config.lora_rank:
        return
    published = read_config(recipe.path(config.recipe), TrainConfig)
    if not published.get("lora_rank") and config.learning_rate == published.get("learning_rate"):
        say(
            f"warning: --learning-rate {config.learning_rate:g} is that of --recipe {config.recipe}, which trains all "
            "parameters; adapters usually need a far higher one, for example --learning-rate 1e-4"
        )


def refuse_settings(config: TrainConfig) -> None:
    """Settings that do nothing, need another one, or a package that is not there."""
    refuse_tracker(config.report_to)
    _refuse_idle(config)
    _refuse_parts(config)
    _refuse_evaluation(config)
    make_sieve(config, len)
    refuse_division(config.batch_size, int(os.environ.get("WORLD_SIZE", config.nproc)))
    cut = zerofile.stage(config.deepspeed)
    if config.compat == "internvl" and config.stage != "mpo":
        raise PrefdataError(
            f"--compat internvl: is the arithmetic of InternVL's mpo, and this is --stage {config.stage}; use --stage "
            "mpo, or --compat trl for the mean of micro-batches alone."
        )
    if config.load_in_4bit and find_spec("bitsandbytes") is None:
        raise PrefdataError(
            "--load-in-4bit: bitsandbytes is not installed; `pip install bitsandbytes`, or leave the flag out."
        )
    if config.load_in_4bit and cut > 2:
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


def refuse_division(batch_size: int, processes: int) -> None:
    """A step that cannot be dealt to all processes alike."""
    if batch_size % processes:
        raise PrefdataError(
            f"--batch-size {batch_size} cannot be divided over {processes} processes; choose a multiple of {processes}."
        )


def named_parts(value: str, flag: str) -> list[Part]:
    """The parts in a list such as `vision,projector`."""
    found = value.replace(",", " ").split()
    for name in found:
        if name not in get_args(Part):
            raise PrefdataError(f"{flag} {value}: `{name}` is none of {', '.join(get_args(Part))}.")
    return [part for part in get_args(Part) if part in found]


def _refuse_parts(config: TrainConfig) -> None:
    frozen = named_parts(config.freeze, "--freeze")
    layers = config.unfreeze_vit_layers
    if config.lora_rank and (frozen or layers):
        given = [f"--freeze {config.freeze}"] * bool(frozen) + [f"--unfreeze-vit-layers {layers}"] * bool(
            layers
        )
        raise PrefdataError(
            f"{' '.join(given)}: with --lora-rank everything but the adapters is frozen; leave it out, and train the "
            "tower with --lora-vision-rank."
        )
    if layers and "vision" not in frozen:
        raise PrefdataError(
            f"--unfreeze-vit-layers {layers}: the whole tower is trained; add --freeze vision."
        )


def _refuse_evaluation(config: TrainConfig) -> None:
    held = config.eval_data or config.eval_share
    if config.eval_steps and not held:
        raise PrefdataError(f"--eval-steps {config.eval_steps} needs --eval-data or --eval-share.")
    if held and config.stage == "sft":
        raise PrefdataError("--stage sft prefers no answer, so nothing can be evaluated; leave --eval-* out.")
    if config.eval_data and config.eval_share:
        raise PrefdataError("--eval-data and --eval-share both name held-out pairs; give one of them.")


def _refuse_idle(config: TrainConfig) -> None:
    defaults = {field.name: field.default for field in msgspec.structs.fields(TrainConfig)}
    for name, use in _USES.items():
        value = getattr(config, name)
        if value == defaults[name]:
            continue
        if use.stages and config.stage not in use.stages:
            raise PrefdataError(
                f"{_given(name, value)}: does nothing with --stage {config.stage}, only with "
                f"{' or '.join(use.stages)}; {_remedy(defaults[name])}."
            )
        if not use.met(config):
            raise PrefdataError(
                f"{_given(name, value)}: does nothing without {use.without}; {_remedy(defaults[name])}."
            )


def _given(name: str, value: Any) -> str:
    flag = "--" + name.replace("_", "-")
    if isinstance(value, bool):
        return flag
    return f"{flag} {value:g}" if isinstance(value, float) else f"{flag} {value}"


def _remedy(default: Any) -> str:
    """A recipe or a file may have set it, so that leaving the flag out would not do."""
    return "leave it out" if default is None or isinstance(default, bool) else f"leave it at {default}"
