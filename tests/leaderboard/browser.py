"""A headless Chromium driven over its DevTools protocol through two pipes: no driver, no port, no package needed.

https://chromedevtools.github.io/devtools-protocol/ ; ``--remote-debugging-pipe`` reads messages from file descriptor 3
and writes them to 4, JSON ended by a zero byte.
"""

from __future__ import annotations

import base64
import fcntl
import itertools
import json
import os
import select
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
PROGRAM = os.environ.get("BENCH_CHROMIUM") or next((path for name in NAMES if (path := shutil.which(name))), "")
MISSING = "no Chromium on this machine: apt-get install chromium, or set BENCH_CHROMIUM"
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync",
    "--no-first-run", "--disable-dev-shm-usage", "--disable-extensions", "--disable-component-update",
    "--hide-scrollbars", "--remote-debugging-pipe",
)  # fmt: skip


class Browser:
    """One browser with one page. ``console`` holds errors and warnings, ``requests`` the addresses asked for.

    ``blocked``: those of the requests that the page's own policy stopped.
    """

    def __init__(self, profile: Path) -> None:
        reads, self.to = os.pipe()
        self.of, writes = os.pipe()
        ends = [fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in (reads, writes)]  # clear of 3 and 4

        def connect() -> None:
            os.dup2(ends[0], 3)
            os.dup2(ends[1], 4)

        self.process = subprocess.Popen(
            [PROGRAM, *FLAGS, f"--user-data-dir={profile}", "about:blank"], pass_fds=(3, 4), preexec_fn=connect,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        for end in (reads, writes, *ends):
            os.close(end)
        self.buffer = b""
        self.count = itertools.count(1)
        self.session: str | None = None
        self.events: list[dict[str, Any]] = []
        self.console: list[str] = []
        self.requests: list[str] = []
        self.blocked: list[str] = []
        self.address_of: dict[str, str] = {}
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")

    def send(self, method: str, **params: Any) -> dict[str, Any]:
        """Call a method and wait for its answer; what is reported meanwhile is kept."""
        number = next(self.count)
        message: dict[str, Any] = {"id": number, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.to, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read(60)
            if answer.get("id") == number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                found: dict[str, Any] = answer["result"]
                return found
            self._note(answer)

    def _read(self, seconds: float) -> dict[str, Any]:
        until = time.monotonic() + seconds
        while b"\0" not in self.buffer:
            ready, _, _ = select.select([self.of], [], [], max(0.0, until - time.monotonic()))
            if not ready:
                raise TimeoutError("the browser does not answer")
            block = os.read(self.of, 1 << 16)
            if not block:
                raise RuntimeError("the browser has gone")
            self.buffer += block
        text, self.buffer = self.buffer.split(b"\0", 1)
        found: dict[str, Any] = json.loads(text)
        return found

    def _note(self, event: dict[str, Any]) -> None:
        method, params = event.get("method"), event.get("params", {})
        self.events.append(event)
        if method == "Runtime.exceptionThrown":
            self.console.append(json.dumps(params["exceptionDetails"]))
        elif method == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning", "assert"):
            self.console.append(json.dumps(params["args"]))
        elif method == "Log.entryAdded":
            self.console.append(params["entry"]["text"])
        elif method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])
            self.address_of[params["requestId"]] = params["request"]["url"]
        elif method == "Network.loadingFailed" and params.get("blockedReason") == "csp":
            self.blocked.append(self.address_of[params["requestId"]])

    def open(self, address: str) -> None:
        """Load a page and wait until it is there."""
        self.events.clear()
        self.send("Page.navigate", url=address)
        self.wait("Page.loadEventFired")

    def wait(self, method: str, seconds: float = 60) -> None:
        """Wait for an event that has not been seen since the page was opened."""
        while not any(event.get("method") == method for event in self.events):
            self._note(self._read(seconds))

    def run(self, script: str) -> Any:
        """Value of a JavaScript expression in the page, awaited."""
        answer = self.send("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(json.dumps(answer["exceptionDetails"])[:2000])
        return answer["result"].get("value")

    def click(self, selector: str) -> None:
        """A mouse click in the middle of the first match, through the browser's own input."""
        middle = "e.scrollIntoView({block: 'center'}); const b = e.getBoundingClientRect();"
        found = f"const e = document.querySelector({json.dumps(selector)});"
        place = self.run(f"(() => {{ {found} {middle} return [b.x + b.width / 2, b.y + b.height / 2]; }})()")
        for kind in ("mousePressed", "mouseReleased"):
            self.send("Input.dispatchMouseEvent", type=kind, x=place[0], y=place[1], button="left", clickCount=1)

    def follow(self, selector: str) -> None:
        """Click on a link and wait until the page that it leads to is there."""
        self.events.clear()
        self.click(selector)
        self.wait("Page.loadEventFired")

    def press(self, key: str, code: int, text: str = "") -> None:
        """Press and release a key."""
        shared = {"key": key, "code": key, "windowsVirtualKeyCode": code}
        self.send("Input.dispatchKeyEvent", type="keyDown", text=text, **shared)
        self.send("Input.dispatchKeyEvent", type="keyUp", **shared)

    def screen(self, width: int, height: int = 1000, scheme: str = "light") -> None:
        """Size of the window and the colour scheme that the system asks for."""
        self.send(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        self.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def picture(self, path: Path, *, whole: bool = False) -> None:
        """Write a PNG of what the window shows, or of the whole page."""
        shot = self.send("Page.captureScreenshot", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(shot["data"]))

    def close(self) -> None:
        """End the browser."""
        self.session = None
        try:
            self.send("Browser.close")
        except (OSError, RuntimeError, TimeoutError):
            self.process.kill()
        self.process.wait(timeout=30)
        os.close(self.to)
        os.close(self.of)
