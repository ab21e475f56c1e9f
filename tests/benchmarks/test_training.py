"""What the training benchmarks lean on: counted operations, compared gradients, the rival's head."""

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("trl")
pytest.importorskip("torchvision")

import torch

from benchmarks.gpu import flops, models
from benchmarks.training import rival, turns


@pytest.mark.parametrize("name", models.SAVERS)
def test_operations_are_those_that_torch_counts(name: str, tmp_path: Path) -> None:
    """Torch counts attention whole, the formula its causal half: the rest is the same to a few per cent."""
    from PIL import Image
    from torch.utils.flop_counter import FlopCounterMode
    from transformers import AutoModelForImageTextToText, AutoProcessor

    models.SAVERS[name](tmp_path, 7, tiny=True)
    model = AutoModelForImageTextToText.from_pretrained(
        tmp_path, dtype=torch.float32, attn_implementation="eager"
    )
    processor = AutoProcessor.from_pretrained(tmp_path)
    text = processor.apply_chat_template(
        [{"role": "user", "content": [{"type": "image"}]}], add_generation_prompt=True
    )
    picture = Image.new("RGB", models.picture_size(name, 7, tiny=True))
    inputs = processor(text=text, images=[picture], return_tensors="pt")
    tokens = inputs["input_ids"].shape[1]
    image_tokens = int((inputs["input_ids"] == model.config.image_token_id).sum())
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(**inputs, logits_to_keep=10)
    run = flops.Run(images=1, sequences=[(tokens, 0)], scored=10, reference=False)
    counted = counter.get_total_flops()
    found = flops.operations(model.config, run, image_tokens) / 3  # a training pass is three forwards
    whole = model.config.get_text_config()
    causal = 2.0 * whole.num_hidden_layers * whole.hidden_size * tokens**2
    assert (found + causal) / counted == pytest.approx(1, abs=0.05)


def test_gradients_of_another_loss_are_far_apart(tmp_path: Path) -> None:
    model = torch.nn.Linear(8, 4)
    given = torch.randn(16, 8, generator=torch.Generator().manual_seed(0))
    for name, scale in (("one", 1.0), ("same", 1.0), ("other", 1.01)):
        model.zero_grad()
        (scale * model(given).square().mean()).backward()
        (tmp_path / name).mkdir()
        turns.save_gradients(model, tmp_path / name / "gradients.safetensors")
    seats = [turns.Seat(name, None, end={"losses": [1.0]}) for name in ("one", "same", "other")]  # type: ignore[arg-type]
    assert turns.gaps_of(seats[0], seats[1], tmp_path) == (0.0, 0.0)
    assert turns.gaps_of(seats[0], seats[2], tmp_path)[1] == pytest.approx(0.01, rel=1e-3)


def test_the_rival_scores_answer_positions_only(monkeypatch: pytest.MonkeyPatch) -> None:
    import transformers as hf
    from trl.trainer import utils

    trl: Any = utils  # these two names are its own
    config = hf.LlamaConfig(
        vocab_size=16, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1
    )
    model = hf.LlamaForCausalLM(config)
    utils.add_fused_lm_head(model)
    ids = torch.arange(12).reshape(2, 6)
    labels = ids.clone()
    labels[:, :4] = -100
    scored = []
    original = trl._ChunkedLogProbFunction.apply

    class Watched:
        @staticmethod
        def apply(hidden: Any, *arguments: Any) -> Any:
            scored.append(len(hidden))
            return original(hidden, *arguments)

    monkeypatch.setattr(trl, "_ChunkedLogProbFunction", Watched)
    everything = model(input_ids=ids, labels=labels, fused_lm_head=True).log_probs
    monkeypatch.setattr(trl, "_use_triton", trl._use_triton)  # puts the patch below back
    rival.score_answers_only()
    answers = model(input_ids=ids, labels=labels, fused_lm_head=True).log_probs
    assert scored == [10, 4]
    assert torch.allclose(everything, answers, atol=1e-6)
