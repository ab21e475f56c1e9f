"""LLaMA-Factory's own loader, converters, media check and tokenisation, on files that `prefdata convert` wrote.

The road is the one that its trainers take: `dataset_info.json` from `prefdata mix convert`, `get_dataset` for the
stage. What its converter holds is compared with the record of the source, and so is the text that its tokens decode to.
A row that it drops is missing from both.
"""

import json
import os
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.support import held, tiny_models
from tests.support.held import Held, convert

os.environ["DISABLE_VERSION_CHECK"] = "1"  # of packages that the data path never imports
# Imported for reading sound files, which these tests have none of; its builds on the registry need a GPU's torch.
_audio = ModuleType("torchaudio")
_audio.__spec__ = ModuleSpec("torchaudio", None)
sys.modules.setdefault("torchaudio", _audio)
pytest.importorskip("llamafactory")

LF, XC = "hiyouga+LLaMA-Factory", "InternLM+InternLM-XComposer/InternLM-XComposer-2.5-Reward/training/data"
# file -> where its image paths start
SOURCES = {
    f"{LF}/data/dpo_en_demo.json": "",
    f"{LF}/data/kto_en_demo.json": "",
    f"{LF}/data/alpaca_en_demo.json": "",
    f"{LF}/data/mllm_demo.json": f"{LF}/data",
    f"{LF}/data/v1_dpo_demo.jsonl": "",
    f"{LF}/data/v1_multimodal_demo.jsonl": LF,
    "turbo-llm+turbo-alignment/tests/fixtures/datasets/rm/train_preferences.jsonl": "",
    f"{XC}/example.json": XC,
    "PKU-Alignment+align-anything/assets/text_to_text/preference/train.json": "",
    "modelscope+ms-swift/tests/llm/data/conversations.jsonl": "",
    "InternLM+xtuner/tests/resource/mllm_sft_multi_image_example_data.jsonl": "InternLM+xtuner/tests",
    "princeton-nlp+LLMBar/Dataset/CaseStudy/Base_10/dataset.json": "",
}
# Files with media that are no files here: what the converter holds can be compared, what it would load cannot.
UNLOADABLE = {
    "oumi-ai+oumi/data/dataset_examples/vision_language_dpo_format.jsonl": "",
    f"{LF}/data/mllm_video_demo.json": "",
    "InternLM+xtuner/tests/resource/mllm_sft_video_example_data.jsonl": "",
}
IMAGES = "<image>" * tiny_models.IMAGE_TOKENS
NAMES = {"observation": "tool", "function": "assistant"}


class Loaded:
    """A file as LLaMA-Factory loads it."""

    def __init__(self, rows: Path, media: Path, tmp: Path) -> None:
        from llamafactory.hparams import DataArguments, ModelArguments
        from transformers import Seq2SeqTrainingArguments

        held.run("mix", "convert", rows, rows.parent / "dataset_info.json", "--to", "dataset-info")
        (entry,) = json.loads((rows.parent / "dataset_info.json").read_text()).values()
        tag = "kto" if "kto_tag" in entry["columns"] else "sft"
        self.stage: Any = "rm" if entry.get("ranking") else tag
        self.data = DataArguments(
            dataset=rows.stem,
            dataset_dir=str(rows.parent),
            media_dir=str(media),
            template="llava",
            cutoff_len=1_000_000,
        )
        self.model = ModelArguments(model_name_or_path="none", cache_dir=str(tmp / "cache"))
        self.training = Seq2SeqTrainingArguments(output_dir=str(tmp / "out"), report_to=[])

    def aligned(self) -> list[Held]:
        """What its converters make of the rows."""
        from llamafactory.data.loader import _get_merged_dataset

        rows = _get_merged_dataset(self.data.dataset, self.model, self.data, self.training, self.stage)
        return [_aligned(row) for row in rows]

    def tokenised(self) -> list[tuple[str, ...]]:
        """(prompt, answer, other answer) as its tokens decode."""
        from llamafactory.data import get_dataset, get_template_and_fix_tokenizer

        processor = tiny_models.llava_processor()
        tokenizer = processor.tokenizer
        template = get_template_and_fix_tokenizer(tokenizer, self.data)
        rows = get_dataset(
            template,
            self.model,
            self.data,
            self.training,
            self.stage,
            tokenizer=tokenizer,
            processor=processor,
        )["train_dataset"]
        sides = ("chosen_", "rejected_") if self.stage == "rm" else ("",)
        return [
            (
                _decoded(tokenizer, row, sides[0], asked=True),
                *(_decoded(tokenizer, row, side) for side in sides),
            )
            for row in rows
        ]


