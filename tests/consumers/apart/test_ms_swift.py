"""ms-swift's own loader, preprocessors and inputs of templates, on files that `prefdata convert` wrote.

`load_dataset` drops a row that it cannot use with a line in its log; here a dropped row is a failure, because the rows
are compared one by one with the records of the source.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support import held
from tests.support.held import Held, Turns, convert
from tests.support.program import write_lines

pytest.importorskip("swift.dataset")

LF, XC = "hiyouga+LLaMA-Factory", "InternLM+InternLM-XComposer"
SOURCES = [
    f"{LF}/data/dpo_en_demo.json",
    f"{LF}/data/kto_en_demo.json",
    f"{LF}/data/alpaca_en_demo.json",
    f"{LF}/data/mllm_demo.json",
    f"{LF}/data/mllm_video_demo.json",
    f"{LF}/data/v1_dpo_demo.jsonl",
    f"{LF}/data/v1_multimodal_demo.jsonl",
    "turbo-llm+turbo-alignment/tests/fixtures/datasets/rm/train_preferences.jsonl",
    "oumi-ai+oumi/data/dataset_examples/vision_language_dpo_format.jsonl",
    f"{XC}/InternLM-XComposer-2.5-Reward/training/data/example.json",
    "PKU-Alignment+align-anything/assets/text_to_text/preference/train.json",
    "modelscope+ms-swift/tests/llm/data/multi_modal_2.jsonl",
    "modelscope+ms-swift/tests/llm/data/conversations.jsonl",
    "InternLM+xtuner/tests/resource/mllm_sft_multi_image_example_data.jsonl",
    "princeton-nlp+LLMBar/Dataset/CaseStudy/Base_10/dataset.json",
]
MEDIA = ("images", "videos", "audios")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its caches stay here."""
    monkeypatch.setenv("MODELSCOPE_CACHE", str(tmp_path / "cache"))


def load(path: Path) -> list[Any]:
    """The rows as ms-swift hands them to its templates."""
    from swift.dataset import load_dataset
    from swift.template.base import Template
    from swift.template.template_inputs import TemplateInputs

    rows, _ = load_dataset(str(path))
    loaded = []
    for row in rows:
        inputs = TemplateInputs.from_dict({key: value for key, value in row.items() if value is not None})
        for side in (inputs.chosen, inputs.rejected):
            if side is not None:
                Template._add_default_tags(side)
        loaded.append(inputs)
    return loaded


def as_held(inputs: Any) -> Held:
    """One row."""
    prompt, answer = _cut(_turns(inputs.chosen))
    answers = [answer]
    if inputs.rejected is not None:
        other, answer = _cut(_turns(inputs.rejected))
        assert other == prompt
        assert media(inputs.rejected) == media(inputs.chosen)
        answers.append(answer)
    return Held(prompt, answers, media(inputs.chosen))


def media(side: Any) -> list[str]:
    """Paths of all media of a side."""
    found = [item for key in MEDIA for item in getattr(side, key)]
    return [item["path"] if isinstance(item, dict) else item for item in found]


def _turns(side: Any) -> Turns:
    system = [("system", side.system)] if side.system else []
    return system + held.roles(side.messages, {"tool_call": "assistant"})


def _cut(turns: Turns) -> tuple[Turns, Turns]:
    last = max(index for index, (role, _) in enumerate(turns) if role == "user")
    return turns[: last + 1], turns[last + 1 :]


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: Path(path).stem)
def test_every_row_arrives(shared_data: Path, tmp_path: Path, source: str) -> None:
    path = shared_data / "upstream" / source
    target = tmp_path / "rows.jsonl"
    count = convert(path, target, "swift")
    # Tags that are not there are put in front by ms-swift itself, without a separator.
    wanted = held.expected(path, front="")
    assert len(wanted) == count
    held.compare([as_held(inputs) for inputs in load(target)], wanted, source)


