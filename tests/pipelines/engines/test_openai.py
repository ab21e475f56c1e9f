"""The openai engine against a server that does everything wrong that servers do."""

import asyncio
import io
import json
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
from PIL import Image

from pipelines.cli.dropout_ntp import Config
from pipelines.engines.base import Abilities, Reply, Request, Sampling
from pipelines.engines.openai import OpenAIEngine
from pipelines.probe import probe
from prefdata.errors import PrefdataError
from prefdata.records import MediaRef, Message, Text
from tests.support.hostile_server import Hostile, hostile
from tests.support.program import prefdata, program, read_lines, write_lines

pytest.importorskip("httpx2")

T = TypeVar("T")
ABLE = Abilities(images=True, prefix=True, seeded=True, template_hash="", model_hash="")


@pytest.fixture
def server() -> Iterator[Hostile]:
    with hostile() as running:
        yield running


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.engines.openai_client._FIRST_PAUSE", 0.01)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


def engine_of(server: Hostile | str, *arguments: str, **options: Any) -> OpenAIEngine:
    base_url = server if isinstance(server, str) else server.base_url
    return OpenAIEngine(
        Config(
            checkpoint=options.pop("checkpoint", "counter"), prompt_path="", engine="openai",
            base_url=base_url, engine_arg=arguments, **options,
        )
    )  # fmt: skip


def using(engine: OpenAIEngine, work: Callable[[OpenAIEngine], Awaitable[T]]) -> T:
    async def whole() -> T:
        await engine.start()
        try:
            return await work(engine)
        finally:
            await engine.close()

    return asyncio.run(whole())


def request(question: str = "How many?", **more: Any) -> Request:
    values: dict[str, Any] = {"sampling": Sampling(max_new_tokens=12), "seed": 0} | more
    return Request(id=question, messages=(Message("user", (Text(question),)),), **values)


def ask(engine: OpenAIEngine, *requests: Request) -> list[Reply]:
    async def work(engine: OpenAIEngine) -> list[Reply]:
        return [reply for (reply,) in await asyncio.gather(*(engine.generate([one]) for one in requests))]

    return using(engine, work)


def fault(kind: str, **more: Any) -> str:
    return json.dumps({"fault": kind, **more})


def picture(color: str = "red", kind: str = "PNG", **save: Any) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (8, 6), color).save(stream, kind, **save)
    return stream.getvalue()


def test_an_answer_with_its_usage_seed_and_settings(server: Hostile) -> None:
    sampling = Sampling(temperature=0.5, top_k=7, top_p=0.9, max_new_tokens=4)
    (reply,) = ask(engine_of(server, "body.min_p=0.1"), request(sampling=sampling, n=2))
    assert [sample.text for sample in reply.samples] == [" w1 w2 w3 w4"] * 2
    assert {sample.finish_reason for sample in reply.samples} == {"length"}
    assert reply.tokens == 8
    assert reply.prompt_tokens > 0
    (body,) = server.seen
    wanted = {"temperature": 0.5, "top_k": 7, "top_p": 0.9, "max_tokens": 4, "n": 2, "min_p": 0.1}
    assert {key: body[key] for key in wanted} == wanted
    assert body["seed"] == reply.samples[0].seed


def test_seeds_can_be_left_out(server: Hostile) -> None:
    (reply,) = ask(engine_of(server, "seeds=no"), request())
    assert "seed" not in server.seen[0]
    assert reply.samples[0].seed is None


@pytest.mark.parametrize("kind", ["500", "503", "429", "json", "html", "cut", "reset"])
def test_what_passes_is_tried_again(server: Hostile, kind: str) -> None:
    (reply,) = ask(engine_of(server), request(fault(kind, times=2)))
    assert reply.failure is None
    assert reply.samples[0].text.startswith(" w1")
    assert len(server.seen) == 3


