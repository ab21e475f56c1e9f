"""Prompt versions: markers, where the question stands, what is cut, where images go."""

from pathlib import Path
from typing import get_args

import pytest

from pipelines.choices import PromptVersion
from pipelines.prompts import TEMPLATES, Template, build, own_template, without_short_answer_request
from prefdata.errors import PrefdataError
from prefdata.records import Media, MediaRef, Message, Text, message

ONE, TWO = (Media(uri="a.png"),), (Media(uri="a.png"), Media(uri="b.png"))


def text_of(version: str, question: str) -> str:
    return build((message("user", question),), (), TEMPLATES[version])[-1].text


@pytest.mark.parametrize(
    ("version", "markers"),
    [
        ("en", ["Final answer: ..", "Question:\nHow many?"]),
        ("zh", ["答案: ...", "How many?"]),
        ("en_v2", ["Answer: \\boxed{$FINAL_ANSWER}"]),
        ("zh_v2", ["答案：\\boxed{$FINAL_ANSWER}"]),
        ("en_r1", ["<think>", "</think>", "\\boxed{}"]),
        ("zh_r1", ["<think>", "</think>", "\\boxed{}"]),
        ("en_background", ["Final answer: ..", "Question:\nHow many?"]),
        ("en_visual", ["Final answer: ..", "Question:\nHow many?"]),
        ("en_grounded", ["Final answer: ..", "<box>[[x1, y1, x2, y2]]</box>", "Question:\nHow many?"]),
    ],
)
def test_a_version_holds_its_literal_markers(version: str, markers: list[str]) -> None:
    text = text_of(version, "How many?")
    assert all(marker in text for marker in markers)


def test_the_instruction_stands_before_or_after_the_question() -> None:
    assert text_of("en", "Q?").endswith("Q?")
    assert text_of("en_v2", "Q?").startswith("Q?")
    assert text_of("plain", "Q? ") == "Q? "
    assert set(TEMPLATES) == set(get_args(PromptVersion))


@pytest.mark.parametrize(
    "instruction",
    [
        "Answer the question using a single word or phrase.",
        "\nAnswer with the option's letter from the given choices directly.",
        "Please answer yes or no.",
        "Please answer the question and put the final answer within \\boxed{}.",
        "\nanswer the question using a single word or phrase",
    ],
)
def test_short_answer_requests_are_cut_at_the_end_only(instruction: str) -> None:
    assert without_short_answer_request(f"What is shown?\n{instruction}") == "What is shown?"
    kept = f"{instruction.strip()} What is shown?"
    assert without_short_answer_request(kept) == kept


def test_a_single_image_goes_to_the_very_front() -> None:
    inside = Message("user", (Text("Look: "), MediaRef(0), Text(" what?")))
    for version in ("en", "en_v2", "plain"):
        content = build((inside,), ONE, TEMPLATES[version])[0].content
        assert content[0] == MediaRef(0)
        assert isinstance(content[1], Text)
        assert content[1].text.startswith("\n")
        assert sum(isinstance(part, MediaRef) for part in content) == 1


def test_images_without_a_place_go_to_the_front_and_several_stay() -> None:
    unplaced = build((message("user", "What?"),), ONE, TEMPLATES["plain"])[0]
    assert unplaced.content == (MediaRef(0), Text("\nWhat?"))
    placed = Message("user", (Text("First "), MediaRef(0), Text(" second "), MediaRef(1)))
    assert build((placed,), TWO, TEMPLATES["plain"])[0] == placed


def test_text_only_questions_get_no_image() -> None:
    assert not build((message("user", "What?"),), (), TEMPLATES["en_r1"])[0].media_indexes


def test_earlier_turns_and_the_system_turn_stay() -> None:
    prompt = (
        message("system", "Be brief."),
        message("user", "Hi"),
        message("assistant", "Hello"),
        message("user", "Q?"),
    )
    built = build(prompt, (), TEMPLATES["en_v2"])
    assert built[:3] == prompt[:3]
    assert built[3].text.startswith("Q?")


def test_an_own_template_is_the_text_around_the_question(tmp_path: Path) -> None:
    file = tmp_path / "mine.txt"
    file.write_text("Look closely.\n{question}\nEnd with 'Answer: ...'.\n")
    assert own_template(file) == Template(before="Look closely.\n", after="\nEnd with 'Answer: ...'.")
    file.write_text("\ufeffLook. {question}")
    assert own_template(file).before == "Look. "
    for text, count in (("Look closely.", 0), ("{question} {question}", 2)):
        file.write_text(text)
        with pytest.raises(
            PrefdataError, match=rf"mine.txt: holds \{{question\}} {count} times; write it once"
        ):
            own_template(file)
    with pytest.raises(PrefdataError, match=r"none.txt"):
        own_template(tmp_path / "none.txt")
