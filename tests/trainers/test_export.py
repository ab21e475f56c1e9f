"""What is saved is the whole model under the input's names, or the run says so."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from prefdata.errors import PrefdataError
from trainers import families
from trainers.export import prove_whole
from trainers.given import tensor_names


@pytest.fixture
def saved(models: dict[str, Path], tmp_path: Path) -> tuple[Path, Any]:
    """A model and the folder it was saved to; its output layer is not tied."""
    model = families.load_weights(families.open_model(str(models["llama"])), torch.float32)
    model.save_pretrained(tmp_path)
    return tmp_path, model


def rewrite(folder: Path, change: Any) -> None:
    path = folder / "model.safetensors"
    save_file(change(load_file(path)), path, metadata={"format": "pt"})


def test_a_whole_model_passes(saved: tuple[Path, Any]) -> None:
    folder, model = saved
    names = tensor_names(folder)
    prove_whole(folder, names, model)
    prove_whole(folder, set(), model)
    prove_whole(folder, names | {"model.layers.0.self_attn.rotary_emb.inv_freq"}, model)


def test_a_lost_output_layer_is_no_tied_one(saved: tuple[Path, Any]) -> None:
    folder, model = saved
    names = tensor_names(folder)
    rewrite(folder, lambda tensors: {k: v for k, v in tensors.items() if k != "lm_head.weight"})
    with pytest.raises(PrefdataError, match=r"20 of 21 tensors .*lm_head\.weight"):
        prove_whole(folder, names, model)


def test_a_name_the_input_does_not_know_is_told(saved: tuple[Path, Any]) -> None:
    folder, model = saved
    names = tensor_names(folder)
    rewrite(folder, lambda tensors: {k.replace("norm", "scale"): v for k, v in tensors.items()})
    with pytest.raises(PrefdataError, match="names that the input does not know"):
        prove_whole(folder, names, model)
