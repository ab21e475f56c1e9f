"""Notices an engine that makes no progress; used by the feed.

Progress is an answer that was handled. Where none came for `seconds`, the feed stops asking, restarts the engine and
asks what is owed again. A request that was waiting at two such moments ends the run: whatever it is, one more restart
will not cure it. The decision to question: a thread beside the event loop ends the *process* where even that does not
work, because the engine blocks the loop or does not come back from being closed. Nothing is lost by it: the run
directory survives a kill at any moment.
"""

import asyncio
import os
import sys
import threading
import time
from collections.abc import Iterable

from prefdata.errors import EXIT_DATA, PrefdataError
from prefdata.progress import say

# For an engine to close, and for a run that ends to end, before the process is ended.
GRACE_SECONDS = 60.0
_NAMED = 3


class Stalled(Exception):
    """No progress for too long."""


class Watchdog:
    """One feed's clock. Use as a context manager inside the event loop."""

    def __init__(self, seconds: float, grace: float = GRACE_SECONDS) -> None:
        self.seconds, self._grace = seconds, grace
        self._moved = time.monotonic()
        self._paused = self._hopeless = False
        self._stuck: frozenset[str] = frozenset()
        self._over = threading.Event()

    def __enter__(self) -> "Watchdog":
        self._loop = asyncio.get_running_loop()
        threading.Thread(target=self._guard, daemon=True, name="stall-guard").start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._hopeless:
            self._moved = time.monotonic() - self.seconds  # the guard's grace begins now
        else:
            self._over.set()

    @property
    def left(self) -> float:
        """Seconds until it is a stall."""
        return self._moved + self.seconds - time.monotonic()

    def moved(self) -> None:
        """There was progress."""
        self._moved = time.monotonic()

    def pause(self) -> None:
        """Take no notice until the next progress: an engine that loads a model makes none."""
        self._paused = True

    def resume(self) -> None:
        """Watch again."""
        self._paused = False
        self.moved()

    def stalled(self, waiting: Iterable[str]) -> None:
        """Take note of a stall with these requests waiting. Raises PrefdataError where it has come to the same ones."""
        now = frozenset(waiting)
        again = sorted(now & self._stuck)
        if again:
            self._hopeless = True
            named = ", ".join(again[:_NAMED]) + (" and others" if len(again) > _NAMED else "")
            raise PrefdataError(
                f"The engine made no progress for {self.seconds:g} s, was restarted, and hangs again at the same "
                f"requests ({named}); finished work is kept, the same command goes on with what is owed "
                "(--stall-timeout says how long to wait).",
                exit_code=EXIT_DATA,
            )
        self._stuck = now
        say(
            f"no progress for {self.seconds:g} s: the engine is restarted, {len(now)} requests are asked again"
        )
        self.moved()

    def _guard(self) -> None:
        # A run that ends waits for the engine's threads, and one that hangs would keep it waiting for ever.
        while not self._over.wait(min(1.0, self._grace)) and not self._loop.is_closed():
            if not self._paused and self.left < -self._grace:
                sys.stderr.write(
                    f"error: The engine made no progress for {self.seconds:g} s and cannot be stopped; finished "
                    "work is kept, run the same command again to go on.\n"
                )
                sys.stderr.flush()
                os._exit(EXIT_DATA)
