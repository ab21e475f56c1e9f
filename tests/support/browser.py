"""A headless Chromium for tests, driven through chromedriver's WebDriver protocol with the standard library alone.

`Browser` opens files, runs scripts in the page, presses keys, takes screenshots, and reports every request the page
made. Debian: `apt-get install chromium chromium-driver`.
"""

import base64
import json
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any, Self

_START_SECONDS = 60
# The driver is on this machine: no proxy of the environment stands between.
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
_ARGUMENTS = [
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
    "--disable-default-apps", "--disable-sync", "--no-first-run", "--disable-dev-shm-usage",
]  # fmt: skip


def programs() -> tuple[str, str] | None:
    """(chromium, chromedriver), None where one is missing."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    return (browser, driver) if browser and driver else None


class Browser:
    """One browser window."""

    def __init__(self, width: int = 1280, height: int = 900) -> None:
        found = programs()
        assert found is not None
        self._driver = subprocess.Popen(
            [found[1], "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert self._driver.stdout is not None
        line = ""
        while "successfully on port" not in line:
            line = self._driver.stdout.readline()
            assert line, "chromedriver did not start"
        self._base = f"http://127.0.0.1:{int(line.rpartition('on port')[2].strip().rstrip('.'))}"
        options = {"binary": found[0], "args": [*_ARGUMENTS, f"--window-size={width},{height}"]}
        wanted = {
            "goog:chromeOptions": options,
            "goog:loggingPrefs": {"performance": "ALL", "browser": "ALL"},
        }
        made = self._call("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})
        self._base += f"/session/{made['sessionId']}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._call("DELETE", "")
        finally:
            self._driver.terminate()
            self._driver.wait()

    def _call(self, method: str, path: str, body: Any = None) -> Any:
        data = None if method != "POST" else json.dumps(body or {}).encode()
        request = urllib.request.Request(
            self._base + path, data, {"Content-Type": "application/json"}, method=method
        )
        try:
            with _DIRECT.open(request, timeout=_START_SECONDS) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise AssertionError(json.load(error)["value"]["message"]) from error

    def open(self, path: Path, fragment: str = "") -> None:
        """Open a file of this machine."""
        self._call("POST", "/url", {"url": path.resolve().as_uri() + fragment})

    def run(self, script: str, *arguments: Any) -> Any:
        """The value that a script returns in the page."""
        return self._call("POST", "/execute/sync", {"script": script, "args": list(arguments)})

    def command(self, name: str, **parameters: Any) -> Any:
        """A command of the DevTools protocol."""
        return self._call("POST", "/goog/cdp/execute", {"cmd": name, "params": parameters})

    def press(self, key: str) -> None:
        """One key, as a person presses it."""
        keys = [{"type": "keyDown", "value": key}, {"type": "keyUp", "value": key}]
        self._call("POST", "/actions", {"actions": [{"type": "key", "id": "keys", "actions": keys}]})

    def type(self, text: str) -> None:
        """Several keys."""
        for letter in text:
            self.press(letter)

    def phone(self) -> None:
        """Behave as a phone of 390 by 844 points."""
        self.command(
            "Emulation.setDeviceMetricsOverride", width=390, height=844, deviceScaleFactor=2, mobile=True
        )

    def dark(self, wanted: bool = True) -> None:
        """What the system says about light and dark."""
        value = "dark" if wanted else "light"
        self.command(
            "Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": value}]
        )

    def screenshot(self, path: Path, *, whole: bool = False) -> None:
        """The visible part of the page, or all of it."""
        shot = self.command("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(shot["data"]))

    def requests(self) -> list[str]:
        """Addresses the pages asked for since the last call, data: addresses left out."""
        messages = [json.loads(entry["message"])["message"] for entry in self._log("performance")]
        urls = [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
        return [url for url in urls if not url.startswith("data:")]

    def complaints(self) -> list[str]:
        """What the page's console says: script errors, refused styles and the like."""
        return [entry["message"] for entry in self._log("browser")]

    def wait(self, script: str, seconds: float = 20.0) -> None:
        """Until a condition holds in the page."""
        end = time.monotonic() + seconds
        while not self.run(f"return Boolean({script})"):
            assert time.monotonic() < end, f"never came true: {script}"
            time.sleep(0.05)

    def _log(self, kind: str) -> list[Any]:
        found: list[Any] = self._call("POST", "/se/log", {"type": kind})
        return found