def test_retry_after_is_honoured(server: Hostile) -> None:
    (reply,) = ask(engine_of(server), request(fault("429", times=1, after=1)))
    assert reply.failure is None
    assert 0.9 < server.times[1] - server.times[0] < 5


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("500", "the server answered 500: as asked; tried 3 times"),
        ("cut", "tried 3 times"),
        ("json", "cannot be read"),
        ("400", "the server answered 400: as asked"),
        ("empty", "gave no answer"),
        ("null", "gave no text"),
    ],
)
def test_one_failed_request_fails_alone(server: Hostile, kind: str, reason: str) -> None:
    replies = ask(engine_of(server, "retries=2"), request("first"), request(fault(kind)), request("second"))
    assert [reply.failure is None for reply in replies] == [True, False, True]
    assert reason in str(replies[1].failure)


def test_a_hanging_connection_ends_with_the_time_out(server: Hostile) -> None:
    began = time.monotonic()
    replies = ask(engine_of(server, "timeout=0.4"), request(fault("hang", seconds=3)), request("fine"))
    assert replies[0].failure == "no answer within 0.4 s; tried 2 times"
    assert replies[1].failure is None
    assert time.monotonic() - began < 2.5


def test_a_slow_answer_is_waited_for_and_connections_are_bounded(server: Hostile) -> None:
    slow = [request(fault("slow", seconds=0.15, name=number)) for number in range(6)]
    replies = ask(engine_of(server, batch_size=2), *slow)
    assert all(reply.failure is None for reply in replies)
    assert server.most_running == 2


@pytest.mark.parametrize("behaviour", ["given", "refused", "one", "extra"])
def test_n_gives_n_whatever_the_server_makes_of_it(server: Hostile, behaviour: str) -> None:
    server.n = behaviour
    replies = ask(engine_of(server), *(request(f"question {number}", n=3) for number in range(2)))
    assert [len(reply.samples) for reply in replies] == [3, 3]
    single = [body for body in server.seen if "n" not in body]
    if behaviour in ("given", "extra"):
        assert not single
        assert all(reply.tokens in (36, 48) for reply in replies)
    else:
        seeds = [sample.seed for sample in replies[0].samples]
        assert len(set(seeds)) == 3


@pytest.mark.parametrize("finish", ["content_filter", "abort", "tool_calls"])
def test_an_answer_that_ended_otherwise_is_no_sample(server: Hostile, finish: str) -> None:
    server.finish = finish
    (reply,) = ask(engine_of(server), request())
    assert reply.failure == f"the server ended an answer with '{finish}'"


@pytest.mark.parametrize(
    ("behaviour", "shows"),
    [("fields", True), ("fields", False), ("trailing", False), ("mark", False)],
)
def test_a_prefix_is_continued_in_the_servers_own_way(server: Hostile, behaviour: str, shows: bool) -> None:
    server.prefix, server.shows_prompt = behaviour, shows

    async def work(engine: OpenAIEngine) -> Reply:
        await probe(engine, ABLE, images=False, prefix=True, n=2)
        (reply,) = await engine.generate([request(prefix="  One two")])
        return reply

    reply = using(engine_of(server), work)
    assert reply.samples[0].text.startswith(" w3 w4")
    assert server.seen[-1]["messages"][-1]["content"] == "  One two"


@pytest.mark.parametrize("behaviour", ["fields", "ignored"])
def test_a_vocabulary_without_the_words_of_the_probe(server: Hostile, behaviour: str) -> None:
    server.shows_prompt = server.small_vocabulary = True
    server.prefix = behaviour

    async def work(engine: OpenAIEngine) -> None:
        await probe(engine, ABLE, images=False, prefix=True, n=1)

    if behaviour == "fields":
        using(engine_of(server), work)
    else:
        with pytest.raises(PrefdataError, match="instead of the beginning"):
            using(engine_of(server), work)


@pytest.mark.parametrize("shows", [True, False])
def test_a_template_that_drops_leading_blanks_costs_the_prefixes_with_them(
    server: Hostile, shows: bool
) -> None:
    server.prefix, server.shows_prompt = "trimmed", shows

    async def work(engine: OpenAIEngine) -> list[Reply]:
        await probe(engine, ABLE, images=False, prefix=True, n=1)
        return await engine.generate([request(prefix=" One"), request(prefix="One")])

    blank, plain = using(engine_of(server), work)
    assert "drops blanks" in str(blank.failure)
    assert plain.failure is None


