"""Questions without their pictures."""

import pytest

from pipelines.imageless import without_images
from prefdata.records import MediaRef, Message, Text


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        ([0, "\nDescribe the scene."], "Describe the scene."),
        (["Describe the scene.\n", 0], "Describe the scene."),
        (["Image-1: ", 0, "\nImage-2: ", 1, "\nWhich is larger?"], "Which is larger?"),
        (["图1：", 0, "\n图2：", 1, "\n哪个更大？"], "哪个更大？"),
        (["Is Image-1 older than ", 0, "?"], "Is Image-1 older than ?"),
        (["Compare image 1 and image 2.\n", 0, 1], "Compare image 1 and image 2."),
        (["Screenshot: ", 0, "\nWhat is wrong?"], "What is wrong?"),
        (["写真1: ", 0, "\n写真2: ", 1, "\nどちらが古いですか？"], "どちらが古いですか？"),
        (["이미지 1: ", 0, "\n무엇이 보입니까?"], "무엇이 보입니까?"),
        (["Which one fits?\nA. ", 0, "\nB. ", 1, "\n(C) ", 2], "Which one fits?"),
        (["1. ", 0, " shows a dog. True?"], "1.  shows a dog. True?"),
        (["Look:\n- ", 0, "\n- the text below\nWhat is it?"], "Look:\n- the text below\nWhat is it?"),
        (["Plan A:\n", 0, "\nIs it good?"], "Plan A:\nIs it good?"),
        ([0], ""),
    ],
)
def test_placeholders_and_dangling_labels_go(parts: list[int | str], text: str) -> None:
    turn = Message("user", tuple(MediaRef(part) if isinstance(part, int) else Text(part) for part in parts))
    assert without_images(turn).text == text
    assert not without_images(turn).media_indexes
