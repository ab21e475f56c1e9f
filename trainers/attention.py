"""Attention over a forest without a mask: every token sees its own tree's trunk and its own branch, nothing else.

Where it stands: registered with transformers under the name `forest`; a packed row's layout (`forest.py`) travels as
the attention mask, an int32 tensor [1, 1, segments, 4] of (tree, start, length, is_trunk), which transformers passes
through untouched because it is 4-D. Any other mask goes to the ordinary SDPA function, so one loaded model runs both
the shared and the padded path.

The decision to question: segments of similar length are gathered into one padded batch per group instead of one call
each. Rows of short answers hold dozens of trees, and a call per segment and layer costs more than its arithmetic;
groups are cut so that padding stays below a quarter.
"""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F

from prefdata.errors import PrefdataError

NAME = "forest"
_PADDING_LIMIT = 1.25
"""Largest ratio of a group's padded size to its real size."""
_UNKNOWN = ("softcap", "s_aux", "position_bias")
"""What some models hand to their attention and this one does not do."""


@dataclass(frozen=True)
class Group:
    """Segments that are attended in one call. Indexes count tokens of the packed row; padding points at token 0."""

    queries: torch.Tensor
    """[segments, longest query]"""
    keys: torch.Tensor
    """[segments, longest key]; for a trunk the same as its queries"""
    mask: torch.Tensor | None
    """bool [segments, 1, longest query, longest key]; None = plain causal attention, right for trunks"""


@dataclass(frozen=True)
class Schedule:
    """How one packed row is attended, worked out once and used by every layer."""

    groups: tuple[Group, ...]
    place: torch.Tensor
    """[tokens] where each token's result lies in the concatenated results of the groups"""


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
    schedule = schedule_of(attention_mask, query.device, kwargs.get("sliding_window"))
    # [tokens, heads, width]: a gather of whole tokens is one contiguous copy each.
    tokens_q, tokens_k, tokens_v = (t[0].transpose(0, 1) for t in (query, key, value))
    repeats = query.shape[1] // key.shape[1]
    results = []
    for group in schedule.groups:
        q = tokens_q[group.queries].transpose(1, 2)
        k = _repeat(tokens_k[group.keys].transpose(1, 2), repeats)
        v = _repeat(tokens_v[group.keys].transpose(1, 2), repeats)
        out = F.scaled_dot_product_attention(
            q, k, v, attn_mask=group.mask, is_causal=group.mask is None, scale=scaling
        )
        results.append(out.transpose(1, 2).flatten(0, 1))
    return torch.cat(results)[schedule.place].unsqueeze(0), None


def schedule_of(layout: torch.Tensor, device: torch.device, window: int | None = None) -> Schedule:
    """The schedule of a layout, kept on the layout tensor itself: every layer of every pass asks for it.

    `window`: a token sees those less than so many tokens before it, counted along its own trunk and branch.
    """
    kept: dict[Any, Schedule] | None = getattr(layout, "_forest_schedules", None)
    if kept is None:
        kept = {}
        layout._forest_schedules = kept  # type: ignore[attr-defined]
    if (device, window) not in kept:
        kept[device, window] = _build([tuple(row) for row in layout[0, 0].tolist()], device, window)
    return kept[device, window]


def _build(segments: list[tuple[int, ...]], device: torch.device, window: int | None) -> Schedule:
    trunks = {tree: (start, length) for tree, start, length, is_trunk in segments if is_trunk}
    # (own start, own length, trunk start, trunk length); a trunk segment has no trunk before it.
    jobs = {False: [], True: []}  # type: dict[bool, list[tuple[int, int, int, int]]]
    for tree, start, length, is_trunk in segments:
        before = (0, 0) if is_trunk else trunks[tree]
        jobs[bool(is_trunk)].append((start, length, *before))
    tokens = sum(length for _, _, length, _ in segments)
    place = torch.empty(tokens, dtype=torch.long)
    groups = []
    offset = 0
    for is_trunk in (True, False):
        for members in _similar(jobs[is_trunk]):
            group = _group(members, window)
            width = group.queries.shape[1]
            for row, (start, length, _, _) in enumerate(members):
                place[start : start + length] = torch.arange(length) + offset + row * width
            offset += group.queries.numel()
            groups.append(
                Group(
                    group.queries.to(device),
                    group.keys.to(device),
                    None if group.mask is None else group.mask.to(device),
                )
            )
    return Schedule(tuple(groups), place.to(device))


def _similar(jobs: list[tuple[int, int, int, int]]) -> list[list[tuple[int, int, int, int]]]:
    """Cut segments, sorted by size, into groups whose score matrices waste little on padding."""
    groups: list[list[tuple[int, int, int, int]]] = []
    real = widest_own = widest_key = 0
    for job in sorted(jobs, key=lambda j: (j[1] * (j[1] + j[3]), j)):
        own, keys = job[1], job[1] + job[3]
        padded = max(widest_own, own) * max(widest_key, keys)
        if groups and padded * (len(groups[-1]) + 1) <= _PADDING_LIMIT * (real + own * keys):
            groups[-1].append(job)
            real += own * keys
            widest_own, widest_key = max(widest_own, own), max(widest_key, keys)
        else:
            groups.append([job])
            real, widest_own, widest_key = own * keys, own, keys
    return groups


def _group(members: list[tuple[int, int, int, int]], window: int | None) -> Group:
    """Index tensors of one group: queries padded on the right; keys are trunk, padding, own part, padding."""
    own = max(length for _, length, _, _ in members)
    trunk = max(length for _, _, _, length in members)
    queries = torch.zeros(len(members), own, dtype=torch.long)
    before = torch.zeros(len(members), trunk, dtype=torch.long)
    for row, (start, length, trunk_start, trunk_length) in enumerate(members):
        queries[row, :length] = torch.arange(start, start + length)
        before[row, :trunk_length] = torch.arange(trunk_start, trunk_start + trunk_length)
    at = torch.arange(own)
    causal = torch.ones(own, own, dtype=torch.bool).tril()
    if window is not None and window < own:
        causal &= at[:, None] - at[None, :] < window
    if trunk == 0:
        plain = window is None or window >= own
        return Group(queries, queries, None if plain else causal[None, None])
    mask = torch.zeros(len(members), 1, own, trunk + own, dtype=torch.bool)
    mask[..., trunk:] = causal
    for row, (_, _, _, trunk_length) in enumerate(members):
        seen = mask[row, 0, :, :trunk_length]
        if window is None:
            seen[:] = True
        else:
            seen[:] = trunk_length + at[:, None] - torch.arange(trunk_length)[None, :] < window
    return Group(queries, torch.cat([before, queries], dim=1), mask)


def _repeat(heads: torch.Tensor, times: int) -> torch.Tensor:
    """[segments, key heads, keys, width] -> [segments, heads, keys, width]: grouped-query attention made plain."""
    return heads if times == 1 else heads.repeat_interleave(times, dim=1)