@pytest.mark.parametrize("behaviour", ["ignored", "repeated", "stripped"])
def test_a_server_that_does_not_continue_is_refused(server: Hostile, behaviour: str) -> None:
    server.prefix = behaviour

    async def work(engine: OpenAIEngine) -> None:
        await probe(engine, ABLE, images=False, prefix=True, n=1)

    with pytest.raises(PrefdataError, match="cannot be shown to continue a begun answer"):
        using(engine_of(server), work)


def test_images_travel_as_they_are_and_their_loss_is_found(server: Hostile, tmp_path: Path) -> None:
    files = {"plain.png": picture(), "turned.jpg": None, "odd.bmp": picture(kind="BMP")}
    exif = Image.Exif()
    exif[0x0112] = 6
    files["turned.jpg"] = picture(kind="JPEG", exif=exif)
    for name, data in files.items():
        (tmp_path / name).write_bytes(data or b"")
    content = (MediaRef(0), Text("a"), MediaRef(1), MediaRef(2))
    asked = Request(id="x", messages=(Message("user", content),), images=tuple(tmp_path / n for n in files))
    broken = Request(id="y", messages=(Message("user", (MediaRef(0),)),), images=(b"no picture",))
    good, bad = ask(engine_of(server), asked, broken)
    assert good.failure is None
    assert "cannot be decoded" in str(bad.failure)
    (body,) = server.seen
    parts = body["messages"][0]["content"]
    assert [part["type"] for part in parts] == ["image_url", "text", "image_url", "image_url"]
    addresses = [part["image_url"]["url"] for part in parts if part["type"] == "image_url"]
    assert all(address.startswith("data:image/png;base64,") for address in addresses)

    async def work(engine: OpenAIEngine) -> None:
        await probe(engine, ABLE, images=True, prefix=False, n=1)

    using(engine_of(server), work)
    server.sees_images = False
    with pytest.raises(PrefdataError, match="drops it silently"):
        using(engine_of(server), work)


@pytest.mark.parametrize(
    ("form", "start"),
    [("path", "file:///"), ("https://pictures.example/set", "https://pictures.example/set/a%20b.png")],
)
def test_images_as_addresses(server: Hostile, tmp_path: Path, form: str, start: str) -> None:
    (tmp_path / "a b.png").write_bytes(picture())
    asked = Request(id="x", messages=(Message("user", (MediaRef(0),)),), images=(tmp_path / "a b.png",))
    ask(engine_of(server, f"images={form}", image_root=str(tmp_path)), asked)
    address = server.seen[0]["messages"][0]["content"][0]["image_url"]["url"]
    assert address.startswith(start)
    assert address.endswith("a%20b.png")


def test_the_key_comes_from_the_environment_and_is_never_shown(
    server: Hostile, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.key = "right-key"
    monkeypatch.setenv("OPENAI_API_KEY", "wrong-key")
    with pytest.raises(PrefdataError, match="refuses the key") as refused:
        ask(engine_of(server), request())
    assert "wrong-key" not in str(refused.value)
    monkeypatch.setenv("OTHER_KEY", "right-key")
    (reply,) = ask(engine_of(server, "key_env=OTHER_KEY"), request())
    assert reply.failure is None


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"base_url": None}, "give --base-url"),
        ({"base_url": "http://me:secret@host/v1"}, "no user, password"),
        ({"base_url": "localhost:8000"}, "write it with http"),
        ({"engine_arg": ("timeot=3",)}, "the openai engine knows timeout"),
        ({"engine_arg": ("timeout=soon",)}, "a number from"),
        ({"engine_arg": ("images=ftp://x",)}, "write data, path"),
        ({"tp": 2}, "--tp"),
        ({"dtype": "float16"}, "--dtype"),
    ],
)
def test_wrong_settings_are_one_sentence(options: dict[str, Any], sentence: str) -> None:
    values: dict[str, Any] = {"base_url": "http://localhost:1/v1"} | options
    with pytest.raises(PrefdataError, match=sentence) as refused:
        OpenAIEngine(Config(checkpoint="m", prompt_path="", engine="openai", **values))
    assert "secret" not in str(refused.value)


