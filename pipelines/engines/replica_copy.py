"""A copy of an engine, seen from the run: its process, what it owes, and how it ended.

Where it stands: `replicas.py` holds several; `replica.py` is what runs in the process. The decision to question: each
copy is a session of its own. Ctrl-C reaches the run alone, which lets the copies close; and whatever is left of a copy
can be found and ended, workers that it has just started included (`orphans.py`).
"""

import asyncio
import itertools
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress

from pipelines.engines.base import Abilities, Reply, Request
from pipelines.engines.orphans import end_session, guard_session, release
from pipelines.engines.replica_wire import SAID, Answer, Ask, Broken, Hello, Ready, packed, put, receive
from prefdata.errors import PrefdataError

# For a process that has closed its connection to end.
_EXIT_SECONDS = 15.0
# An answer may have come that this process had no time to read yet.
_LOOK_AGAIN_SECONDS = 0.5


class Ended(Exception):
    """The copy that had the group has ended."""


class Copy:
    """One process and what it owes."""

    def __init__(self, number: int, environment: dict[str, str]) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self.process = subprocess.Popen(
                # -P: no file of the working directory stands in for a module.
                [sys.executable, "-P", "-m", "pipelines.engines.replica", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                env=os.environ | environment,
                stdin=subprocess.DEVNULL,
                stdout=2,  # standard output belongs to results
                start_new_session=True,
            )
        self.number, self._socket = number, ours
        self._guard = guard_session(self.process.pid)
        self.owed: dict[int, asyncio.Future[list[Reply]]] = {}
        self.answered = 0
        self._over = False
        self._moved = time.monotonic()
        self._numbers = itertools.count()

    @property
    def load(self) -> int | None:
        """Groups that it owes; None where it takes no more, because it is at its end."""
        return None if self._over else len(self.owed)

    async def begin(self, hello: Hello) -> Abilities:
        """Start its engine. Raises PrefdataError where that fails."""
        self._reader, self._writer = await asyncio.open_connection(sock=self._socket)
        put(self._writer, hello)
        said = await receive(self._reader, SAID)
        if isinstance(said, Ready):
            return said.abilities
        if isinstance(said, Broken):
            raise PrefdataError(said.reason, exit_code=said.exit_code)
        raise PrefdataError(f"Copy {self.number} of the engine does not start: {await self._exit()}.")

    async def ask(self, batch: Sequence[Request]) -> list[Reply]:
        """The replies to a group. Raises Ended where the copy ends before."""
        number = next(self._numbers)
        if not self.owed:
            self._moved = time.monotonic()
        self.owed[number] = asyncio.get_running_loop().create_future()
        try:
            # Not waited for until it is sent: a copy that hangs takes nothing, and its end is told by the answer alone.
            put(self._writer, Ask(number=number, batch=packed(batch)))
            return await self.owed[number]
        finally:
            del self.owed[number]

    async def end(self, stall_timeout: float) -> str:
        """Read its answers until it ends or stalls; says why. What it owes fails with Ended then.

        Raises PrefdataError where its engine says that it cannot go on, which another start would not cure.
        """
        reading = asyncio.create_task(self._read())
        why = ""
        try:
            while not reading.done():
                left = self._moved + stall_timeout - time.monotonic() if self.owed else stall_timeout
                await asyncio.wait(
                    [reading], timeout=max(left, _LOOK_AGAIN_SECONDS) if stall_timeout else None
                )
                if stall_timeout and self._stalls(stall_timeout):
                    await asyncio.wait([reading], timeout=_LOOK_AGAIN_SECONDS)
                    if not reading.done() and self._stalls(stall_timeout):
                        why = f"no answer for {stall_timeout:g} s"
                        break
            why = why or reading.result() or await self._exit()
        finally:
            reading.cancel()
            self._over = True
        self.fail(Ended(why))
        return why

    def fail(self, error: BaseException) -> None:
        """Raise an error in whoever waits for what it owes."""
        for waiting in self.owed.values():
            if not waiting.done():
                waiting.set_exception(error)

    async def close(self, patience: float) -> None:
        """Let it close its engine for `patience` seconds, then kill what is left of it."""
        self._over = True
        if hasattr(self, "_writer"):
            # Not `close`, which would wait until what is left is taken: by a copy that hangs, never. Nor the socket:
            # the loop would go on to watch its number, which the next connection gets.
            self._writer.transport.abort()
        else:
            self._socket.close()
        await asyncio.to_thread(self._wait, patience)

    def _wait(self, patience: float) -> None:
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(patience)
        end_session(self.process.pid)
        self.process.wait()
        release(self._guard)

    async def _read(self) -> str | None:
        try:
            while (said := await receive(self._reader, SAID)) is not None:
                self._moved = time.monotonic()
                if isinstance(said, Broken):
                    if not said.again:
                        raise PrefdataError(said.reason, exit_code=said.exit_code)
                    # What to do about it is for a run that ends.
                    return said.reason.partition("; ")[0].rstrip(".")
                if isinstance(said, Answer):
                    self.answered += 1
                    waiting = self.owed.get(said.number)
                    if waiting is not None and not waiting.done():
                        waiting.set_result(said.replies)
            return None
        finally:
            # How the process ends is waited for: nothing is to be asked of it meanwhile.
            self._over = True

    def _stalls(self, seconds: float) -> bool:
        return bool(self.owed) and time.monotonic() - self._moved >= seconds

    async def _exit(self) -> str:
        """How the process ended."""
        try:
            code = await asyncio.to_thread(self.process.wait, _EXIT_SECONDS)
        except subprocess.TimeoutExpired:
            return "its process closed the connection"
        if code >= 0:
            return f"exit code {code}"
        named = -code in set(signal.Signals)  # real-time signals have no names
        return f"killed by {signal.Signals(-code).name if named else f'signal {-code}'}"
