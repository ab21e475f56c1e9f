"""One `dropout-ntp` run from its flags: input, run directory, engine, feed, results, mixture entry and card."""

import asyncio
import sys
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from pipelines.asking import fail_unaskable
from pipelines.dropout_ntp import Asked, Dropped, Recipe, asked_of, pairs_of, request_of, result_of
from pipelines.dropout_parts import Tokens, tokens_kept
from pipelines.dry_run import rehearse
from pipelines.engines import make_engine
from pipelines.engines.base import Engine, Reply, Request
from pipelines.feed import feed, shard
from pipelines.filters import AT_LIMIT, Keep
from pipelines.output import (
    checkpoint_name,
    exit_code,
    image_root,
    pinned,
    run_path,
    write_card,
    write_mixture_entry,
)
from pipelines.probe import probe
from pipelines.questions import thinned
from pipelines.rundir import RunDir
from prefdata.errors import PrefdataError
from prefdata.outputs import many
from prefdata.progress import Progress, progress, say
from prefdata.readers import Located, read_rows
from prefdata.sniff import sniff

if TYPE_CHECKING:
    from pipelines.cli.dropout_ntp import Config

WHAT = """Preference pairs made by DropoutNTP: `chosen` is a given answer, `rejected` starts with the same words and is
continued by a model that {image}."""
CAVEATS = """Nothing proves that a rejected answer is worse: a continuation without the picture can be right by
chance, and on questions that need no picture it often is. Look at some pairs before training."""


def run(config: "Config") -> int | None:
    """Make or resume the run, print where the pairs are, and one JSON line on standard output."""
    source = Path(config.prompt_path)
    settings, inputs = pinned(config, "dropout-ntp", source)
    recipe = Recipe(
        model=checkpoint_name(config.checkpoint),
        engine=config.engine,
        sampling=config.sampling(),
        seed=config.seed,
        n=config.num_return_sequences,
        start_ratio=config.start_ratio,
        split_unit=config.split_unit,
        keep_image=config.keep_image,
        keep_uncut=config.keep_empty_prefix,
        keep=Keep(
            truncated=config.keep_truncated,
            same=config.keep_same,
            commentary=config.keep_commentary,
            language=config.keep_language,
            repetition=config.keep_repetition,
        ),
        image_root=Path(config.image_root) if config.image_root else None,
    )
    rows = thinned(_read(source), config.sample_start_idx, config.sample_max_num, config.seed)
    engine = make_engine(config)
    asked = shard(asked_of(source, rows, recipe), *config.shard_of, engine.batch_size)
    if config.dry_run:
        _rehearse(engine, asked, recipe, config.price_per_mtok)
        return None
    path = run_path(config.out_dir, config.checkpoint, source, recipe.suffix, config.shard_of)
    with RunDir.open(path, settings, inputs) as rundir:
        fail_unaskable(rundir, asked)
        tokens = tokens_kept(rundir, {one.id: (one.row, one.chosen) for one in asked}, recipe.n)
        speed = ""
        if any(one.problem is None and rundir.owed(one.id) for one in asked):
            requests = _requests(engine, rundir, asked, recipe)
            spent, rate = asyncio.run(_generate(engine, rundir, asked, requests, recipe, config))
            tokens.add(spent)
            speed = f" ({rate:.0f} tokens/s)"
        ids = [one.id for one in asked]
        dropped = rundir.finish(
            ids,
            {"pairs.jsonl": pairs_of(rundir.rows(ids))},
            rows=len(asked),
            tokens={"prompt": tokens.prompt, "generated": tokens.generated},
        )
        pairs = rundir.manifest["counts"]["pairs"]
        root = image_root(config.image_root, source, path)
        describe(path, settings, rundir.manifest["counts"], root, path.name)
    reasons = ", ".join(f"{number} {reason}" for reason, number in dropped.items()) or "none"
    say(f"{many(len(asked), 'row')}: {many(pairs, 'pair')} kept; dropped: {reasons}")
    if not pairs and list(dropped) == [AT_LIMIT]:
        say(
            f"every answer was cut at --max-new-tokens {config.max_new_tokens}: raise --max-new-tokens, or keep them "
            "with --keep-truncated"
        )
    if tokens.generated and pairs:
        say(f"{tokens.generated} tokens generated{speed}, {tokens.generated / pairs:.0f} for each pair kept")
    trainable = f"   to train on them: --data {path / 'meta.json'}" if (path / "meta.json").exists() else ""
    say(f"pairs: {path / 'pairs.jsonl'}{trainable}")
    code = exit_code(rundir, asked=len(asked), pairs=pairs)
    result = {"run": str(path), "pairs": str(path / "pairs.jsonl"), "kept": pairs, "dropped": dropped}
    sys.stdout.write(msgspec.json.encode(result).decode() + "\n")
    return code


def _read(source: Path) -> list[Located]:
    """The rows of the input. A file of another format gets a sentence that says how to convert it."""
    try:
        return list(read_rows(source, "qa"))
    except PrefdataError as error:
        try:
            found = sniff(source).format
        except PrefdataError:
            raise error from None
        if found in ("qa", "mmpr"):
            raise
        raise PrefdataError(
            f"{source}: rows of the format {found}, and rows with `question` and `chosen` are needed; "
            f"`prefdata convert {source} answers.jsonl --to mmpr` makes them."
        ) from error


