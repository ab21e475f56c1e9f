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
        ([0], ""),
    ],
)
def test_placeholders_and_dangling_labels_go(parts: list[int | str], text: str) -> None:
    turn = Message("user", tuple(MediaRef(part) if isinstance(part, int) else Text(part) for part in parts))
    assert without_images(turn).text == text
    assert not without_images(turn).media_indexes
