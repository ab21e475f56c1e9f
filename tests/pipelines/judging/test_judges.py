"""Tricky cases of each kind of answer: answer, reference, outcome."""

import pytest

from pipelines.judging import Tolerance, judge, kind_of

OPTIONS = ("red", "dark red", "blue", "18")
C, W, U = "correct", "wrong", "undecided"


def outcome(answer: str, gold: str, kind: str, options: tuple[str, ...] = (), question: str = "") -> str:
    return judge(f"Because.\nFinal answer: {answer}", (gold,), kind, question, options).outcome


@pytest.mark.parametrize(
    ("answer", "gold", "right"),
    [
        *[
            (form, "B", C)
            for form in ("B", "b", "B.", "(B)", "B)", "B:", "[B]", "(b)", "Option B", "B. dark red")
        ],
        *[
            (form, "B", C)
            for form in ("dark red", "Dark Red.", "\\text{B}", "**B**", "（B）", "the option (B)")
        ],
        *[(form, "B", W) for form in ("A", "(C)", "red", "D) 18", "18", "Option D")],
        ("C. red", "C", U),  # letter and text name two options
        ("Z", "B", U),
        ("it is neither", "B", U),
        ("A or B", "B", U),
        ("blue", "C. blue", C),
        ("C", "blue", C),
        ("19", "D", U),  # not an option, and not all options are numbers
        ("Apple", "A", U),
        ("", "A", U),
    ],
)
def test_choice(answer: str, gold: str, right: str) -> None:
    assert outcome(answer, gold, "choice", OPTIONS) == right


def test_letters_belong_to_the_list_the_question_shows() -> None:
    question = "What time?\nChoices:\n(A) 1:30\n(B) 6:30\n(C) 4:30"
    row_options = ("4:30", "1:30", "6:30")
    assert outcome("(C)", "4:30", "choice", row_options, question) == C
    assert outcome("(A) 1:30", "4:30", "choice", row_options, question) == W


def test_a_number_that_is_no_option_is_wrong_where_all_options_are_numbers() -> None:
    assert outcome("54", "B", "choice", ("30", "32", "36")) == W
    assert outcome("32.0", "B", "choice", ("30", "32", "36")) == C


FORMULAS = (
    r"$\frac{1}{2} a^{2}$",
    r"$\pi$",
    r"$2 \sqrt{13}$",
    r"$\frac{1}{2}\left(a^{2}+b^{2}\right)$",
    "$12$",
)


@pytest.mark.parametrize(
    ("answer", "gold", "right"),
    [
        (r"\frac{1}{2}(a^2+b^2)", "D", C),
        (r"\frac{1}{2}(a^2+b^2)", "A", W),  # though it holds each word of A
        (r"The area is $\frac12 (b^2 + a^2)$.", "D", C),
        (r"\sqrt{52}", "C", C),
        (r"\pi", "B", C),
        (r"3 \cdot 4", "E", C),
        (r"\textbf{(C) } 2\sqrt{13}", "C", C),
        (r"\textbf{(C)}\ 2\sqrt{13}", "B", W),
        (r"\text{E.}~12", "E", C),
        (r"8\pi", "B", U),  # no option, but a^2 may be anything
        (r"\angle 14", "E", U),
        ("12 and more", "E", C),
    ],
)
def test_options_that_are_formulas_are_compared_by_value(answer: str, gold: str, right: str) -> None:
    assert outcome(answer, gold, "choice", FORMULAS) == right


def test_a_value_other_than_every_option_is_wrong() -> None:
    values = ("7", r"$2 \sqrt{13}$", r"$6+\frac{\pi}{2}$")
    assert outcome("10", "B", "choice", values) == W
    assert outcome(r"2\pi", "C", "choice", values) == W
    assert outcome("10", "B", "choice", (*values, "another number")) == U
    assert outcome("the angle is $x$", "B", "choice", values) == U


def test_a_letter_other_than_every_bare_letter_is_wrong() -> None:
    points = ("A", "B", "C")
    assert outcome("O", "B", "choice", points) == W
    assert outcome("(b)", "B", "choice", points) == C
    assert outcome("image2", "B", "choice", points) == U


