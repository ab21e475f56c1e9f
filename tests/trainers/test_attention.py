"""The forest attention against one call with a whole mask: output and gradients, with and without a window."""

import pytest
import torch

from tests.trainers.test_traps import dense
from trainers import attention

LONG, SHORT = (150, 20, 7), (5, 3, 1)
"""Trunk and branches of trees on both sides of what one masked call does."""


def layout_of(*trees: tuple[int, ...]) -> torch.Tensor:
    segments: list[tuple[int, int, int, int]] = []
    for number, lengths in enumerate(trees):
        for place, length in enumerate(lengths):
            start = segments[-1][1] + segments[-1][2] if segments else 0
            segments.append((number, start, length, int(place == 0)))
    return torch.tensor([[segments]], dtype=torch.int32)


@pytest.mark.parametrize("window", [None, 1, 9, 149, 150, 151, 1000])
def test_equals_one_call_with_a_whole_mask(window: int | None) -> None:
    layout = layout_of(LONG, SHORT, LONG)
    tokens = sum(LONG) * 2 + sum(SHORT)
    torch.manual_seed(0)
    query, key, value = (
        torch.randn(1, n, tokens, 8, dtype=torch.float64, requires_grad=True) for n in (4, 2, 2)
    )
    ours, _ = attention.forest_attention(torch.nn.Module(), query, key, value, layout, sliding_window=window)
    whole = torch.nn.functional.scaled_dot_product_attention(
        query, key, value, attn_mask=dense(layout, window), enable_gqa=True
    ).transpose(1, 2)
    assert torch.allclose(ours, whole, atol=1e-12)
    weights = torch.randn_like(ours)
    found = torch.autograd.grad((ours * weights).sum(), (query, key, value))
    wanted = torch.autograd.grad((whole * weights).sum(), (query, key, value))
    assert all(torch.allclose(one, other, atol=1e-12) for one, other in zip(found, wanted, strict=True))


def test_a_branch_makes_no_matrix_of_its_whole_tree(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing grows with the square of a long prompt."""
    monkeypatch.delattr(attention, "visible")
    schedule = attention.schedule_of(layout_of((4000, 10, 6)), torch.device("cpu"), torch.float32)
    assert [None if call.mask is None else tuple(call.mask.shape) for call in schedule.calls] == [
        None, (10, 4010), (6, 4006),
    ]  # fmt: skip
