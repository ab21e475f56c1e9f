"""Any OpenAI-compatible server (`POST /chat/completions`): vLLM, SGLang, LMDeploy, llama.cpp, or one somewhere else.

Where it stands: the feed asks many requests at once; connections, time-outs and retries are `openai_client.py`'s, how
a prefix is continued `openai_prefix.py`'s. Nothing is believed that can be tried: the prefix is proved, a server that
gives fewer answers than `n` is asked for the missing ones one by one, and an answer without text, with a reasoning
part split off, or that ended for an unknown reason fails its own request. The decision to question: answers are not
streamed. Nothing here reads half an answer, and a cut connection is then always an error, never a short answer.

Prompt and tokens are the server's secret: `template_hash` is "server", samples have no token ids (usage counts them),
and cutting answers by tokens needs `--engine-arg tokenizer=M`, unless --checkpoint names a folder that holds one.
"""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from pipelines.engines.base import Abilities, Reply, Request, Sampling, sample_seed
from pipelines.engines.one_by_one import OneByOne
from pipelines.engines.openai_client import Client, Failed, Refused
from pipelines.engines.openai_prefix import Mode, Said, Shown, prove, with_prefix
from pipelines.engines.openai_settings import settings_of
from pipelines.engines.openai_wire import (
    Choice,
    Completion,
    Models,
    Prompt,
    Tokens,
    Usage,
    address_of,
    messages_of,
    sample_of,
    shown,
)
from pipelines.engines.pictures import Pictures
from prefdata.errors import EXIT_DATA, PrefdataError
from prefdata.progress import log, say
from prefdata.records import Message, Text, content_id

if TYPE_CHECKING:
    from pipelines.cli.options import EngineOptions

# Seeds as C's int: some servers take no more.
_SEEDS = 1 << 31
_START_RETRIES = 1