def _rehearse(engine: Engine, asked: list[Asked], recipe: Recipe, price: str) -> None:
    requests, originals = [], []
    dropped: Counter[str] = Counter()
    for one in asked:
        try:
            if one.problem is not None:
                raise Dropped(one.problem)
            request = request_of(one, recipe, engine)
        except Dropped as reason:
            dropped[str(reason).split(":")[0]] += 1
        else:
            requests.append(request)
            originals.append(one.chosen[len(request.prefix) :])
    rehearse(engine, requests, originals, dropped, price)


def describe(
    run: Path, settings: Mapping[str, Any], counts: Mapping[str, Any], root: Path | None, name: str
) -> None:
    """Write the mixture entry and the card of a finished run that is called `name`."""
    write_mixture_entry(run, counts["pairs"], root, name)
    image = "is shown the image" if settings["keep_image"] else "is not shown the image"
    ordered = {name: counts[name] for name in ("rows", "pairs", "dropped")}
    write_card(run, WHAT.format(image=image), ordered, settings, CAVEATS, name)


class _Watched:
    """What a start of the run has done so far, shown beside the bar."""

    def __init__(self, bar: Progress) -> None:
        self._bar = bar
        self.pairs = self.dropped = 0
        self.tokens = Tokens()
        self._began = time.monotonic()

    def begin(self, finished: int) -> None:
        """The engine is ready; so many rows were finished before."""
        self._bar.skip(finished)
        self._began = time.monotonic()

    def count(self, pairs: int, dropped: int, tokens: Tokens) -> None:
        """One more row is finished."""
        self.pairs += pairs
        self.dropped += dropped
        self.tokens.add(tokens)
        self._bar.advance(1, f"{self.pairs} pairs, {self.dropped} dropped, {self.rate:.0f} tokens/s")

    @property
    def rate(self) -> float:
        """Generated tokens in a second."""
        return self.tokens.generated / max(time.monotonic() - self._began, 1e-3)


def _finished_groups(rundir: RunDir, asked: list[Asked], size: int) -> set[str]:
    """Ids of rows whose whole group is done: their answers need not be cut again, which takes 1 ms each."""
    groups = (asked[start : start + size] for start in range(0, len(asked), size))
    done = (group for group in groups if not any(rundir.owed(one.id) for one in group))
    return {one.id for group in done for one in group}


def _requests(
    engine: Engine, rundir: RunDir, asked: list[Asked], recipe: Recipe
) -> list[Request | Dropped | None]:
    """What the engine is asked for each row, why it is not, or None where there is nothing to do.

    Made before the engine starts: a million answers are cut in minutes, and its GPUs would wait for them.
    """
    made: list[Request | Dropped | None] = []
    finished = _finished_groups(rundir, asked, engine.batch_size)
    with progress("cutting answers", total=len(asked)) as bar:
        bar.skip(len(finished))
        for one in asked:
            if one.id in finished:
                made.append(None)
                continue
            try:
                made.append(request_of(one, recipe, engine) if one.problem is None else None)
            except Dropped as reason:
                made.append(reason.with_traceback(None))  # the frames would stay
            bar.advance()
    return made


async def _generate(
    engine: Engine,
    rundir: RunDir,
    asked: list[Asked],
    made: list[Request | Dropped | None],
    recipe: Recipe,
    config: "Config",
) -> tuple[Tokens, float]:
    """Ask what is owed; returns the tokens that it took, and how many were generated in a second."""
    abilities = await engine.start()
    try:
        await probe(engine, abilities, images=recipe.keep_image, prefix=recipe.start_ratio > 0, n=recipe.n)
        by_id = {one.id: one for one in asked}
        with progress("dropout-ntp", total=len(asked)) as bar:
            watched = _Watched(bar)
            watched.begin(sum(one.problem is not None or not rundir.owed(one.id) for one in asked))

            def keep(result: dict[str, Any], tokens: Tokens) -> None:
                rundir.append(result)
                watched.count(len(result.get("pairs", ())), len(result["dropped"]), tokens)

            def handle(request: Request, reply: Reply) -> None:
                one = by_id[request.id]
                if reply.failure is not None:
                    rundir.fail(one.id, one.row, f"engine: {reply.failure}")
                    watched.count(0, 1, Tokens())
                else:
                    tokens = Tokens(reply.prompt_tokens, reply.tokens)
                    keep(result_of(one, request, reply, recipe, abilities), tokens)

            # Only now: a run whose engine does not start has kept nothing, and may be given other settings.
            for one, reason in zip(asked, made, strict=True):
                if isinstance(reason, Dropped) and rundir.owed(one.id):
                    keep({"id": one.id, "dropped": [{"reason": str(reason), "row": one.row}]}, Tokens())
            await feed(
                engine,
                [None if isinstance(request, Dropped) else request for request in made],
                rundir.owed,
                handle,
                stall_timeout=config.stall_timeout or None,
            )
        return watched.tokens, watched.rate
    finally:
        await engine.close()