def _aligned(row: dict[str, Any]) -> Held:
    prompt = held.roles(row["_prompt"], NAMES)
    if row["_system"]:
        prompt = [("system", row["_system"]), *prompt]
    # A KTO row has an empty answer beside the real one.
    answers = [held.roles([turn], NAMES) for turn in row["_response"] if turn["content"]]
    return Held(
        prompt, answers, [path for key in ("_images", "_videos", "_audios") for path in row[key] or []]
    )


def _decoded(tokenizer: Any, row: dict[str, Any], side: str, *, asked: bool = False) -> str:
    pairs = zip(row[f"{side}input_ids"], row[f"{side}labels"], strict=True)
    return str(tokenizer.decode([token for token, label in pairs if (label == -100) is asked]))


def _rendered(row: Held, stage: str) -> tuple[str, ...]:
    """The same in the words of the template `llava`; for SFT the answers inside the conversation are trained on too."""
    system = (
        "A chat between a curious user and an artificial intelligence assistant. "
        "The assistant gives helpful, detailed, and polite answers to the user's questions."
    )
    turns = list(row.prompt)
    if turns and turns[0][0] == "system":
        system = turns.pop(0)[1]
    asked = [f"USER: {text} ASSISTANT:".replace("<image>", IMAGES) for role, text in turns if role == "user"]
    earlier = [f"{text}<|im_end|>" for role, text in turns if role == "assistant"]
    answers = [answer[0][1] + "<|im_end|>" for answer in row.answers]
    if stage == "sft":
        return system + "".join(asked), "".join([*earlier, answers[0]])
    middle = "".join(a + b for a, b in zip(asked, [*earlier, ""], strict=True))
    return system + middle, *answers


@pytest.mark.parametrize("to", ["lf-sharegpt", "lf-alpaca"])
@pytest.mark.parametrize("source", [*SOURCES, *UNLOADABLE], ids=lambda path: Path(path).stem)
def test_every_row_arrives(shared_data: Path, tmp_path: Path, source: str, to: str) -> None:
    upstream = shared_data / "upstream"
    root = upstream / (SOURCES | UNLOADABLE)[source]
    rows = tmp_path / "data" / "rows.json"
    count = convert(upstream / source, rows, to)
    loaded = Loaded(rows, root, tmp_path)
    wanted = held.expected(upstream / source, root)
    assert len(wanted) == count
    held.compare(loaded.aligned(), wanted, source)
    if source in SOURCES:
        found = loaded.tokenised()
        assert len(found) == count
        for one, other in zip(found, wanted, strict=True):
            assert one == _rendered(other, loaded.stage)


def test_calls_tools_and_columns_that_few_rows_have(tmp_path: Path) -> None:
    """Columns that only some rows have, and a call with the tools that it may use."""
    function = {"name": "sky", "description": "Looks up.", "parameters": {"type": "object", "properties": {}}}
    call = {"type": "function", "function": {"name": "sky", "arguments": {}}}
    rows: list[dict[str, Any]] = [
        {
            "prompt": [_turn("user", "Hi")],
            "chosen": [_turn("assistant", "Hello")], "rejected": [_turn("assistant", "No")],
        },
        {
            "prompt": [
                _turn("system", "Be kind."), _turn("user", "Rain?"),
                _turn("assistant", "") | {"tool_calls": [call]}, _turn("tool", "dry"),
            ],
            "chosen": [_turn("assistant", "No.")], "rejected": [_turn("assistant", "Yes.")],
            "tools": [{"type": "function", "function": function}],
        },
    ]  # fmt: skip
    source, target = tmp_path / "pairs.jsonl", tmp_path / "data" / "rows.json"
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert convert(source, target, "lf-sharegpt") == 2
    loaded = Loaded(target, tmp_path, tmp_path)
    plain, agent = loaded.aligned()
    assert plain == Held([("user", "Hi")], [[("assistant", "Hello")], [("assistant", "No")]], [])
    asked = [
        ("system", "Be kind."),
        ("user", "Rain?"),
        ("assistant", '{"name":"sky","arguments":{}}'),
        ("tool", "dry"),
    ]
    assert agent == Held(asked, [[("assistant", "No.")], [("assistant", "Yes.")]], [])
    _, (prompt, chosen, rejected) = loaded.tokenised()
    assert "Be kind." in prompt
    assert "> Tool Name: sky\nTool Description: Looks up." in prompt
    assert "Action: sky\nAction Input: {}" in prompt
    assert (chosen, rejected) == ("No.<|im_end|>", "Yes.<|im_end|>")


def _turn(role: str, content: str) -> dict[str, Any]:
    return {"role": role, "content": content}
