"""The LMDeploy engine on rows without images: n samples with their seeds, prefixes, errors, and a clean end."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines.engines.base import Reply, Request, Sampling, sample_seed
from pipelines.probe import probe
from prefdata.errors import PrefdataError
from prefdata.models import model_hash
from prefdata.records import message
from tests.lmdeploy.conftest import Asked, Running

pytest.importorskip("lmdeploy")


def request(text: str = "What is the capital of France?", **more: object) -> Request:
    return Request(id=text, messages=(message("user", text),), **more)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def started(start: Callable[..., Running], smollm2: Path) -> Running:
    return start(smollm2)


@pytest.fixture
def running(started: Running) -> Running:
    running = started
    running.core.asked.clear()
    running.core.first_tokens = running.core.cancelled = 0
    running.core.hold = None
    stop = running.engine.encode("<|im_end|>")

    def seed_as_words(asked: Asked) -> tuple[list[int], str]:
        return running.engine.encode(f" seed {asked.settings.random_seed}") + stop, "FINISH"

    running.core.answer = seed_as_words
    return running


def test_says_what_it_can_do(running: Running, smollm2: Path) -> None:
    abilities = running.abilities
    assert (abilities.images, abilities.prefix, abilities.seeded) == (False, True, True)
    assert abilities.model_hash == model_hash(str(smollm2))
    assert abilities.template_hash


def test_passes_the_probe(running: Running) -> None:
    running.runner.run(probe(running.engine, running.abilities, images=False, prefix=True, n=3))


def test_gives_n_samples_each_with_its_seed(running: Running) -> None:
    asked = request(n=4, first=2, seed=7, sampling=Sampling(max_new_tokens=40, top_k=0))
    (reply,) = running.ask(asked)
    seeds = [sample_seed(asked, index) for index in range(4)]
    assert [sample.seed for sample in reply.samples] == seeds
    assert [sample.text for sample in reply.samples] == [f" seed {seed}" for seed in seeds]
    assert {sample.finish_reason for sample in reply.samples} == {"stop"}
    sent = [one.settings for one in running.core.asked]
    assert {(one.do_sample, one.top_k, one.top_p, one.max_new_tokens, one.n) for one in sent} == {
        (True, 0, 1.0, 40, 1)
    }


def test_without_a_seed_samples_still_differ(running: Running) -> None:
    (reply,) = running.ask(request(n=4))
    assert len({sample.text for sample in reply.samples}) == 4


def test_temperature_zero_is_greedy(running: Running) -> None:
    (reply,) = running.ask(request(seed=1, n=2, sampling=Sampling(temperature=0)))
    assert [sample.seed for sample in reply.samples] == [None, None]
    assert {(one.settings.do_sample, one.settings.top_k) for one in running.core.asked} == {(False, 1)}


def test_the_first_sample_goes_ahead_until_its_first_token(running: Running) -> None:
    running.ask(request(n=5, seed=1))
    assert [one.before > 0 for one in running.core.asked] == [False, True, True, True, True]


@pytest.mark.parametrize("prefix", ["The capital  of", "**The** capital\n\n", " \n\tThe", "首都は", "ends "])
def test_the_prompt_is_that_of_the_other_engines(running: Running, prefix: str) -> None:
    asked = request(prefix=prefix)
    (reply,) = running.ask(asked)
    text = running.engine.rendered(asked)
    assert text.endswith("<|im_start|>assistant\n" + prefix)
    assert running.core.asked[0].input_ids == running.engine.encode(text)
    assert reply.prompt_tokens == len(running.core.asked[0].input_ids)


def test_a_template_that_writes_bos_gets_no_second_one(start: Callable[..., Running], tmp_path: Path) -> None:
    from tests.support.tiny_models import CHATML, save_text_model

    save_text_model(tmp_path)
    (tmp_path / "chat_template.jinja").write_text("<|im_start|>" + CHATML)
    running = start(tmp_path)
    running.ask(request("Q"))
    ids = running.core.asked[0].input_ids
    assert ids == running.engine.encode(running.engine.rendered(request("Q")))


def test_many_requests_keep_their_order(running: Running) -> None:
    asked = [request(f"Question {number}?", seed=number) for number in range(40)]
    replies = running.ask(*asked)
    assert [reply.id for reply in replies] == [one.id for one in asked]
    assert [reply.samples[0].text for reply in replies] == [f" seed {sample_seed(one, 0)}" for one in asked]


@pytest.mark.parametrize("n", [1, 2])
def test_half_a_character_at_the_length_limit_costs_no_text(running: Running, n: int) -> None:
    ids = running.engine.encode("Paris 🦩")[:-1]
    assert running.engine.decode(ids).endswith("\ufffd")
    running.core.answer = lambda asked: (ids, "FINISH")
    (reply,) = running.ask(request(n=n, sampling=Sampling(max_new_tokens=len(ids))))
    assert [sample.text for sample in reply.samples] == ["Paris "] * n
    assert [sample.finish_reason for sample in reply.samples] == ["length"] * n
    assert [sample.token_ids for sample in reply.samples] == [tuple(ids)] * n


def test_one_bad_request_fails_alone(running: Running) -> None:
    bad, good = running.ask(request("word " * 20000), request())
    assert bad.samples == ()
    assert "must be smaller than the model context length" in (bad.error or "")
    assert good.error is None


def test_an_error_of_the_engine_fails_the_row(running: Running) -> None:
    running.core.answer = lambda asked: ([], "INTERNAL_ENGINE_ERROR")
    assert running.ask(request(n=2)) == [Reply(id=request().id, error="An internal server error occurred")]


@pytest.mark.parametrize("status", ["ENGINE_STOP_ERROR", "CANCEL"])
def test_an_engine_that_stopped_ends_the_run(running: Running, status: str) -> None:
    running.core.answer = lambda asked: ([], status)
    with pytest.raises(PrefdataError, match="LMDeploy stopped in the middle of the work"):
        running.ask(request())


def test_an_image_for_a_text_model_is_refused(running: Running) -> None:
    from prefdata.records import MediaRef, Message, Text

    turn = Message("user", (MediaRef(0), Text("What is this?")))
    (reply,) = running.ask(Request(id="image", messages=(turn,), images=(b"",)))
    assert reply.error is not None
    assert running.core.asked == []


def test_ctrl_c_cancels_what_is_under_way(running: Running) -> None:
    async def stopped() -> None:
        running.core.hold = asyncio.Event()
        task = asyncio.create_task(running.engine.generate([request(n=3)]))
        while not running.core.asked:
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        while not running.core.cancelled:
            await asyncio.sleep(0.01)

    running.runner.run(asyncio.wait_for(stopped(), 20))


def test_starts_again_after_a_stall(start: Callable[..., Running], smollm2: Path) -> None:
    running = start(smollm2)
    engine, stuck = running.engine, running.core

    async def restarted() -> Reply:
        stuck.hold = asyncio.Event()
        task = asyncio.create_task(engine.generate([request(n=3)]))
        while not stuck.asked:
            await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.wait([task])
        await engine.close()
        await engine.start()
        (reply,) = await engine.generate([request(sampling=Sampling(max_new_tokens=1))])
        return reply

    reply = running.runner.run(asyncio.wait_for(restarted(), 30))
    assert stuck.closed
    assert [sample.finish_reason for sample in reply.samples] == ["length"]
