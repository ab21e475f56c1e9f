"""The head that scores answers only, neighbours in a packed row, dropout. Every family: `test_families.py`."""

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.support.forests import grow
from trainers import families, logprobs
from trainers.logprobs import token_logps


def gradients(model: Any) -> dict[str, torch.Tensor]:
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


def test_chunked_head_equals_whole(
    models: dict[str, Path], text_pairs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    grove = grow(models["llama"], text_pairs)
    row = grove.maker.make(grove.trees[:4])
    results = []
    for elements in (1 << 24, 264 * 7):
        monkeypatch.setattr(logprobs, "_CHUNK_ON_CPU", elements)
        grove.model.zero_grad()
        logps = token_logps(grove.model, grove.head, row)
        logps.sum().backward()
        results.append((logps.detach(), gradients(grove.model)["lm_head.weight"].clone()))
    assert torch.allclose(results[0][0], results[1][0], atol=1e-6)
    assert torch.allclose(results[0][1], results[1][1], atol=1e-5)


def test_a_gpu_scores_hundreds_of_tokens_of_a_large_vocabulary_at_once() -> None:
    assert logprobs.chunk_elements(torch.device("cuda")) // 152_000 > 512


def test_head_gives_ordinary_logits_unless_asked(models: dict[str, Path], text_pairs: Path) -> None:
    grove = grow(models["llama"], text_pairs)
    ids = torch.tensor([[1, 2, 3]])
    assert grove.model(input_ids=ids).logits.shape == (1, 3, 264)


def test_rows_do_not_touch_each_other(models: dict[str, Path], pairs: Path) -> None:
    """A tree's log-probabilities do not depend on its neighbours in the row."""
    grove = grow(models["llava"], pairs)
    alone_in_row = token_logps(grove.model, grove.head, grove.maker.make(grove.trees[:1]))
    among = token_logps(grove.model, grove.head, grove.maker.make(grove.trees))
    assert torch.allclose(alone_in_row, among[: len(alone_in_row)], atol=1e-6)


def test_dropout_is_set_to_zero(models: dict[str, Path]) -> None:
    model = families.load_weights(families.open_model(str(models["llama"])), torch.float32)
    model.model.layers[0].self_attn.attention_dropout = 0.1
    assert families.silence_dropout(model) == 1
    assert model.model.layers[0].self_attn.attention_dropout == 0.0
