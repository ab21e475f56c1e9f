"""Attention over a forest without a mask: every token sees its own tree's trunk and its own branch, nothing else.

Where it stands: registered with transformers under the name `forest`; a packed row's layout (`forest.py`) travels as
the attention mask, an int32 tensor [1, 1, segments, 4] of (tree, start, length, is_trunk), which transformers passes
through untouched because it is 4-D. Any other mask goes to the ordinary SDPA function, so one loaded model runs both
the shared and the padded path.

The decision to question: one call per trunk and per branch, on views of the row. Gathering segments of similar length
into padded batches needs fewer calls, but its copies and their backward pass (`index_put`) cost more than the calls: on
a CPU that form was 1.3 times slower on long trees and 2 to 2.4 times on short ones. Short trees are one masked call.
"""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F

from prefdata.errors import PrefdataError

NAME = "forest"
_SHORT = 128
"""Tokens of a tree below which one masked call is cheaper than one for its trunk and one for each branch."""
_UNKNOWN = ("softcap", "s_aux", "position_bias")
"""What some models hand to their attention and this one does not do."""


@dataclass(frozen=True)
class Call:
    """One attention call: a piece of the row looks back at one or two pieces of it."""

    query: int
    """Number of the piece."""
    keys: tuple[int, ...]
    """The piece itself, behind its trunk where it is a branch."""
    mask: torch.Tensor | None
    """[piece, keys], added to the scores; None = plain causal attention"""


@dataclass(frozen=True)
class Schedule:
    """How one packed row is attended, worked out once and used by every layer."""

    pieces: tuple[int, ...]
    """Lengths of the pieces that the row is cut into."""
    calls: tuple[Call, ...]
    """One per piece, in order."""


def register() -> None:
    """Make `forest` known to transformers; calling it again is harmless."""
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    AttentionInterface.register(NAME, forest_attention)
    AttentionMaskInterface.register(NAME, sdpa_mask)


def install(model: Any) -> None:
    """Use the forest attention in the language model; a vision tower keeps its own."""
    register()
    model.set_attn_implementation(
        {"text_config": NAME} if "text_config" in model.config.sub_configs else NAME
    )
    if model.config.get_text_config()._attn_implementation != NAME:
        raise PrefdataError(
            f"{type(model).__name__}: its attention cannot be replaced; train it with --no-share."
        )


def forest_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """query [1, heads, tokens, width], key and value [1, key heads, tokens, width] -> [1, tokens, heads, width]."""
    if attention_mask is None or attention_mask.dtype != torch.int32:
        from transformers.integrations.sdpa_attention import sdpa_attention_forward

        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **kwargs
        )
    if dropout:
        raise PrefdataError(
            "Attention dropout cannot be used with a shared trunk; set it to 0 or use --no-share."
        )
    for name in _UNKNOWN:
        if kwargs.get(name) is not None:
            raise PrefdataError(
                f"Attention with `{name}` cannot be used with a shared trunk; use --no-share."
            )
    schedule = schedule_of(attention_mask, query.device, query.dtype, kwargs.get("sliding_window"))
    # Split and cat, because their backward passes are one copy each; a slice's would fill a whole row with zeros.
    queries, keys, values = (t.split(schedule.pieces, dim=2) for t in (query, key, value))
    repeats = query.shape[1] // key.shape[1]
    results = []
    for call in schedule.calls:
        k, v = (_joined([pieces[number] for number in call.keys]) for pieces in (keys, values))
        # With a mask, CUDA has no fused kernel for grouped heads.
        grouped = repeats > 1 and (call.mask is None or query.device.type == "cpu")
        if repeats > 1 and not grouped:
            k, v = k.repeat_interleave(repeats, dim=1), v.repeat_interleave(repeats, dim=1)
        out = F.scaled_dot_product_attention(
            queries[call.query], k, v, attn_mask=call.mask, is_causal=call.mask is None, scale=scaling,
            enable_gqa=grouped,
        )  # fmt: skip
        results.append(out.transpose(1, 2))
    return torch.cat(results, dim=1), None


