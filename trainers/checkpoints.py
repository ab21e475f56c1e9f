"""The weights in a checkpoint: written as a run holds them, taken over whole or not at all.

Where it stands: `trainer.py` saves and loads through it wherever DeepSpeed does not keep the weights itself. The
decision to question: tensors keep the names they have in memory, where Trainer gives a model of images the names of
its hub checkpoint, does not find them again on resuming, and only warns.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from prefdata.errors import EXIT_DATA, PrefdataError
from trainers.given import weight_files


def save_weights(model: Any, folder: Path, state: dict[str, Any] | None = None) -> None:
    """Write a model's weights, or those in `state`; of a model with adapters what is trained."""
    adapted = hasattr(model, "peft_config")
    model.save_pretrained(folder, state_dict=state, **({} if adapted else {"save_original_format": False}))


def load_weights(model: Any, folder: Path) -> None:
    """Give a model what `save_weights` wrote; refuse a checkpoint that lacks a weight or has one too many."""
    if hasattr(model, "peft_config"):
        from peft import load_peft_weights, set_peft_model_state_dict

        try:
            result: Any = set_peft_model_state_dict(model, load_peft_weights(str(folder), device="cpu"))
        except KeyError as error:  # a module that is trained whole beside the adapters
            raise _not_whole(folder, [str(error.args[0])], []) from error
        trained = {name for name, weight in model.named_parameters() if weight.requires_grad}
        lost, strange = trained & set(result.missing_keys), set(result.unexpected_keys)
        if lost or strange:
            raise _not_whole(folder, lost, strange)
        return
    from safetensors.torch import load_file

    live = model.state_dict()
    found: set[str] = set()
    for path in weight_files(folder):
        tensors = load_file(path)
        found |= set(tensors)
        model.load_state_dict(tensors, strict=False)
    # A weight that is tied to another is saved once, under the name of one of them.
    there = {live[name].data_ptr() for name in found & set(live)}
    lost = {name for name in set(live) - found if live[name].data_ptr() not in there}
    if lost or found - set(live):
        raise _not_whole(folder, lost, found - set(live))


def _not_whole(folder: Path, lost: Iterable[str], strange: Iterable[str]) -> PrefdataError:
    lost, strange = sorted(lost), sorted(strange)
    return PrefdataError(
        f"{folder}: does not hold the weights of this model, {len(lost)} are missing and {len(strange)} have names "
        f"that the model does not know ({', '.join([*lost[:2], *strange[:2]])}); another version wrote it, or it is "
        "damaged: remove it to go on from an earlier one, or choose another --output-dir.",
        exit_code=EXIT_DATA,
    )