@pytest.mark.parametrize(
    ("answer", "gold", "right"),
    [
        *[(form, "Yes", C) for form in ("yes", "Yes.", "YES", "Yes, there is one.", "True", "是", "对的")],
        *[(form, "Yes", W) for form in ("no", "No, there is none.", "False", "否", "不是")],
        ("yes and no", "Yes", U),
        ("maybe", "Yes", U),
        ("yesterday", "Yes", U),
        ("not sure", "No", U),
        ("nothing", "No", U),
        # What declines for a number may say no.
        ("The chart does not mention Brazil.", "No", U),
        ("The image does not contain a dog", "No", U),
        ("I cannot determine it", "Yes", U),
        ("False", "no", C),
    ],
)
def test_yesno(answer: str, gold: str, right: str) -> None:
    assert outcome(answer, gold, "yesno") == right


@pytest.mark.parametrize(
    ("answer", "gold", "right"),
    [
        *[
            (f, "1200", C)
            for f in ("1,200", "1200.0", "$1,200", "1.2e3", "1.2 \\times 10^3", "1 200", "1200.")
        ],
        *[(f, "1200", C) for f in ("one thousand two hundred", "about 1200", "x = 1200", "1200 dollars")],
        *[(f, "1200", W) for f in ("-1200", "12", "120", "1,201", "1/1200")],
        ("0.5", "1/2", C),
        ("\\frac{1}{2}", "0.5", C),
        ("\\frac12", "0.5", C),
        ("1 1/2", "1.5", C),
        ("2\\frac{1}{2}", "2.5", C),
        ("50%", "0.5", C),
        ("50%", "50", C),
        ("50", "50%", C),
        ("5%", "50", W),
        ("−5", "-5", C),
        ("minus 5", "-5", C),
        ("5", "-5", W),
        ("0", "0.0", C),
        ("-0", "0", C),
        ("3.14159", "3.14", C),
        ("3.15", "3.14", U),  # near: may be rounding, may be a mistake
        ("3.1", "3.14159", U),  # near: what it is when rounded
        ("3.2", "3.14159", W),
        ("0.33", "1/3", C),
        ("12 cm", "12", C),
        ("12", "12 cm", C),
        ("120 mm", "12 cm", C),
        ("12 mm", "12 cm", W),
        ("12 cm", "12 cm^2", U),
        ("75 cents", "$0.75", C),
        ("5 apples", "5 oranges", U),
        ("6 apples", "5 oranges", W),
        ("twenty-five", "25", C),
        ("2 million", "2000000", C),
        ("5-10", "5", U),
        ("between 5 and 10", "5", U),
        ("The total is 12 cm", "12", C),
        ("3 + 4 = 7 apples", "7", C),
        ("2003", "2004", W),
        ("2003.2", "2003", U),
        ("1200!", "1200", U),  # too large to compute
        ("10\\sqrt{3}", "17", W),
        ("4!", "24", C),
        ("\\log 100", "2", C),
        ("\\log 100", "4.6052", C),
        ("\\log 100", "3", U),  # whatever its base
        ("\\ln 100", "2", W),
        ("\\sin 30", "0.5", C),
        ("\\sin 30", "0.6", U),
        ("\\sin \\frac{\\pi}{6}", "0.5", C),
        ("\\sin \\frac{\\pi}{6}", "0.6", W),
        ("\\arctan 1", "45", C),
        ("hello", "5", U),
        ("I cannot determine it", "5", W),
        ("The image does not contain any dogs", "0", U),
        ("I cannot see all of the image, but 5 of 7 are red", "5", U),
        ("１２", "12", C),
        ("12°", "12", C),
        ("1e999999", "5", U),
        ("9" * 5000, "9", U),
        ("1/0", "1", U),
    ],
)
def test_number(answer: str, gold: str, right: str) -> None:
    assert outcome(answer, gold, "number") == right


@pytest.mark.parametrize(
    ("answer", "gold", "right"),
    [
        ("The Eiffel Tower", "eiffel tower", C),
        ("Café", "cafe", C),
        ("It is the Eiffel Tower.", "Eiffel Tower", C),
        ("It is not the Eiffel Tower but Big Ben", "Eiffel Tower", U),
        ("catalogue", "cat", U),
        ("cats", "cat", U),  # too short to call a plural
        ("tables", "table", C),
        ("red", "blue", W),
        ("gray", "grey", C),
        ("light red", "light blue", W),
        ("left", "right", W),
        ("Tuesday", "Monday", W),
        *[(said, meant, U) for said, meant in (("couch", "sofa"), ("car", "automobile"), ("big", "large"))],
        ("sofa", "hippopotamus", U),  # no less alike than `sofa` and `couch`
        ("Paris", "London", U),  # two names may both be acceptable
        ("Barack Hussein Obama", "Obama", C),
        ("seven", "7", C),
        ("7", "8", W),
        ("September 23, 1889", "23 September 1889", C),
        ("It began on April 6, 1917.", "April 1917", C),
        ("23rd of Sept. 1889", "September 23, 1889", C),
        ("April 1917", "April 6, 1917", U),  # less than was asked for
        ("May 6, 1917", "April 6, 1917", U),  # another date may be another event's
        ("Wilhelm Röntgen", "Wilhelm Conrad Röntgen", C),
        ("the drawer", "in the drawer", C),
        ("not the drawer", "in the drawer", U),
        ("state-of-the-art", "state of the art", C),
        ("x+1", "x-1", U),
        ("红色", "红色。", C),
        ("???", "apple", U),
    ],
)
def test_text(answer: str, gold: str, right: str) -> None:
    assert outcome(answer, gold, "text") == right


