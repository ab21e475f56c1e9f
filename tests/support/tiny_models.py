"""Random models of a few thousand parameters with a byte-level tokenizer: real architectures, no download."""

from pathlib import Path
from typing import Any

from PIL import Image

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n"
    "{% if m['content'] is string %}{{ m['content'] }}{% else %}{% for p in m['content'] %}"
    "{{ '<image>' if p['type'] == 'image' else p['text'] }}{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SPECIAL = ["<|im_start|>", "<|im_end|>", "<image>"]
IMAGE_SIZE = 16
IMAGE_TOKENS = 4


def tokenizer(*special: str, **named: str) -> Any:
    """Bytes, three special tokens and those given. Id 0 is the character `!`, as in Qwen's vocabulary.

    `named` become attributes of the tokenizer, as some processors want them.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    raw = Tokenizer(models.BPE(vocab={letter: number for number, letter in enumerate(alphabet)}, merges=[]))
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    made = PreTrainedTokenizerFast(
        tokenizer_object=raw,
        eos_token="<|im_end|>",
        extra_special_tokens=named or ["<|im_start|>", "<image>", *special],
    )
    if named:
        made.add_tokens(["<|im_start|>", "<image>"], special_tokens=True)
    made.chat_template = CHATML
    return made


def save_text_model(folder: Path, kind: str = "llama") -> Path:
    """A text model with grouped-query attention; kind is llama, qwen2 or qwen3."""
    import transformers as hf

    config, model = {
        "llama": (hf.LlamaConfig, hf.LlamaForCausalLM),
        "qwen2": (hf.Qwen2Config, hf.Qwen2ForCausalLM),
        "qwen3": (hf.Qwen3Config, hf.Qwen3ForCausalLM),
    }[kind]
    made = model(config(**text_settings()))
    return save(folder, made, tokenizer())


def save_llava(folder: Path) -> Path:
    """A LLaVA with a tiny SigLIP tower: 16 x 16 pixels, 4 image tokens, tensors named as hub checkpoints name them."""
    import transformers as hf
    from safetensors.torch import load_file, save_file

    settings: dict[str, Any] = {"vision_use_head": False}  # read by the model, not declared by its config
    vision = hf.SiglipVisionConfig(
        hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
        image_size=IMAGE_SIZE, patch_size=8, **settings,
    )  # fmt: skip
    text = hf.LlamaConfig(**text_settings(), tie_word_embeddings=True)
    processor = llava_processor()
    image_token = processor.tokenizer.convert_tokens_to_ids("<image>")
    config = hf.LlavaConfig(
        vision_config=vision, text_config=text, image_token_index=image_token, vision_feature_layer=-1,
        vision_feature_select_strategy="full", image_seq_length=IMAGE_TOKENS, tie_word_embeddings=True,
    )  # fmt: skip
    save(folder, hf.LlavaForConditionalGeneration(config), processor)
    weights = folder / "model.safetensors"
    renamed = {
        name.replace("vision_tower.", "vision_tower.vision_model.")
        if "vision_tower.vision_model" not in name
        else name: tensor
        for name, tensor in load_file(weights).items()
    }
    save_file(renamed, weights, metadata={"format": "pt"})
    return folder


def llava_processor() -> Any:
    """What turns texts and images into the inputs of `save_llava`'s model."""
    import transformers as hf
    from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

    return hf.LlavaProcessor(
        image_processor=SiglipImageProcessorPil(size={"height": IMAGE_SIZE, "width": IMAGE_SIZE}),
        tokenizer=tokenizer(), patch_size=8, vision_feature_select_strategy="full", num_additional_image_tokens=0,
        chat_template=CHATML,
    )  # fmt: skip


def write_pairs(folder: Path, count: int, *, images: bool) -> Path:
    """MMPR rows of varied lengths; every answer holds `!`, whose token id is 0."""
    import json

    lines = []
    for number in range(count):
        row = {
            "question": f"What is {number} plus {number * 7}?" + " Say why." * (number % 3),
            "chosen": f"It is {number * 8}!" + " Because!" * (number % 4),
            "rejected": "No idea" + "!" * (1 + number % 5),
        }
        if images:
            name = f"{number % 3}.png"
            Image.new("RGB", (IMAGE_SIZE, IMAGE_SIZE), (80 * (number % 3), 40, 200)).save(folder / name)
            row = {"image": name} | row
        lines.append(json.dumps(row))
    path = folder / "pairs.jsonl"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def text_settings() -> dict[str, Any]:
    """What all tiny language models have in common."""
    return {
        "vocab_size": 264, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": 512,
        "bos_token_id": None, "eos_token_id": 257, "pad_token_id": 0,
    }  # fmt: skip


def save(folder: Path, model: Any, processor: Any) -> Path:
    """Give a model weights that make differences visible, and write it with its processor."""
    folder.mkdir(parents=True, exist_ok=True)
    import torch

    # The same weights whatever was drawn before.
    torch.manual_seed(0)
    # Bigger than usual first weights: differences that a wrong mask makes must not drown in rounding.
    for parameter in model.parameters():
        if parameter.dim() > 1:
            parameter.data.normal_(0, 0.15)
    model.tie_weights()
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder
