"""The vLLM engine on a small real language model: what comes back, and that it agrees with transformers."""

import io
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from pipelines.engines.base import Request, Sampling
from prefdata.errors import PrefdataError
from prefdata.models import model_hash
from prefdata.records import message
from tests.vllm.conftest import Running, counted

pytest.importorskip("vllm")

GREEDY = Sampling(temperature=0, max_new_tokens=12)
QUESTIONS = (
    "What is the capital of France?",
    "Name three primary colours.",
    "What is 2 + 3?",
    "Who wrote Hamlet?",
    "How many legs has a spider?",
    "Translate `good morning` to French.",
)


@pytest.fixture(scope="module")
def running(start: Callable[..., Running], smollm2: Path) -> Running:
    # float32 so that rounding does not decide between two nearly equal tokens.
    return start(smollm2, dtype="float32", engine_arg=("disable_log_stats=false",))


def request(text: str, **more: object) -> Request:
    return Request(id=text, messages=(message("user", text),), **more)  # type: ignore[arg-type]


def test_says_what_it_can_do(running: Running, smollm2: Path) -> None:
    abilities = running.abilities
    assert (abilities.images, abilities.prefix) == (False, True)
    assert abilities.seeded is False  # vLLM's CPU build dies of a seed
    assert abilities.model_hash == model_hash(str(smollm2))
    assert abilities.template_hash


def test_gives_n_samples_with_tokens_and_reasons(running: Running) -> None:
    (reply,) = running.ask(request("Tell me a story.", n=4, sampling=Sampling(max_new_tokens=8), seed=1))
    assert reply.error is None
    assert len(reply.samples) == 4
    assert len({sample.token_ids for sample in reply.samples}) > 1
    assert {(sample.finish_reason, len(sample.token_ids), sample.seed) for sample in reply.samples} == {
        ("length", 8, None)
    }
    assert all(running.engine.decode(sample.token_ids) == sample.text for sample in reply.samples)
    assert reply.prompt_tokens == len(
        running.engine.encode(running.engine.rendered(request("Tell me a story.")))
    )


def test_stops_at_the_end_of_an_answer(running: Running) -> None:
    # Three greedy samples are three times the same; vLLM itself refuses to give more than one.
    (reply,) = running.ask(request(QUESTIONS[0], n=3, sampling=GREEDY))
    assert [sample.text for sample in reply.samples] == ["The capital of France is Paris."] * 3
    assert reply.samples[0].finish_reason == "stop"
    assert reply.tokens == len(reply.samples[0].token_ids), "generated once"


@pytest.mark.parametrize(
    "prefix", ["The capital  of", "**The** capital\n\n", " \n\tThe", "首都は", "The capital of France is "]
)
def test_continues_a_prefix_byte_for_byte(running: Running, prefix: str) -> None:
    asked = request(QUESTIONS[0], prefix=prefix, sampling=GREEDY)
    rendered = running.engine.rendered(asked)
    assert rendered.endswith("<|im_start|>assistant\n" + prefix)
    (reply,) = running.ask(asked)
    ids = running.engine.encode(rendered)
    assert reply.prompt_tokens == len(ids)
    whole = running.engine.decode([*ids, *reply.samples[0].token_ids])
    # Where the length limit cuts a character, its first bytes are left out of the text.
    assert whole.rstrip("\ufffd").endswith(prefix + reply.samples[0].text)


def test_the_blank_after_a_prefix_survives(running: Running) -> None:
    (reply,) = running.ask(request(QUESTIONS[0], prefix="The capital of France is", sampling=GREEDY))
    assert reply.samples[0].text.startswith(" Paris")


def test_one_bad_request_fails_alone(running: Running) -> None:
    bad, good = running.ask(request("word " * 5000), request(QUESTIONS[0], sampling=GREEDY))
    assert bad.samples == ()
    assert "maximum context length" in (bad.error or "")
    assert good.error is None


def test_an_image_for_a_text_model_is_refused(running: Running) -> None:
    from PIL import Image

    from prefdata.records import MediaRef, Message, Text

    stream = io.BytesIO()
    Image.new("RGB", (8, 8)).save(stream, "PNG")
    turn = Message("user", (MediaRef(0), Text("What is this?")))
    (reply,) = running.ask(Request(id="image", messages=(turn,), images=(stream.getvalue(),)))
    assert "takes text only" in (reply.error or "")


@pytest.mark.parametrize("at_once", [1, 8])
def test_samples_of_a_question_share_its_prefill(running: Running, at_once: int) -> None:
    # One request for 8 samples, and 8 for one each at the same time: as they are asked without and with seeds.
    question = f"Which of these {at_once} words is an animal: " + "stone, river, cloud, " * 12 + "horse?"
    asked = [
        msgspec.structs.replace(
            request(question, n=8 // at_once, sampling=Sampling(max_new_tokens=4)), id=f"share-{number}"
        )
        for number in range(at_once)
    ]
    before = counted("prefix_cache_hits"), counted("prefix_cache_queries")
    replies = running.ask(*asked)
    hits, looked_for = counted("prefix_cache_hits") - before[0], counted("prefix_cache_queries") - before[1]
    assert sum(len(reply.samples) for reply in replies) == 8
    length = replies[0].prompt_tokens
    assert looked_for == 8 * length
    # Nobody asked this before: seven of eight find what the first one left, in whole blocks of 32 tokens.
    assert 7 * (length - 32) <= hits < 7 * length + 32


def test_greedy_answers_agree_with_transformers(running: Running, smollm2: Path) -> None:
    import asyncio

    from pipelines.cli.options import EngineOptions
    from pipelines.engines.transformers import TransformersEngine

    requests = [request(question, prefix="A", sampling=GREEDY) for question in QUESTIONS]
    ours = running.ask(*requests)

    async def theirs() -> list[tuple[int, ...]]:
        engine = TransformersEngine(EngineOptions(checkpoint=str(smollm2), dtype="float32"))
        abilities = await engine.start()
        assert abilities.template_hash == running.abilities.template_hash
        assert [engine.rendered(r) for r in requests] == [running.engine.rendered(r) for r in requests]
        replies = await engine.generate(requests)
        await engine.close()
        return [reply.samples[0].token_ids for reply in replies]

    expected = asyncio.run(theirs())
    same = sum(a.samples[0].token_ids[:8] == b[:8] for a, b in zip(ours, expected, strict=True))
    assert same >= len(QUESTIONS) - 1


def test_unknown_settings_are_refused_with_a_sentence(start: Callable[..., Running], smollm2: Path) -> None:
    with pytest.raises(PrefdataError, match="--engine-arg speed: vLLM has no such engine argument"):
        start(smollm2, engine_arg=("speed=high",))
    with pytest.raises(PrefdataError, match="vLLM does not start"):
        start(smollm2, tp=2)  # 9 attention heads cannot be halved


def test_tensor_parallel_gives_the_same_answer(start: Callable[..., Running], smollm2: Path) -> None:
    parallel = start(smollm2, dtype="float32", tp=3)
    (reply,) = parallel.ask(request(QUESTIONS[0], sampling=GREEDY))
    assert reply.samples[0].text == "The capital of France is Paris."
