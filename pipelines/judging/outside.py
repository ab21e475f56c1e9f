"""What the rules cannot decide alone: questions for worker processes, gathered, asked together and remembered.

`Outside.look` says what is known already and notes what is not; `answer` asks all that was noted at once. The judge
then looks a second time. Remembered per (kind, answer, reference) for the life of the process: a time-out, too, so that
a hostile answer that many samples share costs its time once.
"""

from typing import Final, Literal

import msgspec

from pipelines.judging import maths, symbolic
from pipelines.judging.normalise import plain
from pipelines.judging.verdict import EXACT, VERSION, Decision, Tolerance
from pipelines.judging.workers import Found, Task, shared
from prefdata.errors import PrefdataError

Algebra = Literal["auto", "on", "off"]

_MOST_REMEMBERED: Final = 262_144
_remembered: dict[Task, Found] = {}


def version() -> str:
    """The set of rules in use, and the math-verify that completes them where it is installed."""
    return f"{VERSION}+math-verify-{symbolic.installed()}" if symbolic.installed() else VERSION


class Outside:
    """The questions of one batch."""

    def __init__(self, algebra: Algebra = "auto") -> None:
        if algebra == "on" and not symbolic.installed():
            raise PrefdataError(
                "math-verify was asked for and is not installed; pip install 'prefdata[judge]', or leave it out."
            )
        self._algebra = algebra != "off" and bool(symbolic.installed())
        self._todo: dict[Task, None] = {}
        self._noted = False

    def look(self, answer: str, gold: str, kind: str, tolerance: Tolerance, decision: Decision) -> Decision:
        """`decision` by the rules, or what a worker has found where they leave it open."""
        if kind == "regex":
            found = self._found(Task("regex", answer, gold))
            return decision if found is None else _decision(found, answer, "regex")
        if decision.reason != "nomatch" or not decision.rule.startswith("maths") or not self._algebra:
            return decision
        mine, theirs = maths.formula(answer), maths.formula(gold)
        if symbolic.dangerous(mine) or symbolic.dangerous(theirs):
            return msgspec.structs.replace(decision, reason="guard")
        task = symbolic.task(mine, theirs)
        found = None if task is None else self._found(task)
        if found is None or found.what == "open":
            return decision
        if found.what == "different" and tolerance != EXACT:
            return decision  # different, but perhaps not by more than was allowed
        return _decision(found, answer, "math-verify")

    def asked(self) -> bool:
        """Whether something new was noted since the last time this was asked."""
        noted, self._noted = self._noted, False
        return noted

    def answer(self) -> bool:
        """Have everything noted answered; whether there was anything."""
        if not self._todo:
            return False
        for kind in ("symbolic", "regex"):
            tasks = [task for task in self._todo if task.kind == kind]
            if tasks:
                if len(_remembered) + len(tasks) > _MOST_REMEMBERED:
                    _remembered.clear()
                _remembered.update(zip(tasks, shared(kind).run(tasks), strict=True))
        self._todo.clear()
        return True

    def _found(self, task: Task) -> Found | None:
        found = _remembered.get(task)
        if found is None:
            self._todo[task] = None
            self._noted = True
        return found


def forget() -> None:
    """Forget all answers of workers (for measuring)."""
    _remembered.clear()


def _decision(found: Found, answer: str, rule: str) -> Decision:
    """What a worker's answer means."""
    shown = found.shown or plain(answer)[:200]
    match found.what:
        case "equal":
            return Decision("correct", rule, shown)
        case "different":
            return Decision("wrong", rule, shown)
        case "timeout" | "failed":
            return Decision("undecided", rule, shown, "timeout")
        case "open":
            return Decision("undecided", rule, shown, "nomatch")
    return Decision("undecided", rule, shown, found.what)
