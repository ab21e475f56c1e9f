"""Random models of the image-text families with their real processors, a few thousand parameters each, no download."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tests.support.tiny_models import CHATML, save, text_settings, tokenizer

TILE = 16
"""Pixels of a side of one tile; every tile becomes four tokens."""
ROPE = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 1, 1]}


def _text(**more: Any) -> dict[str, Any]:
    return text_settings() | {"vocab_size": 296} | more


def _template(image: str, video: str = "") -> str:
    """ChatML with the family's own placeholders."""
    return CHATML.replace("'<image>' if p['type'] == 'image' else", f"'{image}' if p['type'] == 'image' else "
                          f"'{video}' if p['type'] == 'video' else")  # fmt: skip


def llava_clip(folder: Path) -> Path:
    """LLaVA with a CLIP tower: a class token that is left out, the last layer but one."""
    import transformers as hf

    words = tokenizer()
    vision = hf.CLIPVisionConfig(
        hidden_size=16, intermediate_size=32, num_hidden_layers=3, num_attention_heads=2, image_size=TILE,
        patch_size=8, projection_dim=8,
    )  # fmt: skip
    config = hf.LlavaConfig(
        vision_config=vision, text_config=hf.Qwen2Config(**_text()), image_seq_length=4,
        image_token_index=words.convert_tokens_to_ids("<image>"), vision_feature_layer=-2,
        vision_feature_select_strategy="default",
    )  # fmt: skip
    processor = hf.LlavaProcessor(
        image_processor=hf.CLIPImageProcessor(
            size={"shortest_edge": TILE}, crop_size={"height": TILE, "width": TILE}
        ),
        tokenizer=words, patch_size=8, vision_feature_select_strategy="default", num_additional_image_tokens=1,
        chat_template=_template("<image>"),
    )  # fmt: skip
    return save(folder, hf.LlavaForConditionalGeneration(config), processor)


def internvl(folder: Path) -> Path:
    """InternVL-HF: dynamic tiles with a thumbnail, pixel shuffle, a Qwen2 language model."""
    import transformers as hf

    words = tokenizer(
        start_image_token="<img>", end_image_token="</img>", context_image_token="<IMG_CONTEXT>",
        video_token="<video>",
    )  # fmt: skip
    vision = hf.InternVLVisionConfig(
        hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2, image_size=TILE,
        patch_size=4,
    )  # fmt: skip
    config = hf.InternVLConfig(
        vision_config=vision, text_config=hf.Qwen2Config(**_text()), image_seq_length=4,
        image_token_id=words.convert_tokens_to_ids("<IMG_CONTEXT>"),
    )  # fmt: skip
    size = {"height": TILE, "width": TILE}
    processor = hf.InternVLProcessor(
        image_processor=hf.GotOcr2ImageProcessor(size=size, crop_to_patches=True, min_patches=1, max_patches=3),
        tokenizer=words, video_processor=hf.InternVLVideoProcessor(size=size), image_seq_length=4,
        chat_template=_template("<IMG_CONTEXT>", "<video>"),
    )  # fmt: skip
    return save(folder, hf.InternVLForConditionalGeneration(config), processor)


def idefics3(folder: Path) -> Path:
    """Idefics3: tiles with row and column marks, a batch axis before the tiles."""
    import transformers as hf

    words = tokenizer("<fake_token_around_image>", "<global-img>", "<end_of_utterance>", *_row_col())
    vision = hf.Idefics3VisionConfig(
        hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2, image_size=TILE,
        patch_size=4,
    )  # fmt: skip
    config = hf.Idefics3Config(
        vision_config=vision, text_config=hf.LlamaConfig(**_text()), scale_factor=2, pad_token_id=0,
        image_token_id=words.convert_tokens_to_ids("<image>"),
    )  # fmt: skip
    processor = hf.Idefics3Processor(
        image_processor=hf.Idefics3ImageProcessor(
            size={"longest_edge": 2 * TILE}, max_image_size={"longest_edge": TILE}
        ),
        tokenizer=words, image_seq_len=4, chat_template=_template("<image>"),
    )  # fmt: skip
    return save(folder, hf.Idefics3ForConditionalGeneration(config), processor)


def smolvlm(folder: Path) -> Path:
    """SmolVLM: Idefics3's layout, with a video processor."""
    import transformers as hf

    words = tokenizer(
        "<fake_token_around_image>", "<global-img>", "<end_of_utterance>", "<video>", *_row_col()
    )
    vision = hf.SmolVLMVisionConfig(
        hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2, image_size=TILE,
        patch_size=4,
    )  # fmt: skip
    config = hf.SmolVLMConfig(
        vision_config=vision, text_config=hf.LlamaConfig(**_text()), scale_factor=2, pad_token_id=0,
        image_token_id=words.convert_tokens_to_ids("<image>"),
    )  # fmt: skip
    sizes: dict[str, Any] = {"size": {"longest_edge": 2 * TILE}, "max_image_size": {"longest_edge": TILE}}
    processor = hf.SmolVLMProcessor(
        image_processor=hf.SmolVLMImageProcessor(**sizes), tokenizer=words, image_seq_len=4,
        video_processor=hf.SmolVLMVideoProcessor(**sizes, fps=1, num_frames=4),
        chat_template=_template("<image>", "<video>"),
    )  # fmt: skip
    return save(folder, hf.SmolVLMForConditionalGeneration(config), processor)


