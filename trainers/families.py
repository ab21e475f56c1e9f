"""Which models the forest is proven for, and how each is loaded and fed.

Where it stands: `run.py` opens the model here; `build.py` and `pixels.py` ask for the image token and the pixel
inputs, `positions.py` for the kind of positions. The decision to question: a table of proven `model_type`s beside the
self-check at every start. Wrong position ids or a dropped sliding window change log-probabilities by amounts too small
to notice, so a family joins the table with its test (`tests/trainers/test_families.py`). Other text models are let in
on the word of the self-check alone, and without a shared trunk where it cannot see everything; other image-text models
are refused, because nothing says how their pixel inputs are joined.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from prefdata.errors import PrefdataError
from prefdata.models import resolve_model
from trainers import given


@dataclass(frozen=True)
class Family:
    """What tells one kind of model from another when it is fed."""

    pixels: tuple[str, ...] = ()
    """What the processor makes of images and the model takes; empty = a text model."""
    join: int = 0
    """The axis along which pixel inputs of several trees are joined. Idefics3 has a batch axis of 1 before it."""
    axes: int = 1
    """Position ids per token: 1, or 3 (time, height, width) from the model's own `get_rope_index`."""
    one_tile: tuple[str, ...] = ()
    """Processor settings that, when off, keep an image in one tile."""


_TILED = Family(("pixel_values", "pixel_attention_mask"), join=1, one_tile=("do_image_splitting",))
_PATCHES = Family(("pixel_values", "image_grid_thw"), axes=3)

FAMILIES = {
    "llama": Family(),
    "qwen2": Family(),
    "qwen3": Family(),
    "gemma3_text": Family(),
    "llava": Family(("pixel_values",)),
    "internvl": Family(("pixel_values",), one_tile=("crop_to_patches",)),
    "idefics3": _TILED,
    "smolvlm": _TILED,
    "qwen2_5_vl": _PATCHES,
    "qwen3_vl": _PATCHES,
}
"""By `model_type`."""

_LANGUAGE_MODELS = {kind for kind, family in FAMILIES.items() if not family.pixels}
_OWN_LANGUAGE_MODELS = {"qwen2_5_vl": "qwen2_5_vl_text", "qwen3_vl": "qwen3_vl_text"}
_EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts")
"""Names under which configurations keep the number of experts."""


@dataclass(frozen=True)
class Opened:
    """What turns text and images into a model's inputs, and what is known about it before its weights are read."""

    name: str
    path: str
    config: Any
    processor: Any
    """The processor of an image-text model, the tokenizer of a text model."""
    tokenizer: Any
    family: Family
    image_token_id: int | None
    end_ids: frozenset[int]
    """Tokens that may end an assistant turn."""
    max_length: int
    proven: bool = True
    """Whether its family is in the table; what is not is held to more by the self-check."""

    @property
    def window(self) -> int | None:
        """The sliding window of some of its layers, in tokens; None where every token sees all before it."""
        text = self.config.get_text_config()
        layers = getattr(text, "layer_types", None)
        used = any("sliding" in str(layer) for layer in layers) if layers else True
        size = getattr(text, "sliding_window", None)
        return int(size) if size and used and getattr(text, "use_sliding_window", True) else None

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
    given.refuse_own_code(name, _in_a_sentence(name, lambda: hf.PreTrainedConfig.get_config_dict(path)[0]))
    # False said aloud: where nothing is said, transformers asks on the terminal whether code may be run.
    config = _in_a_sentence(name, lambda: hf.AutoConfig.from_pretrained(path, trust_remote_code=False))
    text_config = config.get_text_config()
    family = _family(name, config)
    images = bool(family.pixels)
    processor = _in_a_sentence(
        name,
        lambda: (hf.AutoProcessor if images else hf.AutoTokenizer).from_pretrained(
            path, trust_remote_code=False
        ),
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
        family=family,
        image_token_id=int(config.image_token_id) if images else None,
        end_ids=_end_ids(path, tokenizer),
        max_length=int(getattr(text_config, "max_position_embeddings", 0) or 1 << 30),
        proven=config.model_type in FAMILIES,
    )


def load_weights(opened: Opened, dtype: torch.dtype, **more: Any) -> Any:
    """The model in `dtype`, whole: a checkpoint that lacks tensors, or has two output layers, is refused.

    more: what else transformers' loader is told, such as four-bit settings.
    """
    model, report = _in_a_sentence(
        opened.name,
        lambda: _loader(opened).from_pretrained(
            opened.path,
            dtype=dtype,
            attn_implementation="sdpa",
            output_loading_info=True,
            trust_remote_code=False,
            **more,
        ),
    )
    missing = sorted(report["missing_keys"])
    if missing:
        given.refuse_missing_head(opened.name, missing)
        raise PrefdataError(
            f"{opened.name}: the weights lack {len(missing)} tensors such as {missing[0]}; a whole model is needed."
        )
    given.refuse_untied(opened.name, opened.path, model)
    return model


def empty(opened: Opened) -> Any:
    """A model of the same structure without its weights."""
    return _loader(opened).from_config(opened.config, trust_remote_code=False)


def _loader(opened: Opened) -> Any:
    import transformers as hf

    return hf.AutoModelForImageTextToText if opened.takes_images else hf.AutoModelForCausalLM


def silence_dropout(model: torch.nn.Module) -> int:
    """Set every dropout to 0 and count them: noise in the policy alone would make rewards noisy from the first step."""
    found = 0
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout) and module.p > 0:
            module.p = 0.0
            found += 1
        for name in ("attention_dropout", "dropout"):
            rate = getattr(module, name, 0.0)
            if isinstance(rate, float) and rate > 0:
                setattr(module, name, 0.0)
                found += 1
    return found


def _family(name: str, config: Any) -> Family:
    """How a model is fed; refuses what is known to come out wrong or cannot be fed at all."""
    import transformers as hf

    kind, text_config = config.model_type, config.get_text_config()
    inner = text_config.model_type
    for key in _EXPERTS:
        if (getattr(text_config, key, None) or 0) > 1:
            raise PrefdataError(
                f"{name}: `{inner}` is a mixture of experts, which this trainer is not proven with."
            )
    known = FAMILIES.get(kind)
    if known is None and type(config) not in hf.MODEL_FOR_CAUSAL_LM_MAPPING:
        raise PrefdataError(
            f"{name}: model type `{kind}` is not proven with this trainer; proven are {', '.join(FAMILIES)}."
        )
    if known is None and text_config is not config:
        raise PrefdataError(
            f"{name}: model type `{kind}` reads more than text and is not proven with this trainer; "
            f"proven are {', '.join(FAMILIES)}."
        )
    if known is None:
        return Family()
    if known.pixels and inner not in _LANGUAGE_MODELS and inner != _OWN_LANGUAGE_MODELS.get(kind):
        raise PrefdataError(
            f"{name}: its language model `{inner}` is not proven with this trainer; proven are "
            f"{', '.join(sorted(_LANGUAGE_MODELS))}."
        )
    return known


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
    except (OSError, ValueError, ImportError) as error:
        if "trust_remote_code" in str(error):
            raise PrefdataError(
                f"{name}: its files ask for code of their own, and {given.OWN_CODE}."
            ) from error
        reason = " ".join(str(error).split())[:200]
        where = "folder" if Path(name).is_dir() else "hub model"
        raise PrefdataError(f"{name}: this {where} cannot be loaded ({reason}).") from error
