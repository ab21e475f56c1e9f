"""Copies that hang, die strangely or cannot be started again, seen from the process that runs them."""

import asyncio
import errno
import shutil
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from unittest.mock import Mock

import psutil
import pytest

from pipelines.cli.options import EngineOptions
from pipelines.engines import make_engine
from pipelines.engines.base import Reply, Request
from pipelines.engines.replica_copy import Copy
from pipelines.engines.replicas import ReplicasEngine
from pipelines.feed import feed
from prefdata.errors import EXIT_DATA, PrefdataError
from prefdata.models import resolve_model
from prefdata.records import Message, Text
from tests.support.program import write_lines

# In all more than a socket takes at once.
PROMPT = "What is it? " * 2000
ROWS = 160


def copies() -> list[psutil.Process]:
    children = psutil.Process().children()
    return [child for child in children if "pipelines.engines.replica" in child.cmdline()]


def answered(
    folder: Path, disturb: Callable[[list[psutil.Process]], object], rows: int = ROWS
) -> list[Reply]:
    """The replies of two copies to `rows` large requests; the copies are disturbed when they have started."""
    write_lines(folder / "answers.jsonl", [{"texts": [" goes on."]}])
    options = EngineOptions(
        checkpoint=str(folder / "answers.jsonl"), engine="replay", dp=2, batch_size=64, stall_timeout=1
    )
    requests = [
        Request(id=str(number), messages=(Message("user", (Text(PROMPT),)),), seed=0)
        for number in range(rows)
    ]
    replies: dict[str, Reply] = {}

    def handle(request: Request, reply: Reply) -> None:
        replies[request.key] = reply

    async def work() -> None:
        engine = make_engine(options)
        try:
            await engine.start()
            disturb(copies())
            async with asyncio.timeout(30):
                await feed(engine, requests, lambda key: key not in replies, handle)
        finally:
            await engine.close()

    asyncio.run(work())
    assert copies() == []
    return [replies[request.key] for request in requests]


def test_copies_that_hang_with_more_to_read_than_their_sockets_hold(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "prefdata")
    found = answered(tmp_path, lambda started: [one.suspend() for one in started])
    assert {reply.error for reply in found} == {None}
    assert caplog.text.count("ended (no answer for 1 s); it is started again") == 2
    assert "never retrieved" not in caplog.text


def test_a_signal_without_a_name(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "prefdata")
    number = signal.SIGRTMIN + 1
    found = answered(tmp_path, lambda started: [one.send_signal(number) for one in started])
    assert {reply.error for reply in found} == {None}
    assert caplog.text.count(f"ended (killed by signal {number:d}); it is started again") == 2


def test_copies_that_cannot_be_started_again_end_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def kill(started: list[psutil.Process]) -> None:
        full = Mock(side_effect=OSError(errno.EMFILE, "Too many open files"))
        monkeypatch.setattr(socket, "socketpair", full)
        for one in started:
            one.kill()

    with pytest.raises(PrefdataError, match=r"No copy .* does not start: \[Errno 24\] Too many open files"):
        answered(tmp_path, kill)


def test_a_mistake_of_our_own_ends_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def mistaken(_: Copy, stall_timeout: float) -> str:
        await asyncio.sleep(0.1)
        raise ZeroDivisionError(f"a mistake after {stall_timeout} s")

    monkeypatch.setattr(Copy, "end", mistaken)
    with pytest.raises(ZeroDivisionError, match="a mistake"):
        answered(tmp_path, len)


def test_an_engine_that_says_why_it_cannot_go_on_ends_the_run(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("transformers")
    from safetensors.torch import load_file, save_file

    caplog.set_level("INFO", "prefdata")
    model = Path(shutil.copytree(resolve_model("demo"), tmp_path / "model"))
    weights = {name: one.fill_(float("nan")) for name, one in load_file(model / "model.safetensors").items()}
    save_file(weights, model / "model.safetensors", {"format": "pt"})
    question = Request(id="0", messages=(Message("user", (Text("How many?"),)),), seed=0)

    async def work() -> None:
        engine = ReplicasEngine(EngineOptions(checkpoint=str(model), engine_arg=("device=cpu",)), 1)
        try:
            await engine.start()
            await engine.generate([question])
        finally:
            await engine.close()

    with pytest.raises(PrefdataError, match=r"^The model's scores are not finite numbers; try") as raised:
        asyncio.run(work())
    assert raised.value.exit_code == EXIT_DATA
    assert "started again" not in caplog.text
