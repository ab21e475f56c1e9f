"""Log-probabilities of answer tokens only, in fp32, in chunks, computed inside the model's own `lm_head`.

Where it stands: `token_logps` is the one way a row is run, for the policy, the reference and the self-check.
The decision to question: the head is replaced on the instance for the time of training. It then picks the scored
positions and returns their log-probabilities [1, scored, 1] where the model expects logits, so that no
[tokens, vocabulary] tensor exists; being called once per forward *inside* the module, it also works where a
partitioned weight (ZeRO-3) is whole only there. Models that change logits after the head would be wrong: the
self-check compares with the ordinary logits.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch.utils.checkpoint import checkpoint

from prefdata.errors import EXIT_DATA, PrefdataError
from trainers.forest import Row

_CHUNK_ON_CPU, _CHUNK_ON_GPU = 1 << 24, 1 << 27
"""Logits held at once: 64 MB in fp32, 512 MB on a GPU. With a vocabulary of 152 thousand, 64 MB are 110 tokens."""


def chunk_elements(device: torch.device) -> int:
    """How many logits the head makes at once."""
    return _CHUNK_ON_CPU if device.type == "cpu" else _CHUNK_ON_GPU


class AnswerHead:
    """The replaced head of one model. `want` sets what the next forward scores; None gives ordinary logits."""

    def __init__(self, model: Any) -> None:
        self.module = model.get_output_embeddings()
        if self.module is None:
            raise PrefdataError(f"{type(model).__name__}: has no language-model head to train.")
        self._original: Callable[[torch.Tensor], torch.Tensor] = self.module.forward
        self._wanted: tuple[torch.Tensor, torch.Tensor] | None = None
        self.module.forward = self._forward

    def remove(self) -> None:
        """Give the model its own head back."""
        self.module.forward = self._original

    def want(self, index: torch.Tensor, targets: torch.Tensor) -> None:
        """Score `targets` at the flattened positions `index` in the next forward."""
        self._wanted = (index, targets)

    def forget(self) -> None:
        """Give ordinary logits again, whether or not the last wish was met."""
        self._wanted = None

    def _forward(self, hidden: torch.Tensor) -> torch.Tensor:
        if self._wanted is None:
            return self._original(hidden)
        (index, targets), self._wanted = self._wanted, None
        scored = hidden.flatten(0, -2).index_select(0, index)
        size = max(1, chunk_elements(hidden.device) // self.module.weight.shape[0])
        if len(index) <= size:
            return self._logps(scored, targets)[None, :, None]
        parts = [
            # Recomputed in the backward pass, so one chunk's logits live at a time.
            checkpoint(self._logps, part, wanted, use_reentrant=False)
            for part, wanted in zip(scored.split(size), targets.split(size), strict=True)
        ]
        return torch.cat(parts)[None, :, None]

    def _logps(self, hidden: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        logits = self._original(hidden).float()
        picked: torch.Tensor = logits.gather(1, targets[:, None])[:, 0]
        return picked - logits.logsumexp(1)


def token_logps(model: Any, head: AnswerHead, row: Row) -> torch.Tensor:
    """Log-probabilities [supervised] of a row's supervised tokens, fp32."""
    head.want(row["index"], row["targets"])
    try:
        out: torch.Tensor = model(**row["forward"]).logits
    except ValueError as error:
        if "image tokens do not match" not in str(error):
            raise
        places = ", ".join(tree.place for tree in row["trees"][:8])
        raise PrefdataError(
            f"The model makes other image features than the rows {places} have image tokens for ({error}); its "
            "processor and its weights do not belong together.",
            exit_code=EXIT_DATA,
        ) from error
    return out[0, :, 0].float()


def branch_sums(logps: torch.Tensor, row: Row) -> torch.Tensor:
    """Sum token log-probabilities [supervised] over each branch: [branches], fp64.

    A long answer's sum is in the hundreds, where fp32 steps are as large as the first rewards.
    """
    sums = torch.zeros(len(row["liked"]), dtype=torch.float64, device=logps.device)
    return sums.index_add(0, row["branch"], logps.double())
