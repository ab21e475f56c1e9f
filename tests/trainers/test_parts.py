"""Which parts are trained, at what rate; where adapters go."""

from pathlib import Path
from typing import Any

import pytest
import torch

from prefdata.errors import PrefdataError
from tests.support.forests import config
from tests.trainers.test_train import answers, log_of, tensors, train
from trainers import adapters, families, needs, parts


@pytest.fixture
def llava(models: dict[str, Path]) -> Any:
    return families.load_weights(families.open_model(str(models["llava"])), torch.float32)


def settings(**given: Any) -> Any:
    return config(Path("m"), Path("d"), **given)


def trained(model: Any) -> set[str]:
    found = parts.parts(model)
    return {found[name] for name, parameter in model.named_parameters() if parameter.requires_grad}


def changed(before: Path, after: Path) -> set[str]:
    """Names of the tensors that a run has moved."""
    old, new = tensors(before), tensors(after)
    return {name for name in new if not torch.equal(old[name].float(), new[name].float())}


def test_every_parameter_belongs_to_a_part(llava: Any) -> None:
    found = parts.parts(llava)
    assert set(found) == {name for name, _ in llava.named_parameters()}
    for name, part in found.items():
        expected = "vision" if "vision_tower" in name else "projector" if "projector" in name else "language"
        assert part == expected, name


@pytest.mark.parametrize(
    ("frozen", "left"),
    [
        ("vision", {"projector", "language"}),
        ("vision,projector", {"language"}),
        ("vision language", {"projector"}),
        ("", {"vision", "projector", "language"}),
    ],
)
def test_frozen_parts(frozen: str, left: set[str], llava: Any) -> None:
    parts.freeze(llava, settings(freeze=frozen))
    assert trained(llava) == left


def test_the_last_layers_of_a_frozen_tower(llava: Any) -> None:
    parts.freeze(llava, settings(freeze="vision", unfreeze_vit_layers=1))
    own = [n for n, p in llava.named_parameters() if p.requires_grad and "vision_tower" in n]
    assert own
    assert all(".layers.1." in name for name in own)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"freeze": "vision projector language"}, "nothing is left to train"),
        ({"freeze": "vision", "unfreeze_vit_layers": 9}, "the vision tower has 2 layers"),
    ],
)
def test_freezing_that_cannot_be_meant(given: dict[str, Any], said: str, llava: Any) -> None:
    with pytest.raises(PrefdataError, match=said):
        parts.freeze(llava, settings(**given))


def test_a_plain_name_of_a_layer_means_the_language_model(llava: Any) -> None:
    """Both the tower and the language model have a q_proj; fc1 only the tower."""
    adapted = adapters.add_lora(llava, settings(lora_rank=2, lora_targets="q_proj, fc1"))
    homes = {
        ("vision" if "vision_tower" in name else "language", name.split(".lora_A")[0].rpartition(".")[2])
        for name, _ in adapted.named_parameters() if "lora_A" in name
    }  # fmt: skip
    assert homes == {("language", "q_proj"), ("vision", "fc1")}


@pytest.mark.parametrize(
    ("kind", "given", "said"),
    [
        (
            "llava",
            {"lora_rank": 2, "lora_targets": "q_proj,qproj"},
            "no layer is called `qproj`; .*down_proj, .*q_proj",
        ),
        ("llava", {"lora_rank": 2, "lora_targets": "mlp"}, "no layer is called `mlp`"),
        ("llava", {"freeze": "vision", "unfreeze_vit_layers": 9}, "the vision tower has 2 layers"),
        ("llama", {"freeze": "vision"}, "LlamaForCausalLM has no vision part"),
        (
            "llama",
            {"vision_learning_rate": 1e-3},
            "--vision-learning-rate 0.001: LlamaForCausalLM has no vision part",
        ),
        ("llama", {"lora_rank": 2, "lora_projector": True}, "--lora-projector: this model has no projector"),
        ("llama", {"lora_rank": 2, "lora_vision_rank": 2}, "this model has no vision tower"),
    ],
)
def test_names_that_a_model_lacks_are_told_before_any_row_is_read(
    kind: str, given: dict[str, Any], said: str, models: dict[str, Path], tmp_path: Path
) -> None:
    with pytest.raises(PrefdataError, match=said):
        train(model=models[kind], data=tmp_path / "no-such-rows.jsonl", output=tmp_path / "out", **given)


