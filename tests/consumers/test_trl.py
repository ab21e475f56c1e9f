"""TRL's own trainers prepare files that `prefdata convert --to trl` wrote, for tiny models with a byte-level tokenizer.

Texts are compared as the prepared tokens decode. For images the trainer prepares nothing ahead, so its collator is
asked for a batch, and its pixels are compared with those of the files named by the source.
"""

from pathlib import Path
from typing import Any

import pytest

from tests.support import held, tiny_models
from tests.support.held import Held, convert
from tests.support.program import write_lines

pytest.importorskip("trl")

LF, XC = "hiyouga+LLaMA-Factory", "InternLM+InternLM-XComposer/InternLM-XComposer-2.5-Reward/training/data"
# Preparing bytes as tokens takes its time.
ROWS = 100
PAIRS = [
    f"{LF}/data/dpo_en_demo.json",
    f"{LF}/data/v1_dpo_demo.jsonl",
    "turbo-llm+turbo-alignment/tests/fixtures/datasets/rm/train_preferences.jsonl",
    "PKU-Alignment+align-anything/assets/text_to_text/preference/train.json",
]


@pytest.fixture(autouse=True)
def quiet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Caches stay here, bars are off."""
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    datasets.disable_progress_bars()


@pytest.fixture(scope="module")
def text_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_models.save_text_model(tmp_path_factory.mktemp("text"))


@pytest.fixture(scope="module")
def vision_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_models.save_llava(tmp_path_factory.mktemp("vision"))


def load(path: Path) -> Any:
    from datasets import load_dataset

    return load_dataset("json", data_files=str(path), split="train")


def trainer(kind: str, model: Path, rows: Any, folder: Path, processing: Any) -> Any:
    """A TRL trainer that has taken the rows, as a user's script makes it."""
    import trl

    config, made = getattr(trl, f"{kind}Config"), getattr(trl, f"{kind}Trainer")
    limits: dict[str, Any] = {
        "max_length": None,
        "use_cpu": True,
        "bf16": False,
        "report_to": [],
        "per_device_train_batch_size": 2,
    }
    return made(
        model=str(model),
        args=config(output_dir=str(folder / "out"), **limits),
        train_dataset=rows,
        processing_class=processing,
    )


def rendered(turns: held.Turns) -> str:
    """Turns in the words of the tiny model's template."""
    return "".join(f"<|im_start|>{role}\n{text}<|im_end|>\n" for role, text in turns)


def sides(row: Held) -> tuple[str, ...]:
    """(prompt, answer, ...) as a template shows them: the answer's turn begins in the prompt."""
    begin = "<|im_start|>assistant\n"
    return (rendered(row.prompt) + begin, *(rendered(answer).removeprefix(begin) for answer in row.answers))


@pytest.mark.parametrize("source", PAIRS, ids=lambda path: Path(path).stem)
def test_every_pair_arrives(shared_data: Path, tmp_path: Path, text_model: Path, source: str) -> None:
    path, target = shared_data / "upstream" / source, tmp_path / "rows.jsonl"
    count = convert(path, target, "trl", "--limit", str(ROWS))
    tokenizer = tiny_models.tokenizer()
    prepared = trainer("DPO", text_model, load(target), tmp_path, tokenizer).train_dataset
    found = [
        tuple(tokenizer.decode(row[key]) for key in ("prompt_ids", "chosen_ids", "rejected_ids"))
        for row in prepared
    ]
    wanted = [sides(row) for row in held.expected(path)[:ROWS]]
    assert len(found) == count
    for one, other in zip(found, wanted, strict=True):
        assert one == other


def test_labelled_answers_arrive(shared_data: Path, tmp_path: Path, text_model: Path) -> None:
    path, target = shared_data / "upstream" / LF / "data" / "kto_en_demo.json", tmp_path / "rows.jsonl"
    assert convert(path, target, "trl") == 300
    rows = load(target)
    wanted = held.expected(path)
    found = [Held(held.roles(row["prompt"], {}), [held.roles(row["completion"], {})], []) for row in rows]
    held.compare(found, wanted, path.name)
    assert trainer("KTO", text_model, rows, tmp_path, tiny_models.tokenizer()).train_dataset.num_rows == 300


@pytest.mark.parametrize("source", ["mmpr", f"{XC}/example.json"], ids=["mmpr", "ixc-reward"])
def test_images_arrive_with_their_question(
    shared_data: Path, tmp_path: Path, vision_model: Path, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    """One image without a place, several in one question, and the image of a real row."""
    from datasets import Image, List
    from PIL import Image as Pixels
    from transformers import AutoProcessor

    path, target = shared_data / "upstream" / source, tmp_path / "rows.jsonl"
    root = path.parent
    if source == "mmpr":
        two = {"image": ["hopper.png", "hopper.bmp"], "question": "Same as <image>\nand <image>?"}
        one = {"image": "pal8rletrns.png", "question": "Who?"}
        path = write_lines(
            tmp_path / "mmpr.jsonl", [row | {"chosen": "Yes.", "rejected": "No."} for row in (two, one)]
        )
        root = shared_data / "images"
    count = convert(path, target, "trl")
    monkeypatch.chdir(root)  # paths are written as they stand in the source
    processor = AutoProcessor.from_pretrained(vision_model, backend="pil")
    rows = load(target).cast_column("images", List(Image()))
    made = trainer("DPO", vision_model, rows, tmp_path, processor)
    batch = made.data_collator([dict(row) for row in made.train_dataset])
    wanted = held.expected(path, root, front="")
    assert len(wanted) == count
    for number, other in enumerate(wanted):
        prompt, *answers = sides(other)
        prompt = prompt.replace("<image>", "<image>" * tiny_models.IMAGE_TOKENS)
        for place, answer in zip((number, count + number), answers, strict=True):
            ids = batch["input_ids"][place][batch["attention_mask"][place] == 1]
            assert processor.tokenizer.decode(ids) == prompt + answer
    pictures = [
        Pixels.open(name).convert("RGB") for _ in range(2) for other in wanted for name in other.media
    ]
    pixels = processor.image_processor(pictures, return_tensors="pt")["pixel_values"]
    assert (batch["pixel_values"] == pixels).all()