class OpenAIEngine(OneByOne):
    """One model of one server."""

    name = "openai"

    def __init__(self, options: "EngineOptions") -> None:
        super().__init__(options, Pictures(options.num_workers, read=self._address))
        self._settings = settings_of(options)
        self._model = options.checkpoint
        self._client: Client | None = None
        self._tokenizer: Any = None
        self._mode: Mode = "fields"
        self._keeps_leading_blanks = True
        self._takes_n = True
        self._survives_seeds = False
        root = getattr(options, "image_root", None)
        self._image_root = Path(root) if root else None
        if self._settings.images.startswith("http") and root is None:
            raise PrefdataError("--engine-arg images=http...: give --image-root, whose files lie there.")

    async def start(self) -> Abilities:
        """Find the server and the model on it."""
        settings = self._settings
        self._client = Client(
            settings.base_url,
            settings.key,
            connections=self._options.in_flight,
            timeout=settings.timeout,
            retries=settings.retries,
        )
        try:
            listed = await self._client.get(f"{self._client.base_url}/models", Models, retries=_START_RETRIES)
            names = [model.id for model in listed.data]
            if names and self._model not in names:
                raise PrefdataError(
                    f"{self._client.base_url}: the server has no model {self._model!r}; --checkpoint can be "
                    f"{', '.join(map(repr, names[:8]))}."
                )
        except (Refused, Failed) as reason:
            # Not every server lists its models; the first question will tell.
            log.debug("openai: no list of models: %s", reason)
        except BaseException:
            await self.close()
            raise
        return Abilities(
            images=True,
            prefix=True,
            seeded=settings.seeds,
            template_hash="server",
            model_hash=content_id("openai", self._model),
        )

    def encode(self, text: str) -> list[int]:
        """Token ids by the tokenizer that was named. Raises PrefdataError where none was."""
        return list(self._tokens.encode(text, add_special_tokens=False))

    def decode(self, token_ids: Sequence[int]) -> str:
        """The text of token ids."""
        ids = list(token_ids)
        return str(self._tokens.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))

    def rendered(self, request: Request) -> str:
        """The messages as they are sent; only the server knows the prompt it makes of them."""
        return shown(request)

    async def prove_prefix(self) -> None:
        """Find the way in which this server continues a begun answer. Raises PrefdataError where there is none."""
        proof = await prove(self._said, self._shown)
        if isinstance(proof, str):
            raise PrefdataError(
                f"{self._settings.base_url}: the server cannot be shown to continue a begun answer ({proof}); "
                "use another server or model, or --start-ratio 0."
            )
        self._mode, self._keeps_leading_blanks = proof

    async def close(self) -> None:
        """Close the connections."""
        self._pictures.close()
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    @property
    def _http(self) -> Client:
        if self._client is None:
            raise RuntimeError("the engine has not been started")
        return self._client

    @property
    def _tokens(self) -> Any:
        if self._tokenizer is None:
            named = self._settings.tokenizer
            folder = Path(self._model).expanduser()
            if not named and not (folder / "tokenizer_config.json").is_file():
                raise PrefdataError(
                    "--engine openai: a server does not tell its tokens; give --split-unit word, or "
                    "--engine-arg tokenizer=M with the model's folder or hub name."
                )
            from pipelines.engines.rendering import load_renderer

            model = named or str(folder)
            self._tokenizer = load_renderer(
                model, trust_remote_code=self._options.trust_remote_code
            ).tokenizer
        return self._tokenizer

    def _address(self, source: Path | bytes) -> tuple[str, int]:
        address = address_of(source, self._settings.images, self._image_root)
        return address, len(address)

    async def _answer(self, request: Request, images: list[str]) -> Reply:
        if not self._keeps_leading_blanks and request.prefix[:1].isspace():
            return Reply(id=request.id, error="the server's chat template drops blanks that begin an answer")
        try:
            body = self._body(request, images)
        except PrefdataError as error:
            return Reply(id=request.id, error=str(error).rstrip("."))
        try:
            completions, seeds = await self._samples(request, body)
            samples = [
                sample_of(choice, seed) for choice, seed in zip(completions.choices, seeds, strict=True)
            ]
        except (Refused, Failed) as error:
            return Reply(id=request.id, error=str(error))
        usage = completions.usage or Usage()
        return Reply(
            id=request.id,
            samples=tuple(samples),
            prompt_tokens=usage.prompt_tokens,
            generated_tokens=usage.completion_tokens,
        )

    async def _samples(self, request: Request, body: dict[str, Any]) -> tuple[Completion, list[int | None]]:
        """All samples of a request, in one call where the server gives as many as asked for."""
        found: list[Choice] = []
        seeds: list[int | None] = []
        usage = Usage()
        if request.n > 1 and self._takes_n:
            seed = self._seed(request, 0)
            try:
                whole = await self._complete(body, seed, n=request.n)
            except Refused as error:
                if error.status not in (400, 422):
                    raise
                log.debug("openai: n=%d is refused: %s", request.n, error)
            else:
                found, usage = whole.choices[: request.n], whole.usage or usage
                seeds = [seed] * len(found)
        missing = range(len(found), request.n)
        single = [self._seed(request, index) for index in missing]
        results = await asyncio.gather(
            *(self._complete(body, seed) for seed in single), return_exceptions=True
        )
        for result in results:
            if isinstance(result, BaseException):
                raise result
            if not result.choices:
                raise Failed("the server gave no answer")
            found.append(result.choices[0])
            part = result.usage or Usage()
            usage = Usage(part.prompt_tokens, usage.completion_tokens + part.completion_tokens)
        if request.n > 1 and missing and self._takes_n:
            self._takes_n = False
            say(f"openai: the server does not give n={request.n} answers to one request; asking one by one.")
        return Completion(found, usage), [*seeds, *single]

    async def _complete(self, body: dict[str, Any], seed: int | None, n: int = 1) -> Completion:
        asked = body | ({"n": n} if n > 1 else {}) | ({} if seed is None else {"seed": seed})
        url = f"{self._http.base_url}/chat/completions"
        try:
            completion = await self._http.post(url, msgspec.json.encode(asked), Completion)
        except PrefdataError as error:
            if seed is None or self._survives_seeds or error.exit_code != EXIT_DATA:
                raise
            raise PrefdataError(
                f"{error} It died of the first request with a seed, as vLLM's CPU build does: "
                "--engine-arg seeds=no.",
                exit_code=error.exit_code,
            ) from error
        self._survives_seeds = self._survives_seeds or seed is not None
        return completion

    def _body(self, request: Request, images: Sequence[str] = ()) -> dict[str, Any]:
        sampling = request.sampling
        body: dict[str, Any] = {
            "model": self._model,
            "messages": messages_of(request, images),
            "temperature": sampling.temperature,
            "max_tokens": sampling.max_new_tokens,
        }
        if sampling.top_p < 1:
            body["top_p"] = sampling.top_p
        if sampling.top_k > 0:
            # Not OpenAI's, but of every server one runs oneself.
            body["top_k"] = sampling.top_k
        body |= self._settings.body
        return with_prefix(body, request.prefix, self._mode) if request.prefix else body

    def _seed(self, request: Request, index: int) -> int | None:
        drawn = request.seed is not None and request.sampling.temperature > 0
        return sample_seed(request, index) % _SEEDS if drawn and self._settings.seeds else None

    async def _said(self, prefix: str, mode: Mode, tokens: int) -> Said:
        request = _question(prefix, tokens)
        body = self._body(msgspec.structs.replace(request, prefix=""))
        completion = await self._complete(with_prefix(body, prefix, mode), None)
        text = completion.choices[0].message.content if completion.choices else None
        return Said(text or "", (completion.usage or Usage()).prompt_tokens)

    async def _shown(self, prefix: str) -> Shown | None:
        body = self._body(_question("", 1))
        known: dict[str, Any] = {
            key: body[key] for key in ("model", "messages", "chat_template_kwargs") if key in body
        }
        alone = {"model": self._model, "prompt": prefix, "add_special_tokens": False}
        try:
            prompt, tokens = await self._read_back(with_prefix(known, prefix, "fields"))
            return Shown(prompt, tokens, (await self._read_back(alone))[0])
        except (Refused, Failed) as reason:
            log.debug("openai: the server does not show its prompt: %s", reason)
            return None

    async def _read_back(self, asked: dict[str, Any]) -> tuple[str, int]:
        """What vLLM's tokenizer makes of a chat or a text, and its number of tokens."""
        root = self._http.root
        tokens = (await self._http.post(f"{root}/tokenize", msgspec.json.encode(asked), Tokens)).tokens
        ids = msgspec.json.encode({"model": self._model, "tokens": tokens})
        return (await self._http.post(f"{root}/detokenize", ids, Prompt)).prompt, len(tokens)


def _question(prefix: str, tokens: int) -> Request:
    return Request(
        id="probe-prefix",
        messages=(Message("user", (Text("Go on as it begins."),)),),
        prefix=prefix,
        sampling=Sampling(temperature=0, max_new_tokens=tokens),
    )
