"""A checkpoint gives a model back whole, whatever its tensors are called on the hub, or says what is missing."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from prefdata.errors import PrefdataError
from tests.support.forests import config
from trainers import adapters, families
from trainers.checkpoints import load_weights, save_weights


def loaded(folder: Path, lora: int) -> Any:
    model = families.load_weights(families.open_model(str(folder)), torch.float32)
    if lora:
        model = adapters.add_lora(model, config(folder, folder, lora_rank=lora, lora_projector=True))
    return model


@pytest.mark.parametrize("lora", [0, 4], ids=["full", "lora"])
@pytest.mark.parametrize("kind", ["llava", "internvl", "qwen2_5_vl"])
def test_every_trained_weight_comes_back(
    kind: str, lora: int, family: Callable[[str], Path], tmp_path: Path
) -> None:
    model, again = loaded(family(kind), lora), loaded(family(kind), lora)
    for weight in model.parameters():
        if weight.requires_grad:
            torch.nn.init.normal_(weight)
    save_weights(model, tmp_path)
    load_weights(again, tmp_path)
    other = again.state_dict()
    assert all(torch.equal(tensor, other[name]) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize(("lora", "part"), [(0, "linear_1"), (4, "linear_1"), (4, "q_proj")])
def test_a_weight_that_is_missing_is_named(
    lora: int, part: str, models: dict[str, Path], tmp_path: Path
) -> None:
    from safetensors.torch import load_file, save_file

    model = loaded(models["llava"], lora)
    save_weights(model, tmp_path)
    (path,) = tmp_path.glob("*.safetensors")
    tensors = load_file(path)
    tensors.pop(next(name for name in tensors if part in name))
    save_file(tensors, path, metadata={"format": "pt"})
    with pytest.raises(PrefdataError, match=rf"1 are missing and 0 .*{part}"):
        load_weights(model, tmp_path)


def test_names_of_another_version_are_refused(models: dict[str, Path]) -> None:
    """The hub's names, which the model in memory does not have."""
    with pytest.raises(
        PrefdataError, match=r"62 are missing and 6\d have names that the model does not know"
    ):
        load_weights(loaded(models["llava"], 0), models["llava"])
