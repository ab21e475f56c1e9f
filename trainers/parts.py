"""The parts of a model - vision tower, projector, language model - and which of them are trained, how fast.

Where it stands: `run.py` freezes parts before adapters are added; `trainer.py` asks for the optimiser's groups. The
decision to question: the vision tower and the language model are what transformers calls the image encoder and the
decoder, and the projector is all the rest; the mergers that Qwen-VL keeps inside its tower count as projector, as in
every recipe.
"""

from collections.abc import Sequence
from typing import Any

import torch

from prefdata.errors import PrefdataError
from trainers.config import TrainConfig
from trainers.needs import Part, named_parts


def parts(model: Any) -> dict[str, Part]:
    """The part of every parameter, by its name in `model`, which may be wrapped by PEFT."""
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    names = {id(module): name for name, module in model.named_modules()}
    tower = base.get_encoder(modality="image")
    vision = names[id(tower)] + "." if tower is not base and id(tower) in names else None
    language = [names[id(module)] for module in (base.get_decoder(), base.get_output_embeddings())]

    def part(name: str) -> Part:
        if vision is not None and name.startswith(vision):
            return "projector" if "merger" in name else "vision"
        return "language" if vision is None or name.startswith(tuple(language)) else "projector"

    return {name: part(name) for name, _ in model.named_parameters()}


def freeze(model: Any, config: TrainConfig, kept: Sequence[str] = ()) -> None:
    """Take the named parts out of training, but for the last layers of the tower that are to be trained.

    kept: names of modules that are always trained, such as a score head.
    """
    frozen = named_parts(config.freeze, "--freeze")
    layers = _last_layers(model, config) if config.unfreeze_vit_layers else ()
    found = parts(model)
    for part in frozen:
        if part not in found.values():
            raise PrefdataError(f"--freeze {config.freeze}: {type(model).__name__} has no {part} part.")
    for name, parameter in model.named_parameters():
        if found[name] in frozen and not name.startswith(tuple(kept)):
            parameter.requires_grad_(False)
    for layer in layers:
        layer.requires_grad_(True)
    if not kept and not any(parameter.requires_grad for parameter in model.parameters()):
        raise PrefdataError(f"--freeze {config.freeze}: nothing is left to train; freeze less.")


def refuse_names(model: Any, config: TrainConfig, kept: Sequence[str] = ()) -> None:
    """Parts and layers that are named in the settings and not in the model, which may be without its weights."""
    freeze(model, config, kept)
    found = set(parts(model).values())
    rates: dict[Part, float] = {
        "vision": config.vision_learning_rate,
        "projector": config.projector_learning_rate,
    }
    for part, rate in rates.items():
        if rate and part not in found:
            raise PrefdataError(
                f"--{part}-learning-rate {rate:g}: {type(model).__name__} has no {part} part; leave it out."
            )


def _last_layers(model: Any, config: TrainConfig) -> Sequence[torch.nn.Module]:
    count = config.unfreeze_vit_layers
    tower = model.get_encoder(modality="image")
    lists = [m for m in tower.modules() if isinstance(m, torch.nn.ModuleList)] if tower is not model else []
    layers = max(lists, key=len, default=torch.nn.ModuleList())
    if count > len(layers):
        raise PrefdataError(f"--unfreeze-vit-layers {count}: the vision tower has {len(layers)} layers.")
    return list(layers)[-count:]


def projectors(model: Any) -> list[str]:
    """Names of the outermost modules that hold the projector."""
    found = parts(model)
    held = {
        name: {found[own] for own in found if own.startswith(f"{name}.")}
        for name, _ in model.named_modules()
        if name
    }
    whole = [name for name, inside in held.items() if inside == {"projector"}]
    return [name for name in whole if not any(name.startswith(f"{other}.") for other in whole)]


def groups(model: Any, decayed: Sequence[str], config: TrainConfig) -> list[dict[str, Any]]:
    """The optimiser's groups: by part where parts have rates of their own, with and without weight decay.

    decayed: names of the parameters with weight decay. The language model comes first, for its rate is the one logged.
    """
    rates = {
        "language": config.learning_rate,
        "vision": config.vision_learning_rate or config.learning_rate,
        "projector": config.projector_learning_rate or config.learning_rate,
    }
    found, decays = parts(model), set(decayed)
    made: dict[tuple[float, bool], dict[str, Any]] = {}
    for part, rate in rates.items():
        for name, parameter in model.named_parameters():
            if found[name] == part and parameter.requires_grad:
                decay = config.weight_decay if name in decays else 0.0
                group = made.setdefault(
                    (rate, name in decays), {"params": [], "lr": rate, "weight_decay": decay}
                )
                group["params"].append(parameter)
    return list(made.values())