def test_saying_again_what_the_question_says_proves_nothing() -> None:
    question = "Who has won more, Michigan or Ohio State?"
    said = "Michigan has fewer titles than Ohio State"
    assert outcome(said, "Michigan", "text", question=question) == U


@pytest.mark.parametrize(
    ("answer", "gold", "right"),
    [
        ("\\dfrac{1}{2}", "\\frac12", C),
        ("0.5", "$\\frac{1}{2}$", C),
        ("x+1", "1+x", C),
        ("x+1", "x-1", W),
        ("(x+1)^2", "x^2+2x+1", C),
        ("(x+1)^2", "x^2+1", W),
        ("2\\sqrt{3}", "\\sqrt{12}", C),
        ("\\frac{\\sqrt{2}}{2}", "\\frac{1}{\\sqrt2}", C),
        ("5 \\geq x", "x \\leq 5", C),
        ("x \\leq 5", "x \\geq 5", W),
        ("1>2", "1<2", W),
        ("(1, 2)", "(2, 1)", W),
        ("\\{1, 2\\}", "\\{2, 1\\}", C),
        ("1, 2, 4", "1, 2, 3", W),
        ("p=3, q=4", "3,4", C),
        ("[0, 1)", "[0, 1)", C),
        ("[0, 1)", "(0, 1)", U),
        ("\\pm 2", "-2, 2", C),
        ("x = 5", "5", C),
        ("\\log 100", "2", C),
        ("\\log 100", "1 + 1", C),
        ("\\log 100", "\\sqrt{5}", U),
        ("\\sin 30", "\\frac{1}{2}", C),
        ("\\sin \\pi", "0", C),
        ("\\sin x", "\\cos x", W),
        ("\\sin 30 + x", "x + 1", U),
        ("f(m) = 2m", "f(n) = 2n", C),
        ("\\begin{pmatrix}1\\end{pmatrix}", "\\begin{pmatrix}2\\end{pmatrix}", W),
        ("9^{9^{9^9}}", "5", U),
        ("(" * 150 + "1" + ")" * 150, "x", U),
        ("1000000!", "x", U),
    ],
)
def test_maths(answer: str, gold: str, right: str) -> None:
    assert outcome(answer, gold, "math") == right


@pytest.mark.parametrize(
    ("gold", "kind"),
    [
        ("B", "choice"),
        ("(c)", "text"),
        ("yes", "yesno"),
        ("False", "yesno"),
        ("1,200", "number"),
        ("3 cm", "number"),
        ("1/2", "number"),
        ("x^2+1", "math"),
        ("\\sqrt{2}", "math"),
        ("[0, 1)", "math"),
        ("apple pie", "text"),
        ("right", "text"),
        ("a", "text"),
    ],
)
def test_the_kind_follows_from_the_reference(gold: str, kind: str) -> None:
    assert kind_of(gold) == kind


def test_a_chosen_tolerance_holds_for_expressions_too() -> None:
    five_percent = Tolerance(relative=0.05)
    for kind in ("number", "math"):
        for answer, gold in (("10\\sqrt{3}", "17.0"), ("17.0", "10\\sqrt{3}")):
            assert judge(answer, (gold,), kind, anchored=False, tolerance=five_percent).outcome == C
            assert judge(answer, (gold,), kind, anchored=False).outcome != C
    assert judge("10\\sqrt{3}", ("25",), "math", anchored=False, tolerance=five_percent).outcome == W


def test_options_make_it_a_choice() -> None:
    assert kind_of("blue", ("red", "blue")) == "choice"
    assert kind_of("12", ("10", "12")) == "choice"
