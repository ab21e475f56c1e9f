"""What a model folder may hold that is not trained: adapters that are not merged, a head of its own, code of its own.

Where it stands: `launch.py` asks before anything is imported or started, `families.py` before and after loading. The
decision to question: all are refused instead of mended. An adapter can be merged in more than one way, which of two
output layers is meant only the model's maker knows, and training the wrong one gives numbers that look like learning.
Code that came with a model runs with the rights of whoever trains, so it is never run.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from prefdata.errors import PrefdataError
from prefdata.models import model_folder

HEAD_FILE = "score_head.safetensors"
"""The score head of a reward model lies beside its weights and is none of them."""

OWN_CODE = (
    "this trainer runs no code from a model folder; take a copy in a layout that transformers knows itself"
)
"""What is said of a model, a processor or a tokenizer that needs its own code."""

_ROWS = 256
"""Rows of two large matrices that are compared: trained ones differ in all."""


def refuse_own_code(name: str, settings: Mapping[str, Any]) -> None:
    """A model whose config.json, given as `settings`, says that its class is code beside it."""
    kind = settings.get("model_type")
    if kind == "internvl_chat":
        raise PrefdataError(
            f"{name}: is in InternVL's original layout (model type `internvl_chat`); train takes the -hf one, such as "
            "OpenGVLab/InternVL3-8B-hf."
        )
    if "auto_map" not in settings:
        return
    # It imports torch, which few models cost before their data is looked at.
    from transformers import CONFIG_MAPPING

    if kind not in CONFIG_MAPPING:
        raise PrefdataError(f"{name}: model type `{kind}` is code of its own (auto_map), and {OWN_CODE}.")


def settings_of(name: str, folder: Path) -> dict[str, Any]:
    """The config.json of a model folder; empty where there is none, as beside an adapter."""
    path = folder / "config.json"
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, Any]) if path.is_file() else {}
    except msgspec.DecodeError as error:
        raise PrefdataError(
            f"{name}: its config.json is not valid ({error}); copy the model again."
        ) from error


def refuse_adapter(name: str, folder: Path) -> None:
    """A folder with an adapter that waits for its base model, or with LoRA tensors between the weights."""
    if (folder / "adapter_config.json").is_file():
        raise PrefdataError(
            f"{name}: is a LoRA adapter, not a model; merge it into its base model first (peft's `merge_and_unload`; "
            "a model trained here lies merged in the folder above its `adapter/`)."
        )
    tensor = next((tensor for tensor in tensor_names(folder) if ".lora_A." in tensor), None)
    if tensor is not None:
        raise PrefdataError(
            f"{name}: holds LoRA tensors that are not merged, such as {tensor}; merge them into the weights first."
        )


def tensor_names(folder: Path) -> set[str]:
    """Names of all tensors in a folder's safetensors files; empty when there are none to read."""
    from safetensors import safe_open

    names: set[str] = set()
    for path in weight_files(folder):
        with safe_open(path, framework="np") as tensors:
            names |= set(tensors.keys())
    return names


def weight_files(folder: Path) -> list[Path]:
    """The files of the model itself: a score head lies beside them."""
    return sorted(path for path in folder.glob("*.safetensors") if path.name != HEAD_FILE)


def refuse_untied(name: str, path: str, model: Any) -> None:
    """A model whose config ties the output layer to the embedding, while its files hold another one."""
    folder = model_folder(path)
    # Not whether they are tied now: transformers unties such a pair in silence, and under ZeRO-3 it does not.
    if folder is None or not getattr(model.config, "tie_word_embeddings", False):
        return
    heads = [one for one in tensor_names(folder) if one.endswith("lm_head.weight")]
    embeddings = [one for one in tensor_names(folder) if one.endswith("embed_tokens.weight")]
    if len(heads) == len(embeddings) == 1 and not _same(folder, heads[0], embeddings[0]):
        raise PrefdataError(
            f"{name}: config.json ties the output layer to the embedding (tie_word_embeddings), but {heads[0]} holds "
            "other values; set tie_word_embeddings to false there, or remove that tensor."
        )


def refuse_missing_head(name: str, missing: list[str]) -> None:
    """The reverse: a model whose config wants an output layer of its own that its files lack."""
    if any(not one.endswith("lm_head.weight") for one in missing):
        return
    raise PrefdataError(
        f"{name}: config.json says that the output layer is not tied to the embedding (tie_word_embeddings), but the "
        f"weights lack {missing[0]}; set tie_word_embeddings to true there, or give the whole model."
    )


def _same(folder: Path, one: str, other: str) -> bool:
    """Whether two matrices of a folder agree in evenly spread rows."""
    import torch

    first, second = _rows(folder, one), _rows(folder, other)
    return first.shape == second.shape and bool(torch.equal(first, second))


def _rows(folder: Path, name: str) -> Any:
    from safetensors import safe_open

    for path in weight_files(folder):
        with safe_open(path, framework="pt") as tensors:
            if name in tensors.keys():  # noqa: SIM118 - not a mapping
                matrix = tensors.get_slice(name)
                return matrix[:: max(1, matrix.get_shape()[0] // _ROWS)]
    raise AssertionError(f"{name} was listed")
