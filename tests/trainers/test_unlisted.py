"""Models outside the table of proven families: refused by name, let in by the self-check, or run padded."""

from pathlib import Path
from typing import Any

import pytest
import torch

from prefdata.errors import PrefdataError
from tests.support import tiny_models
from tests.support.forests import grow, ordinary_logps
from trainers import check, families
from trainers.logprobs import token_logps


def save(folder: Path, config: Any) -> Path:
    import transformers as hf

    return tiny_models.save(folder, hf.AutoModelForCausalLM.from_config(config), tiny_models.tokenizer())


@pytest.mark.parametrize("name", ["Olmo2Config", "GPT2Config"])
def test_an_unlisted_text_model_shares_when_the_self_check_proves_it(
    name: str, tmp_path: Path, text_pairs: Path
) -> None:
    """Olmo2 norms after its layers; GPT-2 has learned positions: both were never told of to this trainer."""
    import transformers as hf

    sizes: dict[str, Any] = (
        {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 512, "vocab_size": 264,
         "bos_token_id": None, "eos_token_id": 257, "attn_pdrop": 0.0, "resid_pdrop": 0.0, "embd_pdrop": 0.0}
        if name == "GPT2Config"
        else {key: value for key, value in tiny_models.text_settings().items() if key != "head_dim"}
    )  # fmt: skip
    grove = grow(save(tmp_path / "m", getattr(hf, name)(**sizes)), text_pairs)
    assert not grove.opened.proven
    assert check.sharing_holds(grove.model, grove.head, grove.trees, grove.maker, required=True)
    shared = token_logps(grove.model, grove.head, grove.maker.make(grove.trees))
    assert (shared - ordinary_logps(grove, grove.trees)).abs().max() < 1e-5


def test_an_unlisted_model_whose_layers_are_not_all_attention_runs_padded(
    tmp_path: Path, text_pairs: Path
) -> None:
    """Lfm2's convolutions look across a packed row; padded sequences are all they can be given."""
    import transformers as hf

    sizes = {key: value for key, value in tiny_models.text_settings().items() if key != "head_dim"}
    config = hf.Lfm2Config(**sizes, layer_types=["conv", "full_attention"])
    grove = grow(save(tmp_path / "m", config), text_pairs)
    assert not check.sharing_holds(grove.model, grove.head, grove.trees, grove.maker, required=False)
    padded = token_logps(grove.model, grove.head, grove.maker.plain().make(grove.trees))
    assert (padded - ordinary_logps(grove, grove.trees)).abs().max() < 1e-5


def test_an_unlisted_window_runs_padded(tmp_path: Path, text_pairs: Path) -> None:
    """Mistral's window may be longer than the rows of the self-check, which then proves nothing."""
    import transformers as hf

    config = hf.MistralConfig(**tiny_models.text_settings(), sliding_window=16)
    grove = grow(save(tmp_path / "m", config), text_pairs)
    assert not check.sharing_holds(grove.model, grove.head, grove.trees, grove.maker, required=False)
    with pytest.raises(PrefdataError, match="`mistral` has a sliding window of 16 tokens"):
        check.sharing_holds(grove.model, grove.head, grove.trees, grove.maker, required=True)
    padded = token_logps(grove.model, grove.head, grove.maker.plain().make(grove.trees))
    assert (padded - ordinary_logps(grove, grove.trees)).abs().max() < 1e-5


def test_a_window_that_no_row_reaches_is_no_obstacle(tmp_path: Path, text_pairs: Path) -> None:
    import transformers as hf

    config = hf.MistralConfig(**tiny_models.text_settings(), sliding_window=400)
    grove = grow(save(tmp_path / "m", config), text_pairs)
    assert check.sharing_holds(grove.model, grove.head, grove.trees, grove.maker, required=True)


def test_models_that_cannot_be_fed_or_trusted_are_refused_by_name(tmp_path: Path) -> None:
    import transformers as hf

    vision: dict[str, Any] = {
        "vision_config": {"model_type": "clip_vision_model"},
        "text_config": {"model_type": "gpt2"},
    }
    for name, config, sentence in (
        ("experts", hf.Qwen3MoeConfig(), "`qwen3_moe` is a mixture of experts"),
        ("mixtral", hf.MixtralConfig(), "`mixtral` is a mixture of experts"),
        ("gemma3", hf.Gemma3Config(), "model type `gemma3`"),
        ("inner", hf.LlavaConfig(**vision), "its language model `gpt2` is not proven"),
        ("t5", hf.T5Config(), "model type `t5` is not proven"),
    ):
        config.save_pretrained(tmp_path / name)
        with pytest.raises(PrefdataError, match=sentence):
            families.open_model(str(tmp_path / name))


def test_dropout_of_every_kind_is_silenced(models: dict[str, Path]) -> None:
    model = families.load_weights(families.open_model(str(models["llava"])), torch.float32)
    model.model.vision_tower.encoder.layers[0].self_attn.dropout = 0.1
    assert families.silence_dropout(model) == 1
    assert model.model.vision_tower.encoder.layers[0].self_attn.dropout == 0.0