def qwen2_5_vl(folder: Path, **text: Any) -> Path:
    """Qwen2.5-VL: patches of any number, windows in the vision tower, three kinds of positions."""
    import transformers as hf

    kind: Any = hf.Qwen2_5_VLConfig.sub_configs["vision_config"]
    vision = kind(
        depth=2, hidden_size=16, intermediate_size=32, num_heads=2, patch_size=4, window_size=16,
        out_hidden_size=32, fullatt_block_indexes=[1],
    )  # fmt: skip
    return _qwen(
        folder, hf.Qwen2_5_VLConfig, hf.Qwen2_5_VLForConditionalGeneration, hf.Qwen2_5_VLProcessor, vision, **text
    )  # fmt: skip


def qwen2_5_vl_window(folder: Path) -> Path:
    """Qwen2.5-VL whose second layer has a window of 16 tokens, which image tokens of equal position count into."""
    return qwen2_5_vl(folder, use_sliding_window=True, sliding_window=16, max_window_layers=1)


def qwen3_vl(folder: Path) -> Path:
    """Qwen3-VL: deepstack features, interleaved positions."""
    import transformers as hf

    kind: Any = hf.Qwen3VLConfig.sub_configs["vision_config"]
    vision = kind(
        depth=2, hidden_size=16, intermediate_size=32, num_heads=2, patch_size=4, out_hidden_size=32,
        num_position_embeddings=16, deepstack_visual_indexes=[0],
    )  # fmt: skip
    return _qwen(folder, hf.Qwen3VLConfig, hf.Qwen3VLForConditionalGeneration, hf.Qwen3VLProcessor, vision)


def _qwen(folder: Path, config: Any, model: Any, processor: Any, vision: Any, **more: Any) -> Path:
    import transformers as hf

    words = tokenizer("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")
    ids = {
        f"{name}_token_id": words.convert_tokens_to_ids(f"<|{token}|>")
        for name, token in (
            ("image", "image_pad"), ("video", "video_pad"),
            ("vision_start", "vision_start"), ("vision_end", "vision_end"),
        )
    }  # fmt: skip
    rope = ROPE | ({"mrope_interleaved": True} if config is hf.Qwen3VLConfig else {})
    text = config.sub_configs["text_config"](**_text(rope_parameters=rope, **more))
    made = model(config(vision_config=vision, text_config=text, **ids))
    pixels = {"patch_size": 4, "temporal_patch_size": 2, "merge_size": 2}
    size = {"shortest_edge": 8 * 8, "longest_edge": 32 * 32}
    videos = hf.Qwen3VLVideoProcessor if config is hf.Qwen3VLConfig else hf.Qwen2VLVideoProcessor
    return save(
        folder, made,
        processor(
            image_processor=hf.Qwen2VLImageProcessor(**pixels, size=size), tokenizer=words,
            video_processor=videos(**pixels, size={"shortest_edge": 8 * 8, "longest_edge": 64 * 32 * 32}),
            chat_template=_template(
                "<|vision_start|><|image_pad|><|vision_end|>", "<|vision_start|><|video_pad|><|vision_end|>"
            ),
        ),
    )  # fmt: skip


def gemma3_text(folder: Path) -> Path:
    """Gemma3's text model: layers with a window of 16 tokens between layers without."""
    import transformers as hf

    kinds = ["sliding_attention", "full_attention"]
    config = hf.Gemma3TextConfig(
        **_text(), sliding_window=16, layer_types=kinds, query_pre_attn_scalar=8, tie_word_embeddings=True
    )
    return save(folder, hf.Gemma3ForCausalLM(config), tokenizer())


def qwen2_window(folder: Path) -> Path:
    """Qwen2 whose second layer has a window of 16 tokens."""
    import transformers as hf

    config = hf.Qwen2Config(**_text(), use_sliding_window=True, sliding_window=16, max_window_layers=1)
    return save(folder, hf.Qwen2ForCausalLM(config), tokenizer())


MAKERS: dict[str, Callable[[Path], Path]] = {
    "llava-clip": llava_clip, "internvl": internvl, "idefics3": idefics3, "smolvlm": smolvlm,
    "qwen2_5_vl": qwen2_5_vl, "qwen3_vl": qwen3_vl, "gemma3_text": gemma3_text, "qwen2-window": qwen2_window,
    "qwen2_5_vl-window": qwen2_5_vl_window,
}  # fmt: skip

TEXT = ("llama", "qwen2", "qwen3", "gemma3_text", "qwen2-window")
"""Kinds of text models, those of `tiny_models` among them."""
PICTURED = (
    "llava",
    "llava-clip",
    "internvl",
    "idefics3",
    "smolvlm",
    "qwen2_5_vl",
    "qwen3_vl",
    "qwen2_5_vl-window",
)
"""Kinds of models that take images."""


def write_pictured_pairs(folder: Path) -> Path:
    """Six MMPR rows: one image, a wide one, two, none; answers of varied lengths that hold `!`, whose id is 0."""
    rng = np.random.default_rng(0)
    for name, width, height in (("square", 16, 16), ("wide", 32, 16), ("tall", 16, 32)):
        Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8)).save(folder / f"{name}.png")
    shown: tuple[list[str], ...] = (
        ["square"],
        ["wide"],
        ["tall", "square"],
        [],
        ["square", "wide"],
        ["tall"],
    )
    rows = []
    for number, names in enumerate(shown):
        marks = "<image>\n" * len(names)
        row: dict[str, Any] = {"image": [f"{name}.png" for name in names]} if names else {}
        rows.append(row | {
            "question": f"{marks}What is {number} plus {7 * number}?",
            "chosen": f"It is {8 * number}!" + " Because!" * (number % 3),
            "rejected": "No idea" + "!" * (1 + number % 4),
        })  # fmt: skip
    path = folder / "pictured.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def _row_col() -> list[str]:
    return [f"<row_{row}_col_{column}>" for row in (1, 2) for column in (1, 2)]
