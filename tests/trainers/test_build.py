"""Rows become trees with exactly the tokens of the whole conversation; what cannot be trained on is named by line."""

import json
from pathlib import Path
from typing import Any

import pytest

from prefdata.errors import PrefdataError
from tests.support.forests import config
from trainers import families, grow
from trainers.pixels import PixelStore
from trainers.trees import Tree


def write(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def trees(model: Path, data: Path, **settings: Any) -> grow.Grown:
    opened = families.open_model(str(model))
    return grow.grow(config(model, data, **settings), opened, PixelStore(opened))


def text_of(model: Path, tree: Tree, number: int) -> tuple[str, str]:
    tokenizer = families.open_model(str(model)).tokenizer
    branch = tree.branches[number]
    scored = [token for token, wanted in zip(branch.ids, branch.supervised, strict=True) if wanted]
    return tokenizer.decode(tree.trunk), tokenizer.decode(scored)


def test_answers_and_their_end_token_are_supervised(models: dict[str, Path], tmp_path: Path) -> None:
    data = write(tmp_path / "a.jsonl", {"question": "Two plus two?", "chosen": "Four!", "rejected": "Five"})
    (tree,) = trees(models["llama"], data).trees
    prompt, chosen = text_of(models["llama"], tree, 0)
    assert prompt == "<|im_start|>user\nTwo plus two?<|im_end|>\n<|im_start|>assistant\n"
    assert chosen == "Four!<|im_end|>"
    assert text_of(models["llama"], tree, 1)[1] == "Five<|im_end|>"
    assert tree.pairs == ((0, 1),)
    assert [branch.liked for branch in tree.branches] == [True, False]


def test_image_tokens_come_from_the_processor(models: dict[str, Path], pairs: Path) -> None:
    opened = families.open_model(str(models["llava"]))
    store = PixelStore(opened)
    grown = grow.grow(config(models["llava"], pairs), opened, store)
    tree = grown.trees[0]
    assert tree.trunk.count(opened.image_token_id) == 4
    assert store.load(tree)["pixel_values"].shape == (1, 3, 16, 16)
    whole = opened.processor(
        text="<|im_start|>user\n<image>\nWhat is 0 plus 0?<|im_end|>\n<|im_start|>assistant\nIt is 0!<|im_end|>",
        images=[[_picture(pairs.parent / "0.png")]],
    )["input_ids"][0]
    assert list(tree.trunk + tree.branches[0].ids) == list(whole)


def test_only_assistant_turns_of_a_conversation_are_supervised(
    models: dict[str, Path], tmp_path: Path
) -> None:
    row = {
        "conversations": [
            {"from": "human", "value": "Hi"},
            {"from": "gpt", "value": "Hello!"},
            {"from": "human", "value": "Name?"},
            {"from": "gpt", "value": "Tiny"},
        ]
    }
    grown = trees(models["llama"], write(tmp_path / "c.jsonl", row), stage="sft")
    _, scored = text_of(models["llama"], grown.trees[0], 0)
    assert scored == "Hello!<|im_end|>Tiny<|im_end|>"


def test_sft_on_pairs_takes_the_chosen_side(models: dict[str, Path], text_pairs: Path) -> None:
    grown = trees(models["llama"], text_pairs, stage="sft")
    assert all(len(tree.branches) == 1 and not tree.pairs for tree in grown.trees)


PAIR = {"question": "Two plus two?", "chosen": "Four", "rejected": "Five"}
ASKED = [{"role": "user", "content": "Weather?"}]
CALL = {
    "prompt": ASKED,
    "chosen": [
        {
            "role": "assistant",
            "tool_calls": [{"type": "function", "function": {"name": "w", "arguments": {}}}],
        }
    ],
    "rejected": [{"role": "assistant", "content": "Sunny"}],
}
THOUGHT = {
    "prompt": ASKED,
    "chosen": [{"role": "assistant", "content": "Rain", "reasoning_content": "It is autumn."}],
    "rejected": [{"role": "assistant", "content": "Sunny"}],
}


@pytest.mark.parametrize(
    ("kind", "row", "settings", "reason"),
    [
        ("llama", PAIR | {"chosen": "Four " * 300}, {}, "more than the 512 allowed by the model"),
        ("llama", PAIR, {"max_length": 30}, "more than the 30 allowed by --max-length"),
        (
            "llama",
            PAIR | {"rejected": "Four"},
            {},
            "two equal answers (token by token), which say nothing",
        ),
        ("llama", PAIR | {"image": "x.png"}, {}, "this model reads text only"),
        ("llama", CALL, {}, "has a tool call or its result, which cannot be trained on yet"),
        ("llama", THOUGHT, {}, "has reasoning, which cannot be trained on yet"),
        ("llava", PAIR | {"image": "missing.png"}, {}, "missing.png"),
        ("llava", PAIR | {"chosen": "Four <image>", "image": None}, {}, "image placeholder inside an answer"),
    ],
)
def test_bad_rows_are_named_or_left_out_and_counted(
    kind: str,
    row: dict[str, Any],
    settings: dict[str, Any],
    reason: str,
    models: dict[str, Path],
    tmp_path: Path,
) -> None:
    good = (
        row | {"chosen": [{"role": "assistant", "content": "Snow"}]}
        if "prompt" in row
        else {"question": "a", "chosen": "b", "rejected": "c"}
    )
    data = write(tmp_path / "bad.jsonl", good, row)
    with pytest.raises(PrefdataError, match=r"bad\.jsonl:2: ") as caught:
        trees(models[kind], data, **settings)
    assert reason in str(caught.value)
    if "max_length" not in settings:
        grown = trees(models[kind], data, on_bad_row="skip", **settings)
        assert len(grown.trees) == 1
        (left_out,) = grown.left_out
        assert left_out.place == f"{data}:2"
        assert reason in left_out.reason


def test_an_image_of_a_later_question_is_not_called_one_of_an_answer(
    models: dict[str, Path], tmp_path: Path
) -> None:
    from PIL import Image

    Image.new("RGB", (16, 16)).save(tmp_path / "x.png")
    said = [("human", "Hello."), ("gpt", "Hello!"), ("human", "<image>What is it?"), ("gpt", "A cat.")]
    row = {"conversations": [{"from": who, "value": text} for who, text in said], "images": ["x.png"]}
    with pytest.raises(PrefdataError, match="has an image in a turn behind the first answer"):
        trees(models["llava"], write(tmp_path / "c.jsonl", row), stage="sft")


def test_a_prompt_that_changes_under_its_answer_is_refused(models: dict[str, Path], tmp_path: Path) -> None:
    """A template that rewrites earlier turns once an answer follows would put the spans in the wrong place."""
    import shutil

    folder = tmp_path / "model"
    shutil.copytree(models["llama"], folder)
    template = folder / "chat_template.jinja"
    template.write_text("{{ messages | length }}" + template.read_text())
    data = write(tmp_path / "p.jsonl", PAIR)
    with pytest.raises(PrefdataError, match="tokens change when the answer follows"):
        trees(folder, data)


def test_a_template_without_an_assistant_is_refused(models: dict[str, Path], tmp_path: Path) -> None:
    import shutil

    folder = tmp_path / "model"
    shutil.copytree(models["llama"], folder)
    (folder / "chat_template.jinja").write_text(
        "{% for m in messages if m['role'] == 'user' %}{{ m['content'] }}{% endfor %}"
    )
    with pytest.raises(
        PrefdataError, match="its chat template writes no assistant turn, so there is nothing"
    ):
        trees(folder, write(tmp_path / "p.jsonl", PAIR))


def test_a_template_without_end_token_gets_one_and_says_so(models: dict[str, Path], tmp_path: Path) -> None:
    import shutil

    folder = tmp_path / "model"
    shutil.copytree(models["llama"], folder)
    (folder / "chat_template.jinja").write_text(
        "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}"
        "{% if add_generation_prompt %}assistant: {% endif %}"
    )
    grown = trees(folder, write(tmp_path / "p.jsonl", PAIR))
    assert grown.ends_added == 2
    assert text_of(folder, grown.trees[0], 0)[1].endswith("<|im_end|>")


def _picture(path: Path) -> Any:
    from prefdata.images import load_rgb

    return load_rgb(path)
