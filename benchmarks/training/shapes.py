"""Models with random weights and rows of known length, written as the files that every trainer reads.

Where it stands: `benchmarks/train.py` makes a folder here and starts its subjects on it. One byte is one token, so that
a row's length is chosen, not guessed; the template writes nothing behind the end of a turn, because TRL would score it
and prefdata would not. All answers are equally long: padding, which a forest does not have, then plays no part in the
ratios.

The decision to question: the vocabulary. A head of 32,000 words on a model 512 wide would be two thirds of its
weights, and the head's work on answers is the same for everybody; 4,096 words make it 8 % of the language model, as in
InternVL3-8B (performance.md, 2.3: 0.545 of 6.53 billion).
"""

import json
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n"
    "{% if m['content'] is string %}{{ m['content'] }}{% else %}{% for p in m['content'] %}"
    "{{ '<image>' if p['type'] == 'image' else p['text'] }}{% endfor %}{% endif %}<|im_end|>{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
_AROUND_QUESTION = len("user\n") + len("assistant\n") + 3
"""Tokens of a prompt besides image and question: the two roles, two starts, one end."""


@dataclass(frozen=True)
class Shape:
    """A LLaVA-like model (SigLIP tower, two-layer projector, Llama), or its Llama alone, and the rows it is given."""

    name: str
    width: int = 512
    layers: int = 8
    heads: int = 8
    mlp: int = 1376
    vocabulary: int = 4096
    vision_width: int = 256
    vision_layers: int = 8
    grid: int = 17
    """Image tokens per side; 0 = a text model."""
    trunk: int = 351
    answer: int = 120

    @property
    def image_tokens(self) -> int:
        """Tokens of one image."""
        return self.grid * self.grid


_PATCH = 16


def save_model(shape: Shape, folder: Path) -> Path:
    """A model folder in fp32 that transformers loads: seeded random weights, processor, chat template."""
    import torch
    import transformers as hf

    hf.logging.disable_progress_bar()
    torch.manual_seed(0)
    words = byte_tokenizer()
    llama = hf.LlamaConfig(
        vocab_size=shape.vocabulary, hidden_size=shape.width, intermediate_size=shape.mlp,
        num_hidden_layers=shape.layers, num_attention_heads=shape.heads, num_key_value_heads=shape.heads,
        max_position_embeddings=4096, tie_word_embeddings=True, bos_token_id=None,
        eos_token_id=words.eos_token_id, pad_token_id=words.pad_token_id,
    )  # fmt: skip
    model: Any
    if not shape.grid:
        model, processor = hf.LlamaForCausalLM(llama), words
    else:
        from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

        side = shape.grid * _PATCH
        undeclared: dict[str, Any] = {
            "vision_use_head": False
        }  # read by the model, not declared by its config
        tower = hf.SiglipVisionConfig(
            hidden_size=shape.vision_width, intermediate_size=4 * shape.vision_width,
            num_hidden_layers=shape.vision_layers, num_attention_heads=4, image_size=side, patch_size=_PATCH,
            **undeclared,
        )  # fmt: skip
        config = hf.LlavaConfig(
            vision_config=tower, text_config=llama, image_token_index=words.convert_tokens_to_ids("<image>"),
            vision_feature_layer=-1, vision_feature_select_strategy="full",
            image_seq_length=shape.image_tokens, tie_word_embeddings=True,
        )  # fmt: skip
        model = hf.LlavaForConditionalGeneration(config)
        processor = hf.LlavaProcessor(
            image_processor=SiglipImageProcessorPil(size={"height": side, "width": side}), tokenizer=words,
            patch_size=_PATCH, vision_feature_select_strategy="full", num_additional_image_tokens=0,
            chat_template=TEMPLATE,
        )  # fmt: skip
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def write_pairs(shape: Shape, folder: Path, questions: int) -> Path:
    """One pair per question, each with an image of its own."""
    rows = [_row(shape, folder, number, f"c{number}", f"r{number}") for number in range(questions)]
    return _write(folder / "pairs.jsonl", rows)


def write_grouped(shape: Shape, folder: Path, sides: int) -> Path:
    """All pairs of `sides` right and `sides` wrong answers of one question; each run of `sides` rows holds every right
    answer once, so that a mean over micro-batches of that size is the mean over all rows."""
    rows = [
        _row(shape, folder, 0, f"c{right}", f"r{wrong}") for wrong in range(sides) for right in range(sides)
    ]
    return _write(folder / "grouped.jsonl", rows)


def _row(shape: Shape, folder: Path, number: int, chosen: str, rejected: str) -> dict[str, Any]:
    room = shape.trunk - _AROUND_QUESTION - (shape.image_tokens + 1 if shape.grid else 0)  # 1: the line's end
    question = letters(f"q{number}", room)
    answers = {"chosen": letters(chosen, shape.answer - 1), "rejected": letters(rejected, shape.answer - 1)}
    if not shape.grid:
        return {"question": question, **answers}
    return {"image": _picture(shape, folder, number), "question": question, **answers}


def _picture(shape: Shape, folder: Path, number: int) -> str:
    from PIL import Image

    path = folder / f"{number}.png"
    if not path.exists():
        side = shape.grid * _PATCH
        noise = random.Random(number).randbytes(3 * side * side)
        Image.frombytes("RGB", (side, side), noise).save(path)
    return path.name


def letters(seed: str, length: int) -> str:
    """Text without blanks at its ends, which a template or a reader might strip."""
    return "".join(random.Random(seed).choices("abcdefghijklmnopqrstuvwxyz", k=length))


def _write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def byte_tokenizer(*special: str, **named: str) -> Any:
    """Bytes and special tokens; `named` ones become attributes of the tokenizer, as some processors want them."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    raw = Tokenizer(models.BPE(vocab={letter: number for number, letter in enumerate(alphabet)}, merges=[]))
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    always = ["<|im_start|>", "<image>"]
    made = PreTrainedTokenizerFast(
        tokenizer_object=raw, eos_token="<|im_end|>", pad_token="<|pad|>",
        extra_special_tokens=named or [*always, *special],
    )  # fmt: skip
    if named:
        made.add_tokens(always, special_tokens=True)
    made.chat_template = TEMPLATE
    return made