def test_a_server_that_dies_of_seeds_is_told_apart() -> None:
    with hostile(dies_of_seeds=True) as server:

        async def work(engine: OpenAIEngine) -> None:
            await probe(engine, ABLE, images=False, prefix=True, n=1)

        with pytest.raises(PrefdataError, match="--engine-arg seeds=no"):
            using(engine_of(server, "retries=2"), work)


def test_a_model_that_is_not_there_is_named(server: Hostile) -> None:
    with pytest.raises(PrefdataError, match="no model 'other'; --checkpoint can be 'counter'"):
        ask(engine_of(server, checkpoint="other"), request())


def rows_in(folder: Path, *questions: str) -> None:
    chosen = "It is the number three, and nothing else at all."
    write_lines(folder / "rows.jsonl", [{"question": question, "chosen": chosen} for question in questions])


def arguments(base_url: str) -> tuple[str, ...]:
    return (
        *("dropout-ntp", "--engine", "openai", "--base-url", base_url, "--checkpoint", "counter"),
        *("--prompt-path", "rows.jsonl", "--out-dir", "runs", "--split-unit", "word"),
    )


def test_no_server_is_one_sentence_and_exit_code_2(tmp_path: Path) -> None:
    rows_in(tmp_path, "a?")
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        done = program(*arguments(f"http://127.0.0.1:{unused.getsockname()[1]}/v1"), cwd=tmp_path)
    assert done.returncode == 2
    assert "no server answers there" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_tokens_need_a_tokenizer(server: Hostile, tmp_path: Path) -> None:
    rows_in(tmp_path, "a?")
    done = prefdata(*arguments(server.base_url)[:-2], cwd=tmp_path)
    assert done.returncode == 2
    assert "give --split-unit word" in done.stderr


def test_a_whole_run_what_failed_stays_owed_and_the_key_is_nowhere(
    server: Hostile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.key = "sk-very-secret"
    monkeypatch.setenv("OPENAI_API_KEY", server.key)
    rows_in(tmp_path, "a?", fault("500", times=3), "b?")
    first = prefdata(*arguments(server.base_url), "--engine-arg", "retries=2", cwd=tmp_path)
    assert first.returncode == 1, first.stderr
    assert json.loads(first.stdout)["dropped"] == {"engine": 1}
    asked = len(server.seen)
    # Engine arguments belong to the run: the same ones go on.
    second = prefdata(*arguments(server.base_url), "--engine-arg", "retries=2", cwd=tmp_path)
    assert second.returncode == 0, second.stderr
    assert [body for body in server.seen[asked:] if "a?" in str(body["messages"])] == []
    run = tmp_path / json.loads(second.stdout)["run"]
    pairs = read_lines(run / "pairs.jsonl")
    assert [pair["question"] for pair in pairs] == ["a?", fault("500", times=3), "b?"]
    assert all(
        pair["rejected"].startswith("It is the number three, w6") or " w" in pair["rejected"]
        for pair in pairs
    )
    for file in run.rglob("*"):
        if file.is_file():
            assert b"sk-very-secret" not in file.read_bytes()


def test_a_server_that_dies_ends_the_run_and_the_next_start_goes_on(tmp_path: Path) -> None:
    slow = [fault("slow", seconds=0.1, name=number) for number in range(12)]
    rows_in(tmp_path, *slow)
    extra = ("--batch-size", "2", "--engine-arg", "retries=2")
    with hostile() as server:
        port = server.server_address[1]

        def die_half_way() -> None:
            while sum("slow" in question for question in [*server.tries]) < 6:
                time.sleep(0.01)
            server.die()

        killer = threading.Thread(target=die_half_way)
        killer.start()
        first = prefdata(*arguments(server.base_url), *extra, cwd=tmp_path)
        killer.join()
    assert first.returncode == 1
    assert "the server no longer answers" in first.stderr
    done = sum(len(read_lines(part)) for part in tmp_path.glob("runs/*/*/parts/0.jsonl"))
    assert 0 < done < 12
    with hostile(port) as server:
        second = prefdata(*arguments(server.base_url), *extra, cwd=tmp_path)
        assert second.returncode == 0, second.stderr
        assert json.loads(second.stdout)["kept"] == 12
        assert sum("slow" in str(body["messages"]) for body in server.seen) == 12 - done
