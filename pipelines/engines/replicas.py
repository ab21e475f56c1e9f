"""`--dp N`: copies of one engine on one machine, each a process with GPUs of its own, all fed from one queue.

Where it stands: to the feed it is an engine like any other. A group goes to the copy with the least to do; one about an
image that a copy has just seen goes there, if that has little more to do. The decisions to question:

- Copies are processes that know nothing of each other, also where an engine has a data-parallel mode of its own:
  of a dense model they share nothing, so nothing has to be kept in step, and one may end without the others. One
  mechanism serves all engines.
- A copy that ends, or gives no answer for `--stall-timeout`, is begun anew, and only what it owed is asked again. A
  group under way at two such ends ends the run: another start will not cure it. A copy that does not start again, or
  ends twice without an answer, is left out as long as there are others. An engine that says why it cannot go on (too
  little memory for the batch) ends the run with its own sentence: the next batch would do the same.

Which copy answers changes nothing: groups are the same, seeds belong to samples. On a CPU each copy has its share of
the cores (OMP_NUM_THREADS, unless set), and a sum over another number of threads may be rounded differently.
"""

import asyncio
import logging
import os
from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from pipelines import machine
from pipelines.cli.options import EngineOptions
from pipelines.engines import make_engine
from pipelines.engines.base import Abilities, Reply, Request
from pipelines.engines.pictures import Key, key_of
from pipelines.engines.replica_copy import Copy, Ended
from pipelines.engines.replica_wire import Hello
from pipelines.engines.vllm_settings import CPU_CACHE_BYTES, CPU_CACHE_SHARE
from prefdata.errors import EXIT_DATA, PrefdataError
from prefdata.progress import log, say

if TYPE_CHECKING:
    from pipelines.engines.base import Engine
    from pipelines.plan import Gpu

# For a copy to close its engine; vLLM gives its workers 10 s.
_CLOSE_SECONDS = 15.0
_IMAGES_REMEMBERED = 4096
# Of what a copy may have under way: so much more than the others for the sake of an image.
_EXTRA_SHARE = 8


