"""Vision-language models without weights: what LMDeploy reads above its inference engine."""

import json
from pathlib import Path
from typing import Any

from tests.support.tiny_models import CHATML, tokenizer


def words(*marks: str, **named: str) -> Any:
    made = tokenizer()
    made.add_special_tokens({"extra_special_tokens": ["<|im_start|>", *marks, *named.values()]})
    made._set_model_specific_special_tokens(named)
    made.pad_token = "<|im_end|>"
    return made


def save_internvl(folder: Path) -> Path:
    """An InternVL without weights: configuration, tokenizer and processor are all that is needed above the core."""
    import transformers as hf
    from transformers.models.got_ocr2.image_processing_got_ocr2 import GotOcr2ImageProcessor

    made = words(
        start_image_token="<img>",
        end_image_token="</img>",
        context_image_token="<IMG_CONTEXT>",
        video_token="<video>",
    )
    hf.InternVLProcessor(
        image_processor=GotOcr2ImageProcessor(size={"height": 16, "width": 16}, max_patches=4),
        tokenizer=made,
        video_processor=hf.InternVLVideoProcessor(),
        image_seq_length=4,
        chat_template=CHATML.replace("'<image>'", "'<IMG_CONTEXT>\\n'"),
    ).save_pretrained(folder)
    hf.InternVLConfig(
        text_config={"model_type": "qwen2", "hidden_size": 32, "num_attention_heads": 2},
        image_token_id=made.convert_tokens_to_ids("<IMG_CONTEXT>"),
        architectures=["InternVLForConditionalGeneration"],
    ).save_pretrained(folder)
    return folder


# As a checkpoint of InternVL's own brings it along.
OWN_CONFIG = """
from transformers import PretrainedConfig

class InternVLChatConfig(PretrainedConfig):
    model_type = "internvl_chat"
    has_no_defaults_at_init = True

    def __init__(self, vision_config=None, llm_config=None, **kwargs):
        super().__init__(**kwargs)
        self.vision_config = PretrainedConfig(**(vision_config or {}))
        self.llm_config = PretrainedConfig(**(llm_config or {}))
"""


def save_internvl_chat(folder: Path) -> Path:
    """An InternVL as its authors publish it: code of its own, and no processor that transformers knows."""
    made = words("<img>", "</img>", "<IMG_CONTEXT>")
    made.save_pretrained(folder)
    (folder / "configuration_internvl_chat.py").write_text(OWN_CONFIG)
    config = {
        "architectures": ["InternVLChatModel"],
        "auto_map": {"AutoConfig": "configuration_internvl_chat.InternVLChatConfig"},
        "model_type": "internvl_chat",
        "vision_config": {"image_size": 16, "patch_size": 4},
        "llm_config": {"max_position_embeddings": 2048},
        "force_image_size": 16,
        "downsample_ratio": 0.5,
        "dynamic_image_size": True,
        "use_thumbnail": True,
        "min_dynamic_patch": 1,
        "max_dynamic_patch": 12,
    }
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def save_qwen3_vl(folder: Path) -> Path:
    """A Qwen3-VL without weights."""
    import transformers as hf
    from transformers.models.qwen2_vl.image_processing_qwen2_vl import Qwen2VLImageProcessor

    made = words("<|vision_start|>", "<|image_pad|>", "<|vision_end|>", "<|video_pad|>")
    images = Qwen2VLImageProcessor(
        patch_size=8, merge_size=2, temporal_patch_size=2, min_pixels=256, max_pixels=1024
    )
    hf.Qwen3VLProcessor(
        image_processor=images,
        tokenizer=made,
        video_processor=hf.Qwen3VLVideoProcessor(),
        chat_template=CHATML.replace("<image>", "<|vision_start|><|image_pad|><|vision_end|>"),
    ).save_pretrained(folder)
    hf.Qwen3VLConfig(
        text_config={"vocab_size": 300, "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2},
        vision_config={"depth": 1, "hidden_size": 16, "num_heads": 2, "patch_size": 8, "out_hidden_size": 32},
        image_token_id=made.convert_tokens_to_ids("<|image_pad|>"),
        architectures=["Qwen3VLForConditionalGeneration"],
    ).save_pretrained(folder)
    return folder
