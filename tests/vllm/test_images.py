"""The vLLM engine on the bundled vision-language model: images arrive, matter, and mean the same as in transformers."""

import asyncio
import io
from collections.abc import Callable

import msgspec
import pytest

from pipelines.cli.options import EngineOptions
from pipelines.engines.base import Request, Sampling
from prefdata.demo import MODEL_DIR
from prefdata.demo.scenes import render, sample_scene
from prefdata.demo.tasks import is_correct, make_question
from prefdata.records import MediaRef, Message, Text
from tests.vllm.conftest import Running, counted

pytest.importorskip("vllm")

# Held-out scenes: their seeds belong to no training.
SEEDS = range(2_000_000_000, 2_000_000_016)


def request(seed: int, *, with_image: bool = True, blank: bool = False) -> Request:
    scene = sample_scene(seed)
    stream = io.BytesIO()
    picture = render(scene)
    (picture.resize((1, 1)).resize(picture.size) if blank else picture).save(stream, "PNG")
    text = Text(make_question(scene).question)
    content = (MediaRef(0), Text("\n"), text) if with_image else (text,)
    return Request(
        id=str(seed),
        messages=(Message("user", content),),
        images=(stream.getvalue(),) if with_image else (),
        sampling=Sampling(temperature=0, max_new_tokens=48),
    )


@pytest.fixture(scope="module")
def running(start: Callable[..., Running]) -> Running:
    return start(MODEL_DIR, dtype="float32", engine_arg=("disable_log_stats=false",))


def test_images_matter(running: Running) -> None:
    seen = running.ask(*(request(seed) for seed in SEEDS))
    blank = running.ask(*(request(seed, blank=True) for seed in SEEDS))
    without = running.ask(*(request(seed, with_image=False) for seed in SEEDS))
    assert running.abilities.images is True
    texts = [[reply.samples[0].text for reply in replies] for replies in (seen, blank, without)]
    assert sum(a != b for a, b in zip(texts[0], texts[1], strict=True)) > len(SEEDS) // 2
    assert sum(a != b for a, b in zip(texts[0], texts[2], strict=True)) > len(SEEDS) // 2
    assert all(a.prompt_tokens > b.prompt_tokens for a, b in zip(seen, without, strict=True))
    right = sum(
        is_correct(make_question(sample_scene(seed)), text)
        for seed, text in zip(SEEDS, texts[0], strict=True)
    )
    guessed = sum(
        is_correct(make_question(sample_scene(seed)), text)
        for seed, text in zip(SEEDS, texts[1], strict=True)
    )
    assert right > guessed


def test_greedy_answers_agree_with_transformers(running: Running) -> None:
    from pipelines.engines.transformers import TransformersEngine

    requests = [request(seed) for seed in SEEDS]

    async def theirs() -> list[str]:
        engine = TransformersEngine(EngineOptions(checkpoint="demo", dtype="float32"))
        await engine.start()
        replies = await engine.generate(requests)
        await engine.close()
        return [reply.samples[0].text for reply in replies]

    expected = asyncio.run(theirs())
    ours = [reply.samples[0].text for reply in running.ask(*requests)]
    assert sum(a == b for a, b in zip(ours, expected, strict=True)) >= len(SEEDS) - 2


def test_questions_about_one_image_share_what_is_made_of_it(running: Running) -> None:
    drawn = Sampling(max_new_tokens=8)
    one = msgspec.structs.replace(request(2_000_000_100), n=4, sampling=drawn)
    asked = [msgspec.structs.replace(one, id=str(number)) for number in range(6)]
    names = ("mm_cache_queries", "mm_cache_hits", "prefix_cache_queries", "prefix_cache_hits")
    before = [counted(name) for name in names]
    replies = running.ask(*asked)
    images, known, tokens, cached = (counted(name) - one for name, one in zip(names, before, strict=True))
    assert known == images - 1, "the image is prepared once"
    length = replies[0].prompt_tokens
    assert tokens == 24 * length
    assert cached >= 23 * (length - 32), "23 of 24 samples find the prefill of the first, in whole blocks"


def test_tensor_parallel_sees_the_same_images(start: Callable[..., Running], running: Running) -> None:
    # The bundled model has 4 heads.
    parallel = start(MODEL_DIR, dtype="float32", tp=2)
    requests = [request(seed) for seed in SEEDS]
    texts = [[reply.samples[0].text for reply in each.ask(*requests)] for each in (running, parallel)]
    assert sum(a == b for a, b in zip(*texts, strict=True)) >= len(SEEDS) - 2
    assert len(set(texts[1])) > 1


def test_a_broken_image_fails_alone(running: Running) -> None:
    good = request(SEEDS[0])
    broken = Request(id="broken", messages=good.messages, images=(b"no image",), sampling=good.sampling)
    replies = running.ask(broken, good)
    assert replies[0].error is not None
    assert replies[1].error is None


def test_an_image_without_a_place_is_refused(running: Running) -> None:
    good = request(SEEDS[0])
    unplaced = Request(
        id="unplaced", messages=request(SEEDS[0], with_image=False).messages, images=good.images
    )
    (reply,) = running.ask(unplaced)
    assert reply.error == "1 images are given but 0 have a place in the prompt"
