"""Every family: a packed row gives the log-probabilities and gradients of plain forwards by the model's own means."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.support.forests import Grove, alone
from tests.support.tiny_families import PICTURED, TEXT
from trainers import check, export, families
from trainers.logprobs import token_logps
from trainers.pixels import PixelStore
from trainers.trees import Tree

TOLERANCE = 1e-5
Planter = Callable[[str], Grove]


def gradients(model: Any) -> dict[str, torch.Tensor]:
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


def assert_equal_gradients(found: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor]) -> None:
    assert wanted
    assert found.keys() == wanted.keys()
    for name, gradient in wanted.items():
        scale = max(1.0, float(gradient.abs().max()))
        assert (found[name] - gradient).abs().max() < TOLERANCE * scale, name


def backward(logps: torch.Tensor) -> None:
    (logps * torch.linspace(-1, 1, len(logps))).sum().backward()


def lora(model: Any) -> Any:
    """Adapters that already do something: fresh ones are zero and would prove nothing."""
    from peft import LoraConfig, get_peft_model

    wrapped = get_peft_model(
        model, LoraConfig(r=2, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")
    )
    torch.manual_seed(1)
    for name, parameter in wrapped.named_parameters():
        if "lora_" in name:
            parameter.data.normal_(0, 0.3)
    return wrapped


@pytest.mark.parametrize("adapters", [False, True], ids=["full", "lora"])
@pytest.mark.parametrize("kind", TEXT + PICTURED)
def test_shared_and_padded_equal_separate_forwards(kind: str, adapters: bool, grove_of: Planter) -> None:
    grove = grove_of(kind)
    trees = grove.trees[:6]
    plain = families.load_weights(grove.opened, torch.float32)
    model = grove.model
    if adapters:
        model, plain = lora(model), lora(plain)
        model.enable_input_require_grads()
    model.gradient_checkpointing_enable({"use_reentrant": False})
    model.train()

    expected = torch.cat([logps for tree in trees for logps in alone(plain, grove, tree)])
    backward(expected)
    for maker in (grove.maker, grove.maker.plain()):
        model.zero_grad()
        found = token_logps(model, grove.head, maker.make(trees))
        backward(found)
        assert (found - expected).abs().max() < TOLERANCE
        assert_equal_gradients(gradients(model), gradients(plain))


@pytest.mark.parametrize("kind", PICTURED)
def test_each_image_is_encoded_once(kind: str, grove_of: Planter) -> None:
    """The vision tower runs once per row, on each tree's tiles or patches once; on the padded path once per answer."""
    grove = grove_of(kind)
    inner = grove.model.model
    tower = next(getattr(inner, n) for n in ("vision_tower", "vision_model", "visual") if hasattr(inner, n))
    seen: list[int] = []
    tower.register_forward_pre_hook(
        lambda _, args, kwargs: seen.append(len(args[0] if args else kwargs["pixel_values"])),
        with_kwargs=True,
    )
    join = grove.opened.family.join
    held = sum(
        pixels["pixel_values"].shape[join] for t in grove.trees if (pixels := grove.maker.pixels.load(t))
    )
    with torch.no_grad():
        token_logps(grove.model, grove.head, grove.maker.make(grove.trees))
        token_logps(grove.model, grove.head, grove.maker.plain().make(grove.trees))
    assert seen == [held, 2 * held]


@pytest.mark.parametrize("shared", [True, False], ids=["shared", "padded"])
@pytest.mark.parametrize("kind", PICTURED)
def test_dummy_image_changes_nothing(kind: str, shared: bool, grove_of: Planter) -> None:
    """A row without images: same values, same gradients, and every part of the vision tower takes part with zeros."""
    grove = grove_of(kind)
    maker = grove.maker if shared else grove.maker.plain()
    text = [tree for tree in grove.trees if not tree.images]
    plain = token_logps(grove.model, grove.head, maker.make(text))
    backward(plain)
    wanted = {name: gradient.clone() for name, gradient in gradients(grove.model).items()}

    grove.model.zero_grad(set_to_none=True)
    backward(token_logps(grove.model, grove.head, maker.make(grove.trees)))
    used = set(gradients(grove.model))  # some towers hold layers that no image reaches

    grove.model.zero_grad(set_to_none=True)
    row = maker.with_dummy().make(text)
    assert row["trees"] == text
    found = token_logps(grove.model, grove.head, row)
    backward(found)
    assert (found - plain).abs().max() < 1e-6
    got = gradients(grove.model)
    assert set(got) == used
    assert used > set(wanted)
    assert_equal_gradients({name: got[name] for name in wanted}, wanted)
    assert all(got[name].count_nonzero() == 0 for name in used - set(wanted))


def test_dummy_image_is_not_added_to_rows_with_images(grove_of: Planter) -> None:
    grove = grove_of("internvl")
    with_images = [tree for tree in grove.trees if tree.images]
    one, other = (
        m.make(with_images)["forward"]["input_ids"] for m in (grove.maker, grove.maker.with_dummy())
    )
    assert torch.equal(one, other)


@pytest.mark.parametrize("kind", PICTURED)
def test_pixels_beyond_the_budget_are_made_again_and_equal(kind: str, grove_of: Planter) -> None:
    grove = grove_of(kind)
    kept = grove.maker.make(grove.trees)["forward"]
    grove.maker.pixels._kept.clear()
    again = grove.maker.make(grove.trees)["forward"]
    assert kept.keys() == again.keys()
    assert all(torch.equal(kept[key], again[key]) for key in kept if isinstance(kept[key], torch.Tensor))


def test_an_embedded_picture_is_not_kept_beside_its_pixels(models: dict[str, Path]) -> None:
    store = PixelStore(families.open_model(str(models["llava"])))
    (picture,) = store.dummy().images
    assert isinstance(picture, bytes)
    store.run(store.opened.processor.image_token, (picture,))
    (key,) = {image for images in store._kept for image in images}
    assert len(str(key)) < 64 < len(picture)
    equal = Tree("rows.jsonl:1", (), (), (), (bytes(bytearray(picture)),))
    assert store.load(equal) is store.load(equal)


@pytest.mark.parametrize("kind", TEXT + PICTURED)
def test_self_check_passes(kind: str, grove_of: Planter) -> None:
    grove = grove_of(kind)
    assert check.sharing_holds(grove.model, grove.head, grove.trees, grove.maker, required=True)
    check.padded_holds(grove.model, grove.head, grove.trees, grove.maker.plain())


@pytest.mark.parametrize("kind", ["gemma3_text", *PICTURED])
def test_a_trained_model_is_written_whole(kind: str, grove_of: Planter, tmp_path: Path) -> None:
    grove = grove_of(kind)
    grove.head.remove()
    export.export(grove.model, grove.opened, tmp_path / "out", torch.float32)
    again = families.load_weights(families.open_model(str(tmp_path / "out")), torch.float32)
    wanted, found = grove.model.state_dict(), again.state_dict()
    assert found.keys() == wanted.keys()
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)
