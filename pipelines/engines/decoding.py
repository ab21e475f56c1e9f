"""Drawing tokens from a transformers model: a static batch, its prompts read once for all samples.

Used by `transformers.py` alone. Two decisions to question. The loop is ours rather than `model.generate`, because
generate repeats prompt and images for every sample of a question and carries finished answers to the end of the
batch; here the prompt's cache is computed once and repeated, and finished rows leave. And a token is found by
inverse transform, one uniform number per sample and step from the sample's own generator: what a sample draws
depends on its seed, never on its neighbours or on when they finished.
"""

import inspect
from collections.abc import Sequence
from typing import Any

import torch

from pipelines.engines.base import Sampling
from pipelines.engines.cache import make_room
from prefdata.errors import EXIT_DATA, PrefdataError

# Removing finished rows copies the cache; worth it when a good part of the batch is finished.
_LEAVE_SHARE = 0.25
_UNIFORMS_AHEAD = 64


class Uniforms:
    """One stream of uniform numbers per sample, each from its own seed."""

    def __init__(self, seeds: Sequence[int]) -> None:
        self._streams = [torch.Generator().manual_seed(seed) for seed in seeds]
        self._ahead = torch.empty(0)

    def at(self, step: int, rows: torch.Tensor) -> torch.Tensor:
        """Numbers in [0, 1) of the samples `rows` [rows] for this step; steps must be asked in order."""
        place = step % _UNIFORMS_AHEAD
        if place == 0:
            drawn = [torch.rand(_UNIFORMS_AHEAD, generator=stream) for stream in self._streams]
            self._ahead = torch.stack(drawn)
        return self._ahead[rows, place]


def pick(logits: torch.Tensor, sampling: Sampling, uniform: torch.Tensor | None) -> torch.Tensor:
    """Token ids [rows] from `logits` [rows, vocabulary]; greedy without `uniform` [rows].

    Order of the filters as everywhere: temperature, top-k, top-p.
    """
    if uniform is None:
        return logits.argmax(-1)
    scores = logits.float() / sampling.temperature
    order = None
    if 0 < sampling.top_k < scores.shape[-1]:
        scores, order = scores.topk(sampling.top_k, dim=-1)
    elif sampling.top_p < 1:
        scores, order = scores.sort(dim=-1, descending=True, stable=True)
    shares = scores.softmax(-1)
    if sampling.top_p < 1:
        before = shares.cumsum(-1) - shares
        shares = shares.masked_fill(before >= sampling.top_p, 0)
    # Double precision: over a large vocabulary a sum of floats would lose rare tokens.
    reached = shares.double().cumsum(-1)
    total = reached[:, -1]
    if not bool(total.isfinite().all()):
        raise PrefdataError(
            "The model's scores are not finite numbers; try --dtype float32 or bfloat16.", exit_code=EXIT_DATA
        )
    place = (reached <= (uniform.to(total) * total)[:, None]).sum(-1, keepdim=True)
    return place[:, 0] if order is None else order.gather(-1, place)[:, 0]


@torch.inference_mode()
def decode(
    model: Any,
    inputs: dict[str, Any],
    *,
    copies: int,
    seeds: Sequence[int],
    limits: Sequence[int],
    sampling: Sampling,
    stop_ids: frozenset[int],
) -> list[tuple[list[int], bool]]:
    """Continue every prompt `copies` times: per sample (prompt by prompt) its token ids and whether it stopped.

    inputs: what the model's forward takes, prompts padded left ([prompts, tokens]). seeds, limits: per sample, the
    seed and the most new tokens. stop_ids: tokens that end an answer; they are not returned.
    """
    device = inputs["input_ids"].device
    samples = len(seeds)
    mask = inputs["attention_mask"]
    positions = model._prepare_position_ids_for_generation(inputs["input_ids"], dict(inputs))
    takes = inspect.signature(model.forward).parameters
    open_ended = any(parameter.kind is parameter.VAR_KEYWORD for parameter in takes.values())
    takes_positions = "position_ids" in takes or open_ended
    first = dict(inputs, use_cache=True)
    if takes_positions:
        first["position_ids"] = positions
    if "logits_to_keep" in takes:
        first["logits_to_keep"] = 1
    output = model(**first)
    cache = getattr(output, "past_key_values", None)
    if cache is None or not hasattr(cache, "batch_select_indices"):
        raise PrefdataError(
            "The transformers engine needs a model with a key-value cache; use --engine vllm for this one."
        )
    logits = output.logits[:, -1].repeat_interleave(copies, 0)
    if copies > 1:
        cache.batch_repeat_interleave(copies)
    make_room(cache)
    mask = mask.repeat_interleave(copies, 0)
    # Text positions are [rows, 1]; models with positions in several axes put those in front: [axes, rows, 1].
    position = positions[..., -1:].repeat_interleave(copies, -2)

    uniforms = None if sampling.temperature == 0 else Uniforms(seeds)
    answers: list[list[int]] = [[] for _ in range(samples)]
    stopped = [False] * samples
    rows = list(range(samples))  # the sample behind each row of the running batch
    open_rows = [True] * samples
    step = 0
    while True:
        uniform = None if uniforms is None else uniforms.at(step, torch.tensor(rows)).to(device)
        tokens = pick(logits, sampling, uniform)
        for row, (sample, token) in enumerate(zip(rows, tokens.tolist(), strict=True)):
            if not open_rows[row]:
                continue
            if token in stop_ids:
                stopped[sample], open_rows[row] = True, False
                continue
            answers[sample].append(token)
            open_rows[row] = len(answers[sample]) < limits[sample]
        going = sum(open_rows)
        if not going:
            return list(zip(answers, stopped, strict=True))
        if going <= (1 - _LEAVE_SHARE) * len(rows):
            kept = [row for row, is_open in enumerate(open_rows) if is_open]
            index = torch.tensor(kept, device=device)
            cache.batch_select_indices(index)
            tokens, mask = tokens[index], mask[index]
            position = position.index_select(-2, index)
            rows, open_rows = [rows[row] for row in kept], [True] * going
        mask = torch.cat([mask, mask.new_ones(len(rows), 1)], -1)
        position = position + 1
        step += 1
        following = {
            "input_ids": tokens[:, None],
            "attention_mask": mask,
            "past_key_values": cache,
            "use_cache": True,
        }
        if takes_positions:
            following["position_ids"] = position
        logits = model(**following).logits[:, -1]
