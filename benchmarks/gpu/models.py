"""InternVL3-2B's and Qwen2.5-VL-3B's shapes with random weights, and pictures that become a chosen number of tokens.

Where it stands: `benchmarks/gpu/train.py` writes such a model to disk and trains on it. Sizes are those of the released
configurations; the tokenizer is one of bytes, so that a text's length is chosen, under a vocabulary of the real size.
The decision to question: random weights. Speed and memory do not depend on them, and nothing is downloaded.
"""

from pathlib import Path
from typing import Any

from benchmarks.training.shapes import TEMPLATE, byte_tokenizer

TILE_TOKENS, TINY_TILE_TOKENS = 256, 16
"""InternVL: of one tile of 448 pixels. Qwen2.5-VL is given a picture of as many tokens."""
_TILE, _TINY_TILE = 448, 16
_GRIDS = {1: (1, 1), 7: (3, 2), 13: (4, 3)}
"""Tiles with the thumbnail -> columns and rows of the picture's own tiles."""
_TINY = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4}
_TINY_TEXT: dict[str, Any] = {**_TINY, "num_key_value_heads": 2, "vocab_size": 320}


def save_internvl(folder: Path, tiles: int, *, tiny: bool) -> Path:
    """InternVL3-2B: InternViT-300M, Qwen2.5-1.5B with a head of its own; tiles of 448 pixels, 256 tokens each."""
    import transformers as hf

    words = byte_tokenizer(
        start_image_token="<img>", end_image_token="</img>", context_image_token="<IMG_CONTEXT>",
        video_token="<video>",
    )  # fmt: skip
    side, patch = (_TILE, 14) if not tiny else (_TINY_TILE, 2)
    tokens = (side // patch // 2) ** 2
    vision: dict[str, Any] = {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24}
    text: dict[str, Any] = {
        "hidden_size": 1536, "intermediate_size": 8960, "num_hidden_layers": 28, "num_attention_heads": 12,
        "num_key_value_heads": 2, "vocab_size": 151674, "max_position_embeddings": 32768,
    }  # fmt: skip
    if tiny:
        vision, text = dict(_TINY), dict(_TINY_TEXT)
    else:
        vision |= {"num_attention_heads": 16}
    config = hf.InternVLConfig(
        vision_config=hf.InternVLVisionConfig(**vision, image_size=side, patch_size=patch),
        text_config=hf.Qwen2Config(**text, tie_word_embeddings=False, **_ends(words)),
        image_seq_length=tokens, image_token_id=words.convert_tokens_to_ids("<IMG_CONTEXT>"),
        tie_word_embeddings=False,
    )  # fmt: skip
    size = {"height": side, "width": side}
    processor = hf.InternVLProcessor(
        image_processor=hf.GotOcr2ImageProcessor(
            size=size, crop_to_patches=True, min_patches=1, max_patches=max(1, tiles - 1)
        ),
        tokenizer=words, video_processor=hf.InternVLVideoProcessor(size=size), image_seq_length=tokens,
        chat_template=_template("<IMG_CONTEXT>"),
    )  # fmt: skip
    return _save(folder, hf.InternVLForConditionalGeneration, config, processor)


def save_qwen(folder: Path, tiles: int, *, tiny: bool) -> Path:
    """Qwen2.5-VL-3B; a picture has as many tokens as it has squares of 28 pixels."""
    import transformers as hf

    words = byte_tokenizer("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")
    vision: dict[str, Any] = {
        "depth": 32, "hidden_size": 1280, "intermediate_size": 3420, "num_heads": 16, "out_hidden_size": 2048,
        "patch_size": 14, "window_size": 112, "fullatt_block_indexes": [7, 15, 23, 31],
    }  # fmt: skip
    text: dict[str, Any] = {
        "hidden_size": 2048, "intermediate_size": 11008, "num_hidden_layers": 36, "num_attention_heads": 16,
        "num_key_value_heads": 2, "vocab_size": 151936, "max_position_embeddings": 32768,
    }  # fmt: skip
    sections = [16, 24, 24]
    if tiny:
        vision |= {
            "depth": 2, "hidden_size": 64, "intermediate_size": 96, "num_heads": 4, "out_hidden_size": 64,
            "patch_size": 2, "window_size": 16, "fullatt_block_indexes": [1],
        }  # fmt: skip
        text, sections = dict(_TINY_TEXT), [2, 3, 3]
    rope = {"rope_type": "default", "rope_theta": 1e6, "mrope_section": sections}
    ids = {
        f"{name}_token_id": words.convert_tokens_to_ids(f"<|{token}|>")
        for name, token in (
            ("image", "image_pad"), ("video", "video_pad"),
            ("vision_start", "vision_start"), ("vision_end", "vision_end"),
        )
    }  # fmt: skip
    parts: dict[str, Any] = hf.Qwen2_5_VLConfig.sub_configs
    config = hf.Qwen2_5_VLConfig(
        vision_config=parts["vision_config"](**vision),
        text_config=parts["text_config"](**text, rope_parameters=rope, tie_word_embeddings=True, **_ends(words)),
        tie_word_embeddings=True, **ids,
    )  # fmt: skip
    pixels = {"patch_size": vision["patch_size"], "temporal_patch_size": 2, "merge_size": 2}
    square = (2 * vision["patch_size"]) ** 2
    size = {"shortest_edge": square, "longest_edge": 16384 * square}
    processor = hf.Qwen2_5_VLProcessor(
        image_processor=hf.Qwen2VLImageProcessor(**pixels, size=size), tokenizer=words,
        video_processor=hf.Qwen2VLVideoProcessor(**pixels, size=size),
        chat_template=_template("<|vision_start|><|image_pad|><|vision_end|>"),
    )  # fmt: skip
    return _save(folder, hf.Qwen2_5_VLForConditionalGeneration, config, processor)


SAVERS = {"internvl3-2b": save_internvl, "qwen2.5-vl-3b": save_qwen}


def picture_size(model: str, tiles: int, *, tiny: bool) -> tuple[int, int]:
    """Width and height of a picture of `tiles` tiles (thumbnail included), 256 tokens each, 16 where it is tiny."""
    columns, rows = _GRIDS[tiles]
    if model == "internvl3-2b":
        side = _TILE if not tiny else _TINY_TILE
        return columns * side, rows * side
    square, side = (28, 16) if not tiny else (4, 4)
    return side * square, tiles * side * square


def _template(image: str) -> str:
    return TEMPLATE.replace("'<image>'", f"'{image}'")


def _ends(words: Any) -> dict[str, Any]:
    return {"bos_token_id": None, "eos_token_id": words.eos_token_id, "pad_token_id": words.pad_token_id}


def _save(folder: Path, kind: Any, config: Any, processor: Any) -> Path:
    import torch

    torch.manual_seed(0)
    default = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)  # half the file, and half the time to draw and write it
    try:
        kind(config).save_pretrained(folder)
    finally:
        torch.set_default_dtype(default)
    processor.save_pretrained(folder)
    return folder
