"""A packed row gives the log-probabilities and gradients of plain separate sequences; each guard is seen to matter."""

from pathlib import Path
from typing import Any

import pytest
import torch

from prefdata.errors import PrefdataError
from tests.support.forests import Grove, alone, grow, ordinary_logps
from trainers import attention, check, families, logprobs
from trainers.logprobs import token_logps

FAMILIES = ("llama", "qwen2", "qwen3", "llava")


def grove_of(kind: str, models: dict[str, Path], pairs: Path, text_pairs: Path) -> Grove:
    return grow(models[kind], pairs if kind == "llava" else text_pairs)


def gradients(model: Any) -> dict[str, torch.Tensor]:
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("kind", FAMILIES)
def test_shared_equals_separate_forwards(
    kind: str, models: dict[str, Path], pairs: Path, text_pairs: Path
) -> None:
    grove = grove_of(kind, models, pairs, text_pairs)
    trees = grove.trees[:6]
    grove.model.gradient_checkpointing_enable({"use_reentrant": False})
    grove.model.train()
    shared = token_logps(grove.model, grove.head, grove.maker.make(trees))
    weights = torch.linspace(-1, 1, len(shared))
    (shared * weights).sum().backward()

    plain = families.load_weights(grove.opened, torch.float32)
    expected = torch.cat([logps for tree in trees for logps in alone(plain, grove, tree)])
    (expected * weights).sum().backward()

    assert (shared - expected).abs().max() < 1e-5
    wanted = gradients(plain)
    assert wanted.keys() == gradients(grove.model).keys()
    for name, gradient in gradients(grove.model).items():
        scale = max(1.0, float(wanted[name].abs().max()))
        assert (gradient - wanted[name]).abs().max() < 1e-5 * scale, name


@pytest.mark.parametrize("kind", ["llama", "llava"])
def test_padded_path_equals_separate_forwards(
    kind: str, models: dict[str, Path], pairs: Path, text_pairs: Path
) -> None:
    """Answers end in `!`, whose id is 0: padding taken from token ids would hide real tokens."""
    grove = grove_of(kind, models, pairs, text_pairs)
    assert all(branch.ids.count(0) for tree in grove.trees for branch in tree.branches)
    padded = token_logps(grove.model, grove.head, grove.maker.plain().make(grove.trees))
    assert (padded - ordinary_logps(grove, grove.trees)).abs().max() < 1e-5


def test_padding_by_token_id_would_be_wrong(models: dict[str, Path], text_pairs: Path) -> None:
    grove = grow(models["llama"], text_pairs)
    row = grove.maker.plain().make(grove.trees[:3])
    right = token_logps(grove.model, grove.head, row)
    row["forward"]["attention_mask"] = (row["forward"]["input_ids"] != 0).long()
    assert (token_logps(grove.model, grove.head, row) - right).abs().max() > 1e-2


def test_chunked_head_equals_whole(
    models: dict[str, Path], text_pairs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    grove = grow(models["llama"], text_pairs)
    row = grove.maker.make(grove.trees[:4])
    results = []
    for elements in (1 << 24, 264 * 7):
        monkeypatch.setattr(logprobs, "_CHUNK_ELEMENTS", elements)
        grove.model.zero_grad()
        logps = token_logps(grove.model, grove.head, row)
        logps.sum().backward()
        results.append((logps.detach(), gradients(grove.model)["lm_head.weight"].clone()))
    assert torch.allclose(results[0][0], results[1][0], atol=1e-6)
    assert torch.allclose(results[0][1], results[1][1], atol=1e-5)


def test_head_gives_ordinary_logits_unless_asked(models: dict[str, Path], text_pairs: Path) -> None:
    grove = grow(models["llama"], text_pairs)
    ids = torch.tensor([[1, 2, 3]])
    assert grove.model(input_ids=ids).logits.shape == (1, 3, 264)


@pytest.mark.parametrize("fault", ["positions", "layout", "mask"])
def test_self_check_sees_faults(
    fault: str, models: dict[str, Path], pairs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Positions that do not restart, a branch that sees its neighbour, no mask at all: each is far above tolerance."""
    grove = grow(models["llava"], pairs)
    mean, worst = check.compare(grove.model, grove.head, grove.trees[:3], grove.maker)
    assert worst < 1e-5
    original = type(grove.maker).host

    def broken(self: Any, trees: Any) -> Any:
        row = original(self, trees)
        forward = row["forward"]
        if not self.share:
            return row
        if fault == "positions":
            forward["position_ids"] = torch.arange(forward["input_ids"].shape[1])[None]
        elif fault == "layout":
            layout = forward["attention_mask"]
            one = torch.tensor([[[[0, 0, forward["input_ids"].shape[1], 1]]]], dtype=torch.int32)
            forward["attention_mask"] = one.to(layout.dtype)
        else:
            forward["attention_mask"] = None
        return row

    monkeypatch.setattr(type(grove.maker), "host", broken)
    mean, _ = check.compare(grove.model, grove.head, grove.trees[:3], grove.maker)
    assert mean > 1e-3
    assert not check.sharing_holds(grove.model, grove.head, grove.trees, grove.maker, required=False)
    with pytest.raises(PrefdataError, match="differs from plain sequences"):
        check.sharing_holds(grove.model, grove.head, grove.trees, grove.maker, required=True)


def test_rows_do_not_touch_each_other(models: dict[str, Path], pairs: Path) -> None:
    """A tree's log-probabilities do not depend on its neighbours in the row."""
    grove = grow(models["llava"], pairs)
    alone_in_row = token_logps(grove.model, grove.head, grove.maker.make(grove.trees[:1]))
    among = token_logps(grove.model, grove.head, grove.maker.make(grove.trees))
    assert torch.allclose(alone_in_row, among[: len(alone_in_row)], atol=1e-6)


def test_dropout_and_sliding_windows_are_refused_in_a_forest() -> None:
    layout = torch.tensor([[[[0, 0, 3, 1]]]], dtype=torch.int32)
    heads = torch.zeros(1, 2, 3, 4)
    module = torch.nn.Module()
    with pytest.raises(PrefdataError, match="dropout"):
        attention.forest_attention(module, heads, heads, heads, layout, dropout=0.1)
    with pytest.raises(PrefdataError, match=r"[Ss]liding"):
        attention.forest_attention(module, heads, heads, heads, layout, sliding_window=2)


def test_unproven_models_are_refused(tmp_path: Path) -> None:
    import transformers as hf

    hf.GPT2Config().save_pretrained(tmp_path / "gpt2")
    with pytest.raises(PrefdataError, match="`gpt2` is not proven"):
        families.open_model(str(tmp_path / "gpt2"))
    sliding = hf.Qwen2Config(use_sliding_window=True, sliding_window=8, max_window_layers=0)
    sliding.save_pretrained(tmp_path / "sliding")
    with pytest.raises(PrefdataError, match="sliding-window"):
        families.open_model(str(tmp_path / "sliding"))


def test_dropout_is_set_to_zero(models: dict[str, Path]) -> None:
    model = families.load_weights(families.open_model(str(models["llama"])), torch.float32)
    model.model.layers[0].self_attn.attention_dropout = 0.1
    assert families.silence_dropout(model) == 1
    assert model.model.layers[0].self_attn.attention_dropout == 0.0
