"""One copy of an engine in a process of its own, started by `replica_copy.py` alone: answers what a socket brings.

    python -m pipelines.engines.replica FD

The decision to question: the end of the socket is the only way to stop. Whatever ended the other side, be it a kill,
the copy then closes its engine and ends. An error that says what to do is told and ends the copy, too; the other side
decides whether to begin anew. Any other error ends it with its traceback.
"""

import asyncio
import os
import socket
import sys
from contextlib import suppress

from pipelines.engines import make_engine
from pipelines.engines.base import Engine
from pipelines.engines.replica_wire import ASK, HELLO, Answer, Ask, Broken, Ready, receive, send, unpacked
from pipelines.engines.workers import Stopped
from prefdata.errors import PrefdataError
from prefdata.progress import log, set_up_logging


async def serve(channel: socket.socket) -> None:
    """Start the engine that is asked for, and answer until the other side ends."""
    reader, writer = await asyncio.open_connection(sock=channel)
    hello = await receive(reader, HELLO)
    if hello is None:
        return
    log.setLevel(hello.level)
    engine: Engine | None = None
    try:
        engine = make_engine(hello.options)
        abilities = await engine.start()
        await send(writer, Ready(abilities=abilities))
        await _answer_all(engine, reader, writer)
    except* PrefdataError as errors:
        first = _first(errors)
        with suppress(ConnectionError):
            again = isinstance(first, Stopped)
            await send(writer, Broken(reason=str(first), exit_code=first.exit_code, again=again))
    except* ConnectionError:
        pass  # nobody reads what was finished last
    finally:
        if engine is not None:
            await engine.close()


async def _answer_all(engine: Engine, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    async def answer(ask: Ask) -> None:
        replies = await engine.generate(unpacked(ask.batch))
        await send(writer, Answer(number=ask.number, replies=replies))

    async with asyncio.TaskGroup() as tasks:
        working: set[asyncio.Task[None]] = set()
        while (ask := await receive(reader, ASK)) is not None:
            task = tasks.create_task(answer(ask))
            working.add(task)
            task.add_done_callback(working.discard)
        for task in working:
            task.cancel()


def _first(errors: BaseExceptionGroup[PrefdataError]) -> PrefdataError:
    error: BaseException = errors
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, PrefdataError)
    return error


def main() -> None:
    """Serve, then end at once: a thread that still computes what nobody wants is not waited for."""
    set_up_logging()
    runner = asyncio.Runner()
    runner.run(serve(socket.socket(fileno=int(sys.argv[1]))))
    sys.stderr.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
