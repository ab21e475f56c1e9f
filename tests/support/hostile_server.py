"""An OpenAI-compatible server that misbehaves on demand, in threads of the test's own process.

Its model counts words: behind a beginning of k words it goes on with " w<k+1> w<k+2> ...", so that a continued answer
can be told from a new one. Which fault a request meets stands in its question: `{"fault": "500", "times": 2}` fails
the first two tries of that question, anything else is answered.
"""

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Hostile(ThreadingHTTPServer):
    """The server and what it saw. The attributes say how it behaves and may be changed at any time."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.prefix = "fields"  # fields | trailing | mark | ignored | repeated | stripped | trimmed
        self.n = "given"  # given | refused | one | extra
        self.sees_images = self.usage = True
        self.shows_prompt = self.small_vocabulary = False
        self.key = ""
        self.finish = ""
        self.dead = self.dies_of_seeds = False
        self.seen: list[dict[str, Any]] = []
        self.times: list[float] = []
        self.tries: Counter[str] = Counter()
        self.running = self.most_running = 0
        self.lock = threading.Lock()

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def die(self) -> None:
        """Take no connection any more and answer on none."""
        self.dead = True
        self.shutdown()
        self.server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that hang up are no news."""


class _Handler(BaseHTTPRequestHandler):
    server: Hostile
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # headers and body in one packet: two would wait for each other (Nagle and delayed ACK)

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""

    def do_GET(self) -> None:
        if self._authorized():
            self._send(200, {"data": [{"id": "counter"}]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.lock:
            self.server.running += 1
            self.server.most_running = max(self.server.most_running, self.server.running)
            self.server.seen.append(body)
            self.server.times.append(time.monotonic())
        try:
            self._post(body)
        finally:
            with self.server.lock:
                self.server.running -= 1

    def _post(self, body: dict[str, Any]) -> None:
        server = self.server
        if server.dies_of_seeds and "seed" in body:
            server.die()
        if server.dead:  # connections that are still open
            self.close_connection = True
            self.connection.close()
            return
        if not self._authorized():
            return
        if self.path in ("/tokenize", "/detokenize"):
            if not server.shows_prompt:
                self._send(404, {"detail": "Not Found"})
            elif self.path == "/tokenize":
                self._send(200, {"tokens": [ord(letter) for letter in _shown(body, server)]})
            else:
                self._send(200, {"prompt": "".join(map(chr, body["tokens"]))})
            return
        question = next(turn["content"] for turn in reversed(body["messages"]) if turn["role"] == "user")
        fault = json.loads(question) if isinstance(question, str) and question.startswith("{") else {}
        with server.lock:
            server.tries[str(question)] += 1
            tries = server.tries[str(question)]
        if fault and tries <= fault.get("times", 1 << 30) and self._misbehave(fault):
            return
        self._answer(body)

    def _misbehave(self, fault: dict[str, Any]) -> bool:
        kind = fault["fault"]
        if kind.isdigit():
            extra = {"Retry-After": str(fault["after"])} if "after" in fault else {}
            self._send(int(kind), {"error": {"message": "as asked"}}, extra)
        elif kind == "slow":
            time.sleep(fault["seconds"])
            return False
        elif kind == "hang":
            time.sleep(fault.get("seconds", 30))
            self.close_connection = True
        elif kind == "json":
            self._send_raw(b'{"choices": [{"mess')
        elif kind == "html":
            self._send_raw(b"<html>proxy error</html>")
        elif kind == "cut":
            self.wfile.write(b'HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{"choices": [')
            self.close_connection = True
        elif kind == "empty":
            self._send(200, {"choices": []})
        elif kind == "null":
            self._send(200, {"choices": [{"message": {"content": None}, "finish_reason": "stop"}]})
        elif kind == "reset":
            self.close_connection = True
            self.connection.close()
        return True

    def _answer(self, body: dict[str, Any]) -> None:
        server = self.server
        prompt, begun = _prompt(body, server)
        words = len(begun.split())
        most = min(body["max_tokens"], 12)
        text = "".join(f" w{number}" for number in range(words + 1, words + 1 + most))
        if server.prefix == "repeated":
            text = begun + text
        elif server.prefix == "stripped":
            text = text.strip()
        n = body.get("n", 1)
        if n > 1 and server.n == "refused":
            self._send(400, {"error": {"message": "n must be 1"}})
            return
        n = {"one": 1, "extra": n + 1}.get(server.n, n)
        images = sum(
            part["type"] == "image_url"
            for turn in body["messages"]
            if isinstance(turn["content"], list)
            for part in turn["content"]
        )
        finish = server.finish or ("length" if most < 12 else "stop")
        answer: dict[str, Any] = {
            "choices": [
                {"index": i, "message": {"role": "assistant", "content": text}, "finish_reason": finish}
                for i in range(n)
            ]
        }
        if server.usage:
            counted = len(prompt.replace("Well", "?") if server.small_vocabulary else prompt) + (
                9 * images if server.sees_images else 0
            )
            answer["usage"] = {"prompt_tokens": counted, "completion_tokens": n * most}
        self._send(200, answer)

    def _authorized(self) -> bool:
        if self.server.key and self.headers.get("Authorization") != f"Bearer {self.server.key}":
            given = self.headers.get("Authorization", "")
            self._send(401, {"error": {"message": f"Incorrect API key provided: {given}"}})
            return False
        return True

    def _send(self, status: int, answer: Any, headers: dict[str, str] | None = None) -> None:
        self._send_raw(json.dumps(answer).encode(), status, headers)

    def _send_raw(self, data: bytes, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)


def _shown(body: dict[str, Any], server: Hostile) -> str:
    """What the tokenizer reads of a text or a chat."""
    text = str(body["prompt"]) if "prompt" in body else _prompt(body, server)[0]
    return text.replace("Well", "?") if server.small_vocabulary else text


def _prompt(body: dict[str, Any], server: Hostile) -> tuple[str, str]:
    """The prompt, and the part of it that is a begun answer."""
    turns = body["messages"]
    last = turns[-1]
    asked = {
        "fields": body.get("continue_final_message") is True,
        "trimmed": body.get("continue_final_message") is True,
        "trailing": "continue_final_message" not in body and not last.get("prefix"),
        "mark": last.get("prefix") is True,
        "repeated": True,
        "stripped": True,
    }
    begun = last["content"] if last["role"] == "assistant" and asked.get(server.prefix) else ""
    before = turns[:-1] if begun else turns
    text = "".join(
        f"<{turn['role']}>{turn['content'] if isinstance(turn['content'], str) else 'picture'}"
        for turn in before
    )
    if server.prefix == "trimmed":
        begun = begun.strip()
    return f"{text}<assistant>{begun}", begun


@contextmanager
def hostile(port: int = 0, **how: Any) -> Iterator[Hostile]:
    """A running server that behaves as said."""
    server = Hostile(port)
    for name, value in how.items():
        assert hasattr(server, name)
        setattr(server, name, value)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
