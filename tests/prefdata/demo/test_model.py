"""The bundled model: loads through the Auto classes, reads every text of the task, answers with and without picture."""

from typing import Any

import pytest

from prefdata.demo import MODEL_DIR
from prefdata.demo.scenes import render, sample_scene
from prefdata.demo.tasks import is_correct, make_description, make_question, reference_answer
from prefdata.demo.words import VOCABULARY


@pytest.fixture(scope="module")
def processor() -> Any:
    transformers = pytest.importorskip("transformers")
    return transformers.AutoProcessor.from_pretrained(MODEL_DIR)


@pytest.fixture(scope="module")
def model() -> Any:
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    return transformers.AutoModelForImageTextToText.from_pretrained(MODEL_DIR, dtype=torch.float32).eval()


def test_folder_is_small() -> None:
    assert sum(file.stat().st_size for file in MODEL_DIR.iterdir()) < 4_000_000


def test_tokenizer_round_trip() -> None:
    tokenizers = pytest.importorskip("tokenizers")
    tokenizer = tokenizers.Tokenizer.from_file(str(MODEL_DIR / "tokenizer.json"))
    assert [tokenizer.id_to_token(index) for index in range(tokenizer.get_vocab_size())] == list(VOCABULARY)
    for seed in range(1000):
        scene = sample_scene(seed)
        for task in (make_question(scene), make_description(scene)):
            for text in (task.question, reference_answer(scene, task)):
                encoded = tokenizer.encode(text, add_special_tokens=False)
                assert "<unk>" not in encoded.tokens
                assert tokenizer.decode(encoded.ids, skip_special_tokens=False) == text


def test_unknown_text_is_marked_not_dropped() -> None:
    tokenizers = pytest.importorskip("tokenizers")
    tokenizer = tokenizers.Tokenizer.from_file(str(MODEL_DIR / "tokenizer.json"))
    assert tokenizer.encode("How many elephants are there?").tokens.count("<unk>") == 1


def test_every_way_of_writing_the_question_renders_the_same(processor: Any) -> None:
    contents = [
        "<image>\nHow many shapes are there?",
        [{"type": "image"}, {"type": "text", "text": "How many shapes are there?"}],
        [{"type": "text", "text": "<image>\nHow many shapes are there?"}],
    ]
    rendered = {
        processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
        for content in contents
    }
    assert rendered == {"<user><image>How many shapes are there?<assistant>"}


def test_prefix_is_continued_exactly(processor: Any) -> None:
    messages = [{"role": "user", "content": "List all shapes."}, {"role": "assistant", "content": "Seen: a1"}]
    for template in (processor.apply_chat_template, processor.tokenizer.apply_chat_template):
        prompt = template(messages, continue_final_message=True, add_generation_prompt=False, tokenize=False)
        assert prompt == "<user>List all shapes.<assistant>Seen: a1"


def test_padding_is_not_the_end_token(processor: Any, model: Any) -> None:
    assert processor.tokenizer.pad_token_id != processor.tokenizer.eos_token_id
    assert model.generation_config.eos_token_id == processor.tokenizer.eos_token_id
    # transformers takes top 50 where a model says nothing: temperature 1 would then not be the model's distribution.
    assert (model.generation_config.temperature, model.generation_config.top_k) == (1.0, 0)


def test_answers_like_a_spoiled_base(processor: Any, model: Any) -> None:
    scenes = [sample_scene(2_000_000_000 + index) for index in range(64)]
    tasks = [make_question(scene) for scene in scenes]
    prompts = [f"<user><image>{task.question}<assistant>" for task in tasks]
    batch = processor(
        text=prompts, images=[render(scene) for scene in scenes], return_tensors="pt", padding=True
    )
    tokens = model.generate(**batch, max_new_tokens=48, do_sample=False)[:, batch["input_ids"].shape[1] :]
    texts = processor.batch_decode(tokens, skip_special_tokens=True)
    right = sum(is_correct(task, text) for task, text in zip(tasks, texts, strict=True))
    assert 0.5 < right / len(tasks) < 0.9


def test_answers_without_a_picture(processor: Any, model: Any) -> None:
    batch = processor(text=["<user>List all shapes.<assistant>Seen:"], return_tensors="pt")
    tokens = model.generate(**batch, max_new_tokens=48, do_sample=False)[0]
    text = processor.tokenizer.decode(tokens, skip_special_tokens=True)
    assert text.endswith(".")
