"""HTTP to an OpenAI-compatible server: bounded connections, time-outs, retries; used by `openai.py`.

What is tried again, with growing and jittered pauses: no connection, a connection that breaks or hangs, 408, 409, 425,
429 and 5xx (a `Retry-After` counts instead of the pause), and an answer that cannot be read. What is not: any other
4xx, because the same request would be refused again. The decision to question: where the server cannot be reached at
all and nobody else's request got through meanwhile, the run ends instead of failing row by row - a dead server is one
sentence, not ten thousand.

The key goes into a header and nowhere else: it is cut out of whatever the server says.
"""

import asyncio
import email.utils
import random
import ssl
import time
from typing import TypeVar
from urllib.parse import urlsplit

import httpx2
import msgspec

from prefdata.errors import EXIT_DATA, PrefdataError
from prefdata.progress import log

T = TypeVar("T")

_CONNECT_SECONDS = 10.0
_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 30.0
# A server that asks for more is asked again after this; the run goes on meanwhile.
_LONGEST_RETRY_AFTER = 600.0
_AGAIN = frozenset({408, 409, 425, 429})
# A hung request holds a connection for the whole time-out: it gets one more chance, not all of them.
_TRIES_AFTER_TIMEOUT = 1
_SHOWN = 300


class Refused(Exception):
    """The server understood the request and will not answer it (4xx)."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(f"the server answered {status}: {reason}")
        self.status = status


class Failed(Exception):
    """No usable answer after all tries."""


class Client:
    """One server. Open it inside the event loop that uses it."""

    def __init__(self, base_url: str, key: str, *, connections: int, timeout: float, retries: int) -> None:
        self.base_url = base_url.rstrip("/")
        self._key, self._timeout, self._retries = key, timeout, retries
        self._slots = asyncio.Semaphore(connections)
        self._last_answer = 0.0
        self._http = httpx2.AsyncClient(
            headers={"Authorization": f"Bearer {key}"} if key else {},
            limits=httpx2.Limits(max_connections=connections, max_keepalive_connections=connections),
            timeout=httpx2.Timeout(timeout, connect=min(_CONNECT_SECONDS, timeout)),
            # Reading all certificates takes a tenth of a second; a plain connection needs none.
            verify=True if base_url.startswith("https") else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
            # A proxy for the outside world cannot reach a server on this machine.
            trust_env=urlsplit(base_url).hostname not in ("localhost", "127.0.0.1", "::1"),
        )

    @property
    def root(self) -> str:
        """The server's address without `/v1`, where servers keep what is not OpenAI's."""
        return self.base_url.removesuffix("/v1")

    async def close(self) -> None:
        """Close all connections."""
        await self._http.aclose()

    async def get(self, url: str, kind: type[T], *, retries: int | None = None) -> T:
        """The answer to a GET. Raises Refused, Failed, PrefdataError (the server is gone, or refuses the key)."""
        return await self._ask("GET", url, None, kind, self._retries if retries is None else retries)

    async def post(self, url: str, body: bytes, kind: type[T]) -> T:
        """The answer to a POST of JSON. Raises as `get`."""
        return await self._ask("POST", url, body, kind, self._retries)

    async def _ask(self, method: str, url: str, body: bytes | None, kind: type[T], retries: int) -> T:
        began = time.monotonic()
        tried = 0
        while True:
            pause, unreachable, limit = 0.0, False, retries
            try:
                # Waiting for a free connection is no fault of the server and counts towards no time-out.
                async with self._slots:
                    response = await self._send(method, url, body)
                if response.status_code == 200:
                    answer = msgspec.json.decode(response.content, type=kind)
                    self._last_answer = time.monotonic()
                    return answer
                reason = self._refusal(response)
                pause = _retry_after(response.headers.get("Retry-After", ""))
            except (TimeoutError, httpx2.TimeoutException) as error:
                unreachable = isinstance(error, httpx2.ConnectTimeout)
                reason = f"no {'connection' if unreachable else f'answer within {self._timeout:g} s'}"
                limit = retries if unreachable else min(retries, _TRIES_AFTER_TIMEOUT)
            except httpx2.TransportError as error:
                unreachable = isinstance(error, httpx2.ConnectError)
                reason = self._clean(str(error) or type(error).__name__)
            except msgspec.DecodeError as error:
                reason = f"an answer that cannot be read ({error})"
            if tried >= limit:
                if unreachable and self._last_answer < began:
                    raise self._gone(reason)
                raise Failed(f"{reason}; tried {tried + 1} times" if tried else reason)
            tried += 1
            pause = pause or min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** (tried - 1)) * random.uniform(0.5, 1)
            log.debug("openai: %s; try %d of %d in %.1f s", reason, tried + 1, limit + 1, pause)
            await asyncio.sleep(pause)

    async def _send(self, method: str, url: str, body: bytes | None) -> httpx2.Response:
        # httpx's own time-out is one of each read: a server that drips a byte now and then would never meet it.
        async with asyncio.timeout(self._timeout):
            return await self._http.request(
                method, url, content=body, headers={"Content-Type": "application/json"} if body else {}
            )

    def _refusal(self, response: httpx2.Response) -> str:
        """Why a request with this status may be tried again; raises where it may not."""
        status = response.status_code
        reason = self._clean(_message(response.content) or response.reason_phrase)
        if status in (401, 403):
            raise PrefdataError(
                f"{self.base_url}: the server refuses the key ({status}: {reason}); "
                "put the right one into the environment (docs/engines.md)."
            )
        if status in _AGAIN or status >= 500:
            return f"the server answered {status}: {reason}"
        raise Refused(status, reason)

    def _gone(self, reason: str) -> PrefdataError:
        if not self._last_answer:
            return PrefdataError(
                f"{self.base_url}: no server answers there ({reason.rstrip('.')}); is it running, "
                "and is --base-url right?"
            )
        return PrefdataError(
            f"{self.base_url}: the server no longer answers ({reason.rstrip('.')}); finished work is kept, "
            "run the same command again when it is back.",
            exit_code=EXIT_DATA,
        )

    def _clean(self, text: str) -> str:
        text = " ".join(text.split())
        return (text.replace(self._key, "[key]") if self._key else text)[:_SHOWN].rstrip(".")


def _message(content: bytes) -> str:
    """What a server says in an error: `error.message`, `message` or `detail` of its JSON, else the text."""
    try:
        found = msgspec.json.decode(content)
    except msgspec.DecodeError:
        return content.decode("utf-8", "replace")
    while isinstance(found, dict):
        found = next((found[key] for key in ("error", "message", "detail") if found.get(key)), str(found))
    return str(found)


def _retry_after(value: str) -> float:
    """Seconds that a `Retry-After` header asks for (a number or a date); 0 where it says nothing."""
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(value).timestamp() - time.time()
        except ValueError:
            return 0.0
    return min(max(seconds, 0.0), _LONGEST_RETRY_AFTER)