class ReplicasEngine:
    """Copies of the engine that the options name."""

    watches_itself: Literal[True] = True

    def __init__(self, options: EngineOptions, copies: int) -> None:
        names = EngineOptions.__struct_fields__
        alone = {name: getattr(options, name) for name in names} | {"dp": None}
        alone["tp"] = options.tensor_parallel
        on_cpu = options.engine == "replay" or options.engine_args.get("device") == "cpu"
        gpus = [] if on_cpu else machine.gpus()
        if not on_cpu and not gpus and (sign := machine.hides_gpus()):
            raise PrefdataError(
                f"--dp {copies}: {sign} says that there are GPUs, and nvidia-smi lists none to share; mend that, or "
                "set CUDA_VISIBLE_DEVICES to nothing to run on the CPU."
            )
        self._environments = _environments(copies, options.tensor_parallel * (options.pp or 1), gpus)
        if options.engine == "vllm" and not gpus:
            # Of the memory that all of them find free when they start together.
            alone["cache_max_entry_count"] = _cpu_cache_share(options.cache_max_entry_count, copies)
        self._options = EngineOptions(**alone)
        self._stall_timeout = options.stall_timeout
        # Renders and tokenises; its model is never loaded here.
        self._one: Engine = make_engine(self._options)
        self.name, self.batch_size = self._one.name, self._one.batch_size
        self.calls = copies * self._one.calls
        self._copies: dict[int, Copy] = {}
        self._ready: set[int] = set()
        self._keepers: dict[int, asyncio.Task[None]] = {}
        self._changed = asyncio.Event()
        self._failure: BaseException | None = None
        self._seen: OrderedDict[Key, int] = OrderedDict()

    async def start(self) -> Abilities:
        """Start all copies side by side. Raises PrefdataError where one does not start."""
        self._failure = None
        try:
            async with asyncio.TaskGroup() as tasks:
                starting = [
                    tasks.create_task(self._begin(number)) for number in range(len(self._environments))
                ]
            abilities = starting[0].result()
            if any(one.result() != abilities for one in starting):
                raise PrefdataError(
                    "The copies of the engine differ: did the model change while they started?"
                )
        except ExceptionGroup as failed:
            await self.close()
            raise failed.exceptions[0] from failed
        except BaseException:
            await self.close()
            raise
        self._keepers = {number: asyncio.create_task(self._keep(number)) for number in self._copies}
        for keeper in self._keepers.values():
            keeper.add_done_callback(self._kept)
        say(f"{len(self._copies)} copies of the {self.name} engine, one queue")
        return abilities

    async def generate(self, batch: Sequence[Request]) -> list[Reply]:
        """The replies of whichever copy is free."""
        ends: list[str] = []
        while len(ends) < 2:
            copy = await self._free(batch)
            try:
                return await copy.ask(batch)
            except Ended as ended:
                ends.append(str(ended))
            finally:
                self._changed.set()
        named = ", ".join(request.key for request in batch[:3]) + (" and others" if len(batch) > 3 else "")
        raise PrefdataError(
            f"Two copies of the engine ended ({ends[0]}; {ends[1]}) while they had the same requests ({named}); "
            "finished work is kept, the same command goes on with what is owed.",
            exit_code=EXIT_DATA,
        )

    def encode(self, text: str) -> list[int]:
        """Token ids of plain text."""
        return self._one.encode(text)

    def decode(self, token_ids: Sequence[int]) -> str:
        """The text of token ids."""
        return self._one.decode(token_ids)

    def rendered(self, request: Request) -> str:
        """The prompt, as every copy writes it."""
        return self._one.rendered(request)

    async def close(self) -> None:
        """End all copies and what they have started."""
        for keeper in self._keepers.values():
            keeper.cancel()
        if self._keepers:
            await asyncio.wait(self._keepers.values())
        copies = list(self._copies.values())
        self._keepers, self._copies, self._ready = {}, {}, set()
        await asyncio.gather(*(copy.close(_CLOSE_SECONDS) for copy in copies))

    async def _begin(self, number: int) -> Abilities:
        verbose = log.isEnabledFor(logging.DEBUG)
        hello = Hello(
            options=self._options, level=logging.DEBUG if verbose else max(log.level, logging.WARNING)
        )
        try:
            copy = self._copies[number] = Copy(number, self._environments[number])
        except OSError as error:
            raise PrefdataError(f"Copy {number} of the engine does not start: {error}.") from error
        abilities = await copy.begin(hello)
        self._ready.add(number)
        self._changed.set()
        return abilities

    async def _keep(self, number: int) -> None:
        """Begin a copy anew whenever it ends."""
        fruitless = 0
        while True:
            copy = self._copies[number]
            why = await copy.end(self._stall_timeout)
            self._ready.discard(number)
            owed = f"{len(copy.owed)} {'groups' if self.batch_size > 1 else 'requests'}"
            await copy.close(0)
            fruitless = 0 if copy.answered else fruitless + 1
            try:
                if fruitless > 1:
                    raise PrefdataError(f"Copy {number} of the engine ended twice without an answer ({why}).")
                say(
                    f"copy {number} of the engine ended ({why}); it is started again, "
                    f"what it owed ({owed}) is asked again"
                )
                await self._begin(number)
            except PrefdataError as error:
                await self._give_up(number, error)
                return

    def _kept(self, keeper: "asyncio.Task[None]") -> None:
        """An error that ended a keeper ends the run: nobody else would tell those who wait for its copy."""
        error = None if keeper.cancelled() else keeper.exception()
        if error is not None:
            self._failure = error
            for copy in self._copies.values():
                copy.fail(error)
            self._changed.set()

    async def _give_up(self, number: int, error: PrefdataError) -> None:
        await self._copies.pop(number).close(0)
        if self._copies:
            say(f"copy {number} is left out, the run goes on with {len(self._copies)}: {error}")
        else:
            self._failure = PrefdataError(
                f"No copy of the engine is left: {error} Finished work is kept, the same command goes on.",
                exit_code=EXIT_DATA,
            )
        self._changed.set()

    async def _free(self, batch: Sequence[Request]) -> Copy:
        each = self._one.calls
        while True:
            if self._failure is not None:
                raise self._failure
            ready = [self._copies[number] for number in self._ready]
            free = [copy for copy in ready if copy.load is not None and copy.load < each]
            if free:
                return self._choice(free, batch, each // _EXTRA_SHARE)
            self._changed.clear()
            await self._changed.wait()

    def _choice(self, free: list[Copy], batch: Sequence[Request], extra: int) -> Copy:
        least = min(free, key=lambda copy: (len(copy.owed), copy.number))
        if self.batch_size > 1 or not batch[0].images:
            return least
        image = key_of(batch[0].images[0])
        seen = [copy for copy in free if copy.number == self._seen.get(image)]
        chosen = seen[0] if seen and len(seen[0].owed) <= len(least.owed) + extra else least
        self._seen[image] = chosen.number
        if len(self._seen) > _IMAGES_REMEMBERED:
            self._seen.popitem(last=False)
        return chosen


def _environments(copies: int, gpus_each: int, found: "Sequence[Gpu]") -> list[dict[str, str]]:
    """What each copy finds in its environment: its GPUs, and its share of the cores."""
    if found and copies * gpus_each > len(found):
        raise PrefdataError(
            f"--dp {copies}: {copies} copies on {gpus_each} GPUs each need {copies * gpus_each}, and there are "
            f"{len(found)}; take fewer, or --dp auto."
        )
    environments = []
    for number in range(copies):
        here = {} if "OMP_NUM_THREADS" in os.environ else {"OMP_NUM_THREADS": _threads(copies * gpus_each)}
        if found:
            mine = found[number * gpus_each : (number + 1) * gpus_each]
            here["CUDA_VISIBLE_DEVICES"] = ",".join(gpu.id for gpu in mine)
            if "CUDA_VISIBLE_DEVICES" not in os.environ:
                here["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"  # in which nvidia-smi counts them
        environments.append(here)
    return environments


def _cpu_cache_share(given: float | None, copies: int) -> float:
    """Of the free memory, what one of `copies` takes for its cache: together they take what one would alone."""
    return (given or min(CPU_CACHE_SHARE, CPU_CACHE_BYTES / machine.memory()[1])) / copies


def _threads(processes: int) -> str:
    return str(max(1, machine.cores() // processes))