def schedule_of(
    layout: torch.Tensor, device: torch.device, dtype: torch.dtype, window: int | None = None
) -> Schedule:
    """The schedule of a layout, kept on the layout tensor itself: every layer of every pass asks for it.

    `window`: a token sees those less than so many tokens before it, counted along its own trunk and branch.
    """
    kept: dict[Any, Schedule] | None = getattr(layout, "_forest_schedules", None)
    if kept is None:
        kept = {}
        layout._forest_schedules = kept  # type: ignore[attr-defined]
    key = (device, dtype, window)
    if key not in kept:
        kept[key] = _build([tuple(row) for row in layout[0, 0].tolist()], device, dtype, window)
    return kept[key]


def _build(
    segments: list[tuple[int, ...]], device: torch.device, dtype: torch.dtype, window: int | None
) -> Schedule:
    trees: dict[
        int, list[int]
    ] = {}  # lengths of trunk and branches, in the order in which they lie in the row
    for tree, _, length, _ in segments:
        trees.setdefault(tree, []).append(length)
    made: dict[Any, torch.Tensor] = {}
    """Pieces of one shape share their mask."""

    def short(trunk: int, branches: tuple[int, ...]) -> torch.Tensor:
        """The mask of a whole tree, trunk and branches."""
        shape = (trunk, branches)
        if shape not in made:
            seen = visible(trunk, branches, window)
            bias = torch.zeros(seen.shape, dtype=dtype).masked_fill_(~seen, float("-inf"))
            made[shape] = bias.to(device)
        return made[shape]

    def long(before: int, length: int) -> torch.Tensor:
        """The mask of a piece behind `before` others."""
        shape = (before, length)
        if shape not in made:
            made[shape] = causal(before, length, window, device, dtype)
        return made[shape]

    pieces: list[int] = []
    calls: list[Call] = []
    for trunk, *branches in trees.values():
        first = len(pieces)
        if branches and trunk + sum(branches) <= _SHORT:
            pieces.append(trunk + sum(branches))
            calls.append(Call(first, (first,), short(trunk, tuple(branches))))
            continue
        cut = window is not None and window < trunk
        pieces.append(trunk)
        calls.append(Call(first, (first,), long(0, trunk) if cut else None))
        for branch in branches:
            calls.append(Call(len(pieces), (first, len(pieces)), long(trunk, branch)))
            pieces.append(branch)
    return Schedule(tuple(pieces), tuple(calls))


def causal(
    before: int, length: int, window: int | None, device: torch.device, dtype: torch.dtype
) -> torch.Tensor:
    """The mask [length, before + length] of tokens behind `before` others, made where it is used and nowhere larger:
    a branch is short beside its trunk. torch's own `causal_lower_right` makes it again in every layer of a CPU."""
    hidden = torch.full((length, before + length), float("-inf"), dtype=dtype, device=device)
    if window is None:
        return hidden.triu_(before + 1)
    return hidden.triu(before + 1) + hidden.tril_(before - window)


def visible(trunk: int, branches: tuple[int, ...], window: int | None) -> torch.Tensor:
    """Which token of a tree sees which, bool [tokens, tokens]; rows look at columns."""
    tokens = trunk + sum(branches)
    own = torch.zeros(tokens, dtype=torch.long)  # 0 = trunk, then the number of the branch
    at = torch.arange(tokens)
    start = trunk
    for number, length in enumerate(branches, 1):
        own[start : start + length] = number
        at[start : start + length] = torch.arange(trunk, trunk + length)
        start += length
    back = at[:, None] - at[None, :]
    seen = (back >= 0) & ((own[None, :] == 0) | (own[:, None] == own[None, :]))
    return seen if window is None else seen & (back < window)


def _joined(pieces: list[torch.Tensor]) -> torch.Tensor:
    return pieces[0] if len(pieces) == 1 else torch.cat(pieces, dim=2)
