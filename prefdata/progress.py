"""What a person sees while a command works: a bar on a terminal, plain lines elsewhere, nothing with `-q`."""

import logging
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

log = logging.getLogger("prefdata")

# Without a terminal (a batch job's log file) one line per so many seconds is enough.
_LINE_EVERY_SECONDS = 30.0
_COLUMNS, _ROWS = 100, 20
# Work that took less is done before anyone asks how far it is, and its rate would be noise.
_WORTH_A_LINE_SECONDS = 1.0


class Progress:
    """Counts finished units; `advance` may carry a short note such as rates or kept/dropped counts."""

    def __init__(self, what: str, total: int | None, unit: str) -> None:
        self.what, self.total, self.unit = what, total, unit
        self.done = self._before = 0
        self._started = self._last_line = time.monotonic()
        self._bar = None
        if log.isEnabledFor(logging.INFO) and sys.stderr.isatty():
            from tqdm import tqdm

            # Without its thread, which only watches for bars that stand still: a process with threads cannot fork.
            tqdm.monitor_interval = 0
            columns, rows = _size()
            self._bar = tqdm(
                total=total, desc=what, unit=f" {unit}", file=sys.stderr, ncols=columns, nrows=rows
            )

    def advance(self, count: int = 1, note: str = "") -> None:
        """Count `count` more units as finished."""
        self.done += count
        if self._bar is not None:
            if note:
                self._bar.set_postfix_str(note, refresh=False)
            self._bar.update(count)
        elif time.monotonic() - self._last_line >= _LINE_EVERY_SECONDS:
            self._last_line = time.monotonic()
            self._line(note)

    def skip(self, count: int) -> None:
        """Count units that were finished before: they say nothing about the speed."""
        self.done += count
        self._before += count
        if self._bar is not None:
            self._bar.initial += count
            self._bar.update(count)

    def close(self, note: str = "") -> None:
        """Finish; without a terminal the last line is printed, unless it says no more than that little was done."""
        if self._bar is not None:
            self._bar.close()
        elif note or time.monotonic() - self._started >= _WORTH_A_LINE_SECONDS:
            self._line(note)

    def _line(self, note: str) -> None:
        seconds = time.monotonic() - self._started
        share = f"{self.done}/{self.total}" if self.total is not None else str(self.done)
        rate = (self.done - self._before) / seconds if seconds > 0 else 0.0
        left = self.total - self.done if self.total is not None else 0
        log.info(
            "%s: %s %s, %.1f s, %.1f/s%s%s",
            self.what,
            share,
            self.unit,
            seconds,
            rate,
            f", about {duration(left / rate)} left" if left and rate else "",
            f", {note}" if note else "",
        )


def duration(seconds: float) -> str:
    """A length of time as a person says it: `40 s`, `12 min`, `5.2 h`."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def _size() -> tuple[int | None, int | None]:
    """Columns and rows to draw in: None where the terminal says; where it says 0 (in containers), a usual size, as
    tqdm would draw nothing.
    """
    return (None, None) if shutil.get_terminal_size((0, 0)).columns else (_COLUMNS, _ROWS)


@contextmanager
def progress(what: str, total: int | None = None, unit: str = "rows") -> Iterator[Progress]:
    """A `Progress` that is closed at the end, whatever happens."""
    shown = Progress(what, total, unit)
    try:
        yield shown
    finally:
        shown.close()


@contextmanager
def silent() -> Iterator[None]:
    """Nothing but errors while a command does a step that its user did not ask for by itself."""
    before = log.level
    log.setLevel(max(before, logging.WARNING))
    try:
        yield
    finally:
        log.setLevel(before)


def say(message: str) -> None:
    """A plain line for the user on standard error; silent with `-q`."""
    log.info("%s", message)


def set_up_logging() -> None:
    """Send the program's own lines to standard error, as they are."""
    if not log.handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(message)s"))
        log.addHandler(handler)
        log.propagate = False
        log.setLevel(logging.INFO)
