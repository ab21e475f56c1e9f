"""PD1xx: who speaks, and in which order."""

from collections.abc import Iterator
from itertools import pairwise

from prefdata.findings import Hit, detail
from prefdata.formats.base import Format, Turn, View
from prefdata.formats.building import REPEATED, repeats


def check(view: View, fmt: Format) -> Iterator[Hit]:
    """Roles, alternation, ends and empty turns."""
    every = [*view.prompt, *view.chosen, *view.rejected, *(view.rejected_prompt or ())]
    for turn in every:
        if turn.role is None:
            yield Hit("PD101", _turn(turn), detail(turn.said))
    yield from _systems(view.prompt, fmt)
    if view.kind == "conversation":
        yield from _conversation(view.prompt)
    elif view.kind == "pair" and fmt.holds.turns:
        yield from _prompt(view.prompt)
        for side in (view.chosen, view.rejected):
            if side and side[0].role not in ("assistant", None):
                yield Hit("PD103", _turn(side[0]), _answering(side, view))


def _answering(side: list[Turn], view: View) -> str:
    return f"the side {REPEATED}" if repeats(side, view.prompt) else f"the answer is the {side[0].role}'s"


def _turn(turn: Turn) -> str:
    return turn.field.rpartition(".")[0] or turn.field


def _systems(turns: list[Turn], fmt: Format) -> Iterator[Hit]:
    for index, turn in enumerate(turns):
        if turn.role == "system" and not fmt.holds.system:
            yield Hit("PD105", _turn(turn))
        elif turn.role == "system" and index > 0:
            yield Hit("PD107", _turn(turn))


def _conversation(turns: list[Turn]) -> Iterator[Hit]:
    spoken = [turn for turn in turns if turn.role != "system"]
    if not spoken:
        yield Hit("PD106")
        return
    yield from _alternation(spoken)
    yield from _empty(spoken)
    if spoken[-1].role not in ("assistant", None):
        yield Hit("PD103", _turn(spoken[-1]), f"the {spoken[-1].role} speaks last")


def _prompt(turns: list[Turn]) -> Iterator[Hit]:
    spoken = [turn for turn in turns if turn.role != "system"]
    yield from _alternation(spoken)
    if len(spoken) > 1:
        yield from _empty(spoken[:-1])
    if spoken and spoken[-1].role == "assistant":
        yield Hit("PD103", _turn(spoken[-1]), "the prompt ends with the assistant")


def _alternation(turns: list[Turn]) -> Iterator[Hit]:
    """Only the first break is told: everything after it is shifted by it."""
    if turns[:1] and turns[0].role == "assistant":
        yield Hit("PD102", _turn(turns[0]), "the assistant begins")
        return
    for before, turn in pairwise(turns):
        if turn.role == before.role and turn.role in ("user", "assistant"):
            yield Hit("PD102", _turn(turn), f"the {turn.role} speaks twice in a row")
            return


def _empty(turns: list[Turn]) -> Iterator[Hit]:
    for turn in turns:
        # A tool call is all that its turn has to say.
        if (
            not turn.text.strip()
            and not turn.calls
            and (turn.role == "assistant" or len(turn.parts) == len(turn.text))
        ):
            yield Hit("PD104", turn.field)
