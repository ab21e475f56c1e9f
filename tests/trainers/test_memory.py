"""The memory estimate against what autograd really keeps, and against the plain count of ZeRO's parts."""

from typing import Any

import pytest
import torch

from trainers.forest import Row
from trainers.logprobs import AnswerHead, token_logps
from trainers.memory import Estimate, Sharding, activations, estimate, gib, sharding


def llama(**settings: Any) -> Any:
    import transformers as hf

    shape: dict[str, Any] = {
        "vocab_size": 128, "hidden_size": 256, "intermediate_size": 688, "num_hidden_layers": 4,
        "num_attention_heads": 8, "num_key_value_heads": 4,
    }  # fmt: skip
    return hf.LlamaForCausalLM(hf.LlamaConfig(**shape | settings))


def row_of(tokens: int) -> Row:
    ids = torch.arange(tokens)[None] % 100
    index = torch.arange(tokens - 1)
    zeros = torch.zeros(tokens - 1, dtype=torch.long)
    return Row(
        forward={"input_ids": ids, "use_cache": False}, index=index, targets=ids[0, 1:], branch=zeros,
        pairs=torch.zeros(0, 2, dtype=torch.long), liked=torch.ones(1), trees=[],
    )  # fmt: skip


@pytest.mark.parametrize(
    "shape", [{}, {"hidden_size": 512, "intermediate_size": 1024, "num_hidden_layers": 2}]
)
def test_activations_are_what_autograd_keeps(shape: dict[str, Any]) -> None:
    model = llama(**shape)
    head = AnswerHead(model)
    row = row_of(300)
    weights = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = token_logps(model, head, row).sum()
    measured = sum(kept.values())
    loss.backward()
    found = activations(model.config, row, 4, checkpointing=False)
    assert 0.75 < found / measured < 1.33, (found, measured)


def test_checkpointing_keeps_an_input_per_layer_and_one_layer() -> None:
    config, row = llama(num_hidden_layers=16).config, row_of(300)
    assert activations(config, row, 2, checkpointing=True) < 0.2 * activations(
        config, row, 2, checkpointing=False
    )


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        (Sharding(), (4, 4, 8)),
        (Sharding(1, 4, engine=True), (2, 2, 3)),
        (Sharding(2, 4, engine=True), (2, 0.5, 3)),
        (Sharding(3, 4, engine=True), (0.5, 0.5, 3)),
        (Sharding(3, 4, True, True, engine=True), (0, 0.5, 0)),
    ],
)
def test_bytes_per_parameter(how: Sharding, expected: tuple[float, float, float]) -> None:
    """Adam on n parameters: 2 + 2 + 12 bytes with DeepSpeed in bf16, 4 + 4 + 8 in fp32, cut as ZeRO's stages do."""
    model = llama().to(torch.bfloat16 if how.engine else torch.float32)
    count = sum(parameter.numel() for parameter in model.parameters())
    found = estimate(model, row_of(10), 1 << 24, compute=torch.bfloat16, sharding=how, checkpointing=False)
    parts = (found.weights / count, found.gradients / count, found.optimizer / count)
    assert parts == pytest.approx(expected, rel=1e-3)


def test_frozen_parameters_have_neither_gradient_nor_moments() -> None:
    model = llama()
    model.model.requires_grad_(False)
    learnt = model.lm_head.weight.numel()
    found = estimate(
        model,
        row_of(10),
        1 << 24,
        compute=torch.float32,
        sharding=Sharding(),
        checkpointing=False,
    )
    assert (found.gradients, found.optimizer) == (4 * learnt, 8 * learnt)


def test_deepspeed_settings_are_read() -> None:
    zero = {"stage": 3, "offload_optimizer": {"device": "cpu"}, "offload_param": {"device": "none"}}
    assert sharding({"zero_optimization": zero}, 8) == Sharding(3, 8, True, False, engine=True)
    assert sharding(None, 2) == Sharding(processes=2)


def test_sizes_are_said_in_words() -> None:
    assert gib(3 * 2**29) == "1.5 GiB"
    said = str(Estimate(2**30, 2**20, 0, 0, 2**21))
    assert said == (
        "1.0 GiB per process (weights 1.0 GiB, gradients 1 MiB, optimizer 0 MiB, activations 0 MiB, logits 2 MiB)"
    )
