"""A response cut into steps: nothing is lost between them, and there are never too many."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from pipelines.steps import steps_of

texts = st.lists(st.sampled_from(["a", "b c", "\n", "\n\n", " \n \n", "\t", "中文", "```"])).map("".join)


def said(response: str, most: int = 12) -> list[str]:
    return [response[step.start : step.stop] for step in steps_of(response, most)]


def test_blank_lines_part_steps() -> None:
    assert said("We add.\n\nFirst two,\nthen three.\n \t\n\n  So:\n5\n") == [
        "We add.",
        "First two,\nthen three.",
        "So:\n5",
    ]
    assert said("  one step ") == ["one step"]
    assert said(" \n\n ") == []


def test_too_many_steps_are_joined_in_groups_of_equal_size() -> None:
    assert said("1\n\n2\n\n3\n\n4\n\n5", most=3) == ["1\n\n2", "3\n\n4", "5"]
    assert said("1\n\n2\n\n3\n\n4", most=3) == ["1\n\n2", "3\n\n4"]
    assert said("1\n\n2", most=1) == ["1\n\n2"]


@given(texts, st.integers(1, 5))
def test_prefixes_grow_to_the_whole_response(response: str, most: int) -> None:
    steps = steps_of(response, most)
    assert len(steps) <= most
    assert bool(steps) == bool(response.strip())
    for step, after in pairwise(steps):
        assert step.follows == after.start
        assert not response[step.stop : step.follows].strip()
        assert response[step.stop : step.follows].count("\n") >= 2
    for step in steps:
        text = response[step.start : step.stop]
        assert text == text.strip() != ""
    if steps:
        assert not response[: steps[0].start].strip()
        assert steps[-1].follows == len(response)
