"""Where the answer is found, and where none is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.judging import extract

FOUND = [
    ("We add.\nFinal answer: 12", "12"),
    ("Final answer: 3\nNo, wait.\nFinal answer: 4", "4"),
    ("Reasoning.\nfinal Answer:  B. dog ", "B. dog"),
    ("**Final answer:** Yes", "Yes"),
    ("**Final answer: Yes**", "Yes"),
    ("### Final answer:\n42", "42"),
    ("推理。\n答案: 红色", "红色"),
    ("推理。\n答案：\\boxed{7}", "7"),
    ("Answer: \\boxed{5}", "5"),
    ("\\boxed{5} is a guess, but I take \\boxed{6}.", "6"),
    ("so \\boxed{\\frac{1}{2}}.", "\\frac{1}{2}"),
    ("roots \\boxed{1}, \\boxed{2} and \\boxed{3}", "1, 2, 3"),
    ("roots $\\boxed{1}$ and $\\boxed{2}$", "1, 2"),
    ("<think>maybe \\boxed{1}</think>The total is \\boxed{2}.", "2"),
    ("<think>long</think>\nBlue", "Blue"),
    ("text <answer> C </answer>", "C"),
    ("text <answer>\\boxed{9}</answer>", "9"),
    ("So the answer is 15.", "15."),
    ("steps\n#### 72", "72"),
    ("steps\nA: 105", "105"),
    ("Final Answer: The final answer is $10$. I hope it is correct.", "$10$"),
]


@pytest.mark.parametrize(("response", "answer"), FOUND)
def test_takes_the_last_anchored_answer(response: str, answer: str) -> None:
    found = extract(response)
    assert found is not None
    assert found.text == answer


@pytest.mark.parametrize(
    "response",
    [
        "",
        "   \n ",
        "There are 12 of them, I am sure.",
        "The answer is not clear to me",
        "Final answer:",
        "Final answer: **",
        "Answer: \\boxed{",
        "Answer: \\boxed{$FINAL_ANSWER}",
        "<think>the answer is 5 \\boxed{5}",
        "**Step 1** count the cats",
    ],
)
def test_finds_nothing_without_an_anchor(response: str) -> None:
    assert extract(response) is None


def test_a_bare_prediction_may_be_bold_or_the_whole_text() -> None:
    assert getattr(extract("There are **7** cats.", bare=True), "text", None) == "7"
    assert getattr(extract(" 7 \n", bare=True), "text", None) == "7"
    assert extract("  ", bare=True) is None


@given(st.text(), st.booleans())
def test_the_span_points_at_the_answer(response: str, bare: bool) -> None:
    found = extract(response, bare)
    if found is not None and found.how != "box":
        assert 0 <= found.start <= found.end <= len(response)
        assert found.text.strip()


@given(st.text(alphabet="0123456789abc .-", min_size=1).filter(lambda text: text.strip(" .-")))
def test_finds_what_stands_after_a_marker(answer: str) -> None:
    found = extract(f"Thinking.\nFinal answer: {answer}\n")
    assert found is not None
    assert found.text.strip(" .") == answer.strip().strip(" .")