def test_images_inside_the_rows(tmp_path: Path, shared_data: Path) -> None:
    """Bytes in parquet arrive as bytes."""
    import pyarrow
    import pyarrow.parquet

    data = (shared_data / "images" / "hopper.png").read_bytes()
    row = {
        "image": {"bytes": data, "path": "hopper.png"},
        "question": "Who?",
        "chosen": "Grace.",
        "rejected": "Ada.",
    }
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist([row, row]), tmp_path / "rlaifv.parquet")
    assert convert(tmp_path / "rlaifv.parquet", tmp_path / "swift.parquet", "swift") == 2
    for inputs in load(tmp_path / "swift.parquet"):
        assert inputs.chosen.images == inputs.rejected.images == [{"bytes": data, "path": "hopper.png"}]
        assert as_held(inputs).prompt == [("user", "<image>Who?")]


def _row(answer: str = "a", question: str = "q", **more: Any) -> dict[str, Any]:
    turns = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return {"messages": turns, **more}


CALL = {"role": "tool_call", "content": '{"name":"f","arguments":{"x":1}}'}
AGENT = [CALL, {"role": "tool", "content": "r"}, {"role": "assistant", "content": "b"}]


def test_each_rejected_side(tmp_path: Path) -> None:
    """Text, turns, turns with calls, another image with the same or another text."""
    images: dict[str, Any] = {"question": "<image>q", "images": ["1.png"], "rejected_images": ["2.png"]}
    texts = [_row(rejected_response="b", margin=0.5), _row(rejected_response=AGENT)]
    whole = [_row(rejected_messages=_row("b")["messages"])]
    other_image = [_row(rejected_response="b", **images)]
    only_image = [_row(**images)]
    sides = []
    for name, rows in {"texts": texts, "whole": whole, "other": other_image, "only": only_image}.items():
        source, target = write_lines(tmp_path / f"{name}.jsonl", rows), tmp_path / f"{name}.swift.jsonl"
        assert convert(source, target, "swift", "--from", "swift") == len(rows)
        loaded = load(target)
        assert len(loaded) == len(rows)
        sides += [
            (*_cut(_turns(inputs.rejected)), media(inputs.rejected), inputs.chosen.margin)
            for inputs in loaded
        ]
    plain, agent = [("user", "q")], [("assistant", CALL["content"]), ("tool", "r"), ("assistant", "b")]
    assert sides == [
        (plain, [("assistant", "b")], [], 0.5),
        (plain, agent, [], None),
        (plain, [("assistant", "b")], [], None),
        ([("user", "<image>q")], [("assistant", "b")], ["2.png"], None),
        ([("user", "<image>q")], [("assistant", "a")], ["2.png"], None),
    ]


def test_system_texts_labels_losses_and_tools(tmp_path: Path) -> None:
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]
    rows = [
        _row(label=True, system="Be kind."),
        _row(label=False, tools=tools),
        _row(label=False, tools=json.dumps(tools)),
    ]
    rows[0]["messages"][1]["loss"] = False
    target = tmp_path / "swift.jsonl"
    assert convert(write_lines(tmp_path / "rows.jsonl", rows), target, "swift", "--from", "swift") == 3
    first, second, third = (inputs.chosen for inputs in load(target))
    assert (first.system, first.label, first.messages[1]["loss"]) == ("Be kind.", True, False)
    assert (second.system, second.label, second.tools, third.tools) == (None, False, tools, tools)


def test_rows_of_two_kinds_in_one_file_are_dropped(tmp_path: Path) -> None:
    """What docs/formats.md warns of: a column of one row is empty in the others, and ms-swift refuses that."""
    rows = [
        _row(rejected_response="b"),
        _row(question="<image>q", images=["1.png"], rejected_images=["2.png"]),
        _row(),
    ]
    assert convert(write_lines(tmp_path / "rows.jsonl", rows), tmp_path / "swift.jsonl", "swift") == 3
    assert len(load(tmp_path / "swift.jsonl")) == 1
