"""Which models the forest is proven for, and how each is loaded and fed.

Where it stands: `run.py` opens the model here; `build.py` and `forest.py` ask for the image token and the pixel inputs.
The decision to question: a list of proven `model_type`s instead of trying anything. Wrong position ids or a dropped
sliding window change log-probabilities by amounts too small to notice, so a family joins the list with its test.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from prefdata.errors import PrefdataError
from prefdata.models import resolve_model

TEXT_FAMILIES = ("llama", "qwen2", "qwen3")
"""Decoders with one rotary position per token and full attention."""

IMAGE_FAMILIES = {"llava": ("pixel_values",)}
"""Image-text models with [1, tokens] positions, and the pixel inputs that concatenate over trees."""


@dataclass(frozen=True)
class Opened:
    """What turns text and images into a model's inputs, and what is known about it before its weights are read."""

    name: str
    path: str
    config: Any
    processor: Any
    """The processor of an image-text model, the tokenizer of a text model."""
    tokenizer: Any
    pixel_keys: tuple[str, ...]
    image_token_id: int | None
    end_ids: frozenset[int]
    """Tokens that may end an assistant turn."""
    max_length: int

    @property
    def takes_images(self) -> bool:
        """Whether rows with images can be trained."""
        return self.image_token_id is not None

    @property
    def weights_dtype(self) -> torch.dtype:
        """The type in which the model's weights are stored."""
        dtype = getattr(self.config, "dtype", None) or self.config.get_text_config().dtype
        if isinstance(dtype, str):
            dtype = getattr(torch, dtype.removeprefix("torch."), None)
        return dtype if isinstance(dtype, torch.dtype) else torch.float32

    @property
    def pad_id(self) -> int:
        """Any valid token will do: padding is masked by length."""
        pad = self.tokenizer.pad_token_id
        return int(pad if pad is not None else self.tokenizer.eos_token_id)

    def adds_special(self, text: str) -> bool:
        """Whether the tokenizer should add its own special tokens to a rendered chat, as transformers decides it."""
        begins = self.tokenizer.bos_token
        return self.takes_images and not (begins is not None and text.startswith(begins))


def open_model(name: str) -> Opened:
    """Read everything about a model but its weights; unproven models are refused."""
    import transformers as hf

    path = resolve_model(name)
    config = _in_a_sentence(name, lambda: hf.AutoConfig.from_pretrained(path))
    kind = config.model_type
    text_config = config.get_text_config()
    _refuse_unproven(name, kind, text_config)
    images = kind in IMAGE_FAMILIES
    processor = _in_a_sentence(
        name, lambda: (hf.AutoProcessor if images else hf.AutoTokenizer).from_pretrained(path)
    )
    tokenizer = processor.tokenizer if images else processor
    if not getattr(processor, "chat_template", None):
        raise PrefdataError(f"{name}: has no chat template; add a chat_template.jinja to the model folder.")
    if tokenizer.eos_token_id is None:
        raise PrefdataError(
            f"{name}: its tokenizer names no end-of-text token; set eos_token in tokenizer_config.json."
        )
    return Opened(
        name=name,
        path=path,
        config=config,
        processor=processor,
        tokenizer=tokenizer,
        pixel_keys=IMAGE_FAMILIES.get(kind, ()),
        image_token_id=int(config.image_token_id) if images else None,
        end_ids=_end_ids(path, tokenizer),
        max_length=int(getattr(text_config, "max_position_embeddings", 0) or 1 << 30),
    )


def load_weights(opened: Opened, dtype: torch.dtype) -> Any:
    """The model in `dtype`, whole: a checkpoint that lacks tensors is refused."""
    import transformers as hf

    loader = hf.AutoModelForImageTextToText if opened.takes_images else hf.AutoModelForCausalLM
    model, report = _in_a_sentence(
        opened.name,
        lambda: loader.from_pretrained(
            opened.path, dtype=dtype, attn_implementation="sdpa", output_loading_info=True
        ),
    )
    missing = sorted(report["missing_keys"])
    if missing:
        raise PrefdataError(
            f"{opened.name}: the weights lack {len(missing)} tensors such as {missing[0]}; a whole model is needed."
        )
    return model


def empty(opened: Opened) -> Any:
    """A model of the same structure without its weights."""
    import transformers as hf

    loader: Any = hf.AutoModelForImageTextToText if opened.takes_images else hf.AutoModelForCausalLM
    return loader.from_config(opened.config)


def silence_dropout(model: torch.nn.Module) -> int:
    """Set every dropout to 0 and count them: noise in the policy alone would make rewards noisy from the first step."""
    found = 0
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout) and module.p > 0:
            module.p = 0.0
            found += 1
        rate = getattr(module, "attention_dropout", 0.0)
        if isinstance(rate, float) and rate > 0:
            module.attention_dropout = 0.0  # type: ignore[assignment]
            found += 1
    return found


def _refuse_unproven(name: str, kind: str, text_config: Any) -> None:
    known = ", ".join(sorted((*TEXT_FAMILIES, *IMAGE_FAMILIES)))
    inner = text_config.model_type
    if kind not in TEXT_FAMILIES and kind not in IMAGE_FAMILIES:
        raise PrefdataError(
            f"{name}: model type `{kind}` is not proven with this trainer; proven are {known}."
        )
    if kind in IMAGE_FAMILIES and inner not in TEXT_FAMILIES:
        raise PrefdataError(
            f"{name}: its language model `{inner}` is not proven with this trainer; proven are {known}."
        )
    layers = getattr(text_config, "layer_types", None) or ()
    if any("sliding" in str(layer) for layer in layers) or (
        getattr(text_config, "use_sliding_window", False) and getattr(text_config, "sliding_window", None)
    ):
        raise PrefdataError(f"{name}: uses sliding-window attention, which this trainer does not handle yet.")


def _end_ids(path: str, tokenizer: Any) -> frozenset[int]:
    from transformers import GenerationConfig

    try:
        ends = GenerationConfig.from_pretrained(path).eos_token_id
    except OSError:  # a model folder need not have one
        ends = None
    listed = ends if isinstance(ends, list) else [ends]
    return frozenset(token for token in (*listed, tokenizer.eos_token_id) if token is not None)


def _in_a_sentence(name: str, load: Any) -> Any:
    """Turn the loaders' long tales about names and networks into one sentence."""
    try:
        return load()
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        where = "folder" if Path(name).is_dir() else "hub model"
        raise PrefdataError(f"{name}: this {where} cannot be loaded ({reason}).") from error
