"""Which continuations are left out."""

import pytest

from pipelines.filters import comments_on_itself, sameness


@pytest.mark.parametrize(
    "text",
    [
        "I cannot see the image, so I guess.",
        "As an AI language model, I have no eyes.",
        "Sorry, no image was provided.",
        "The picture has not been uploaded yet.",
        "Could you please share the photo?",
        "I can't view images.",
        "抱歉，我无法看到图片。",
        "请提供图片。",
    ],
)
def test_self_commentary(text: str) -> None:
    assert comments_on_itself(text)


@pytest.mark.parametrize(
    "text",
    [
        "The image shows a cat that can not reach the table.",
        "a3 blue-square 0, b1 red-circle 1.",
        "The man cannot lift the box. The picture is dark.",
        "No dogs are visible.",
        "图中有三只猫。",
    ],
)
def test_talk_about_the_picture_is_no_self_commentary(text: str) -> None:
    assert not comments_on_itself(text)


def test_sameness() -> None:
    assert sameness(" a cat sits.", " a cat sits. ") == "identical"
    assert sameness(" A cat sits!", " a cat, sits.") == "near-identical"
    assert sameness(" a cat sits.", " a dog sits.") is None
    many = " ".join(f"word{'x' * (i % 7)}" for i in range(60))
    assert sameness(f"{many} cat", f"{many} dog") == "near-identical"
    assert sameness(f"{many} 3", f"{many} 4") is None  # the numbers are the point