def test_a_text_model_has_one_part(models: dict[str, Path]) -> None:
    model = families.load_weights(families.open_model(str(models["llama"])), torch.float32)
    assert set(parts.parts(model).values()) == {"language"}
    with pytest.raises(PrefdataError, match="LlamaForCausalLM has no vision part"):
        parts.freeze(model, settings(freeze="vision"))


def test_parts_learn_at_their_own_rates(models: dict[str, Path], pairs: Path, tmp_path: Path) -> None:
    """AdamW's first step moves a weight by its rate, whatever its gradient."""
    train(
        model=models["llava"], data=pairs, output=tmp_path, max_steps=1, save_dtype="fp32", weight_decay=0.0,
        warmup=0.0, schedule="constant", learning_rate=1e-3, vision_learning_rate=1e-5, projector_learning_rate=1e-2,
    )  # fmt: skip
    before, after = tensors(models["llava"]), tensors(tmp_path)
    moved = {name: float((after[name] - before[name]).abs().max()) for name in after}
    for part, rate in (("language_model", 1e-3), ("vision_tower", 1e-5), ("projector", 1e-2)):
        assert max(move for name, move in moved.items() if part in name) == pytest.approx(rate, rel=0.05)
    assert log_of(tmp_path)[0]["learning_rate"] == 1e-3


def test_adapters_on_the_tower_and_a_projector_trained_in_full(
    models: dict[str, Path], pairs: Path, tmp_path: Path
) -> None:
    from safetensors.torch import load_file

    train(
        model=models["llava"], data=pairs, output=tmp_path, max_steps=2, save_dtype="fp32", learning_rate=1e-2,
        lora_rank=4, lora_vision_rank=2, lora_projector=True, lora_dropout=0.05,
    )  # fmt: skip
    moved = changed(models["llava"], tmp_path)
    assert all("proj" in name or "fc" in name or "linear_" in name for name in moved)
    for part in ("multi_modal_projector", "vision_tower", "language_model"):
        assert any(part in name for name in moved)
    assert answers(tmp_path)
    adapter = load_file(tmp_path / "adapter" / "adapter_model.safetensors")
    ranks = {("vision" in name, tensor.shape[0]) for name, tensor in adapter.items() if "lora_A" in name}
    assert ranks == {(True, 2), (False, 4)}
    assert any("multi_modal_projector" in name and "lora" not in name for name in adapter)


def test_no_adapter_on_the_output_layer(llava: Any) -> None:
    with pytest.raises(PrefdataError, match="`lm_head` is the output layer"):
        adapters.add_lora(llava, settings(lora_rank=2, lora_targets="q_proj,lm_head"))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"load_in_4bit": True}, "add --lora-rank"),
        ({"lora_projector": True}, "add --lora-rank"),
        ({"lora_rank": 4, "load_in_4bit": True}, "bitsandbytes is not installed"),
        ({"liger": True}, "liger-kernel is not installed"),
    ],
)
def test_settings_that_need_more(given: dict[str, Any], said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(needs, "find_spec", lambda name: None)
    with pytest.raises(PrefdataError, match=said):
        needs.refuse_settings(settings(**given))


def test_four_bits_are_not_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(needs, "find_spec", lambda name: needs)
    for given, said in (({"deepspeed": "zero3"}, "cannot be cut"), ({"dtype": "fp32"}, "in bf16")):
        with pytest.raises(PrefdataError, match=said):
            needs.refuse_settings(settings(lora_rank=4, load_in_4bit=True, **given))
