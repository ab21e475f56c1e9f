"""Writes the trained model as a folder that plain transformers - and engines that read the same layout - can load.

Where it stands: the end of a run, on the first process. With LoRA the adapter is kept in `adapter/` and the folder
itself holds the merged model.

The decision to question: tensor names are put back to those of the input checkpoint. transformers renames some on
loading (a LLaVA vision tower loses its `vision_model.` level) and saves the new names, which other engines refuse.
"""

from pathlib import Path
from typing import Any

import torch

from prefdata.errors import EXIT_DATA, PrefdataError
from prefdata.jsonl import write_json
from prefdata.models import model_folder
from prefdata.progress import say
from trainers import adapters, families
from trainers.config import TrainConfig
from trainers.families import Opened
from trainers.given import tensor_names, weight_files

_RENAMES = (("vision_tower.", "vision_tower.vision_model."),)
"""(as transformers saves, as hub checkpoints have it), tried on names the input checkpoint does not have."""


def export(model: Any, opened: Opened, folder: Path, dtype: torch.dtype) -> None:
    """Save weights in `dtype`, config and processor to `folder`."""
    from safetensors import SafetensorError

    folder.mkdir(parents=True, exist_ok=True)
    if hasattr(model, "merge_and_unload"):
        held = [name for name, _ in model.named_modules()]
        for settings in model.peft_config.values():
            # A score head was taken off before and lies in a file of its own; the rest belongs to the adapter.
            whole = [n for n in settings.modules_to_save or () if any(name.endswith(n) for name in held)]
            settings.modules_to_save = whole or None
        model.save_pretrained(folder / "adapter")
        model = model.merge_and_unload()
    language = model.config.get_text_config()
    language._attn_implementation_internal = "sdpa"  # the forest attention exists only while training
    model.to(dtype)
    try:
        model.save_pretrained(folder)
        opened.processor.save_pretrained(folder)
        given = model_folder(opened.path)
        wanted = tensor_names(given) if given is not None else set()
        keep_names(folder, wanted)
        prove_whole(folder, wanted, model)
    except SafetensorError as error:  # what the writer makes of a full disk
        reason = " ".join(str(error).split())
        raise PrefdataError(
            f"{folder}: the model cannot be written ({reason}); free some space or choose another --output-dir.",
            exit_code=EXIT_DATA,
        ) from error


def assembled(opened: Opened, config: TrainConfig, state: dict[str, torch.Tensor]) -> Any:
    """The trained model on the CPU, whole, from all its weights by name: what ZeRO-3 has cut over processes.

    The first process does it alone: nothing here may wait for the others.
    """
    from transformers.integrations.deepspeed import unset_hf_deepspeed_config

    unset_hf_deepspeed_config()  # a model made under it would be cut again
    with torch.device("meta"):
        model = families.empty(opened)
        if config.lora_rank:
            model = adapters.add_lora(model, config)
    model.load_state_dict(state, assign=True)
    model.tie_weights()
    return model


def on_whole_weights(opened: Opened, config: TrainConfig, trained: Any) -> Any:
    """The trained adapters on the weights as they were given: those they were trained on were rounded to four bits."""
    model = adapters.add_lora(families.load_weights(opened, opened.weights_dtype), config)
    own = {name for name, parameter in trained.named_parameters() if parameter.requires_grad}
    lost = model.load_state_dict(
        {name: tensor.cpu() for name, tensor in trained.state_dict().items() if name in own}, strict=False
    )
    assert not lost.unexpected_keys, lost.unexpected_keys
    return model


def keep_names(folder: Path, wanted: set[str]) -> None:
    """Rename tensors in the saved files to the input's names, file by file, and in the index of a sharded model."""
    from safetensors.torch import load_file, save_file

    if not wanted:
        return
    renamed: dict[str, str] = {}
    for path in weight_files(folder):
        tensors = load_file(path)
        names = {name: _name(name, wanted) for name in tensors}
        if any(old != new for old, new in names.items()):
            renamed |= names
            temporary = path.with_suffix(".tmp")
            save_file(
                {names[name]: tensor for name, tensor in tensors.items()},
                temporary,
                metadata={"format": "pt"},
            )
            temporary.replace(path)
    index = folder / "model.safetensors.index.json"
    if renamed and index.is_file():
        import msgspec

        content = msgspec.json.decode(index.read_bytes())
        content["weight_map"] = {
            renamed.get(name, name): file for name, file in content["weight_map"].items()
        }
        write_json(index, content)


def prove_whole(folder: Path, wanted: set[str], model: Any) -> None:
    """Every tensor of the model is in the folder, under the name that the input gave it.

    wanted: the input's names, empty where they are not known. A name of the input may be missing for two reasons: its
    tensor is tied to another, which is saved once, or the model has no use for it.
    """
    saved = tensor_names(folder)
    held = {tensor.data_ptr() for tensor in model.state_dict().values()}
    lost, strange = wanted - saved, (saved - wanted if wanted else set())
    if len(saved) < len(held) or strange:
        raise PrefdataError(
            f"{folder}: the saved model is not whole, {len(saved)} of {len(held)} tensors are there and {len(strange)} "
            f"have names that the input does not know ({', '.join(sorted(lost | strange)[:3])}); keep the checkpoints "
            "and report this with the versions in train.json.",
            exit_code=EXIT_DATA,
        )
    # Either configuration may say it, and Qwen3-VL's text configuration has no such field.
    if any(getattr(c, "tie_word_embeddings", False) for c in (model.config, model.config.get_text_config())):
        lost = {name for name in lost if not name.endswith("lm_head.weight")}
    if lost:
        say(f"note: {len(lost)} tensors of the input have no use in this model, such as {sorted(lost)[0]}")


def _name(name: str, wanted: set[str]) -> str:
    if name in wanted:
        return name
    for saved, original in _RENAMES:
        candidate = name.replace(saved, original, 1)
        if candidate in wanted:
            return candidate
    return name
