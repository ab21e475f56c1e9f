"""The empty demo model and its files: tokenizer, processor, configuration, saving.

LLaVA layout from stock transformers classes: SigLIP tower (16 image tokens), two-layer projector, Llama. Used by
`train.py` only. Questionable on sight: the vision keys are renamed on saving, see `save`.
"""

import copy
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    GenerationConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
    SiglipVisionConfig,
)
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

from prefdata.demo.scenes import CELL_SIDE, SIDE
from prefdata.demo.words import ASSISTANT, EOS, IMAGE, PAD, SPECIAL, UNK, USER, VOCABULARY, WORDS

IMAGE_TOKENS = (SIDE // CELL_SIDE) ** 2
ID = {token: index for index, token in enumerate(VOCABULARY)}

# User text is trimmed and the line break after the placeholder dropped, so that every way of writing the same
# question gives the same tokens; assistant text stays as it is, because a prefix must be continued exactly.
CHAT_TEMPLATE = """\
{%- for message in messages -%}
{%- if message['role'] not in ('user', 'assistant') -%}
{{- raise_exception('the demo model knows user and assistant turns only') -}}
{%- endif -%}
{%- set parts = namespace(text='') -%}
{%- if message['content'] is string -%}
{%- set parts.text = message['content'] -%}
{%- else -%}
{%- for part in message['content'] -%}
{%- set parts.text = parts.text + ('<image>' if part['type'] == 'image' else part['text']) -%}
{%- endfor -%}
{%- endif -%}
{%- if message['role'] == 'user' -%}
{{- '<user>' + parts.text.replace('<image>\\n', '<image>').strip() -}}
{%- else -%}
{{- '<assistant>' + parts.text + eos_token -}}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<assistant>' -}}{%- endif -%}
"""


def new_tokenizer() -> PreTrainedTokenizerFast:
    """Word-level tokenizer over the closed vocabulary; any other stretch of text becomes one `<unk>`."""
    tokenizer = Tokenizer(models.WordLevel(ID, unk_token=UNK))
    words = "|".join(
        sorted((word.replace("?", r"\?").replace(".", r"\.") for word in WORDS), key=len, reverse=True)
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Split(
        Regex(f"({words})(?![a-z0-9-])|({words})"), behavior="isolated"
    )
    tokenizer.decoder = decoders.Fuse()
    tokenizer.add_special_tokens(list(SPECIAL))
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=EOS,
        unk_token=UNK,
        additional_special_tokens=[USER, ASSISTANT, IMAGE],
        padding_side="left",
        clean_up_tokenization_spaces=False,
        model_max_length=256,
        chat_template=CHAT_TEMPLATE,
    )


def new_processor() -> LlavaProcessor:
    image_processor = SiglipImageProcessorPil(
        size={"height": SIDE, "width": SIDE}, image_mean=[0.5] * 3, image_std=[0.5] * 3, do_convert_rgb=True
    )
    return LlavaProcessor(
        image_processor=image_processor,
        tokenizer=new_tokenizer(),
        patch_size=CELL_SIDE,
        vision_feature_select_strategy="full",  # SigLIP has no class token to drop
        num_additional_image_tokens=0,
        chat_template=CHAT_TEMPLATE,
        image_token=IMAGE,
    )


def new_model(seed: int) -> LlavaForConditionalGeneration:
    torch.manual_seed(seed)
    vision = SiglipVisionConfig(
        image_size=SIDE,
        patch_size=CELL_SIDE,
        hidden_size=96,
        intermediate_size=384,
        num_hidden_layers=2,
        num_attention_heads=4,
        vision_use_head=False,
    )
    text = LlamaConfig(
        vocab_size=len(VOCABULARY),
        hidden_size=128,
        intermediate_size=384,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=256,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=ID[EOS],
        pad_token_id=ID[PAD],
    )
    config = LlavaConfig(
        vision_config=vision,
        text_config=text,
        image_token_index=ID[IMAGE],
        image_seq_length=IMAGE_TOKENS,
        vision_feature_select_strategy="full",
        vision_feature_layer=-1,
        tie_word_embeddings=True,
    )
    model = LlavaForConditionalGeneration(config)
    model.generation_config = GenerationConfig(
        do_sample=True,
        temperature=1.0,
        top_k=0,
        top_p=1.0,
        max_new_tokens=64,
        # Seen in samples at temperature 1: now and then a placeholder in the middle of an answer.
        suppress_tokens=[ID[token] for token in SPECIAL if token != EOS],
        eos_token_id=ID[EOS],
        pad_token_id=ID[PAD],
    )
    return model


def save(model: LlavaForConditionalGeneration, folder: Path) -> None:
    """The complete model folder, weights in bfloat16.

    The tower's keys are written as `vision_tower.vision_model.*`, the layout of the published LLaVA checkpoints:
    transformers reads both layouts, vLLM 0.32 only this one.
    """
    copy.deepcopy(model).to(torch.bfloat16).save_pretrained(folder)
    file = folder / "model.safetensors"
    tensors = {_published_name(name): value for name, value in load_file(file).items()}
    save_file(tensors, file, metadata={"format": "pt"})
    file.chmod(0o644)
    new_processor().save_pretrained(folder)


def _published_name(name: str) -> str:
    if "vision_tower." in name and "vision_tower.vision_model." not in name:
        return name.replace("vision_tower.", "vision_tower.vision_model.")
    return name
