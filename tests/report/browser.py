"""A real browser without a window: Chromium, spoken to by the DevTools protocol over a pipe, without a port and without a driver."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from base64 import b64decode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Any

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
)


class Page:
    """The one page of a browser."""

    def __init__(self, browser: Browser, session: str) -> None:
        self._browser, self._session = browser, session
        self.send("Page.enable")
        self.send("Runtime.enable")

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command of the protocol and return its answer."""
        return self._browser.send(method, parameters, self._session)

    def open(self, path: Path, *, scripts: bool = True) -> None:
        """Load a file and wait until it is there."""
        self.send("Emulation.setScriptExecutionDisabled", value=not scripts)
        self._browser.forget("Page.loadEventFired")
        self.send("Page.navigate", url=path.as_uri())
        self._browser.wait_for("Page.loadEventFired")

    def size(self, width: int, height: int = 900) -> None:
        """Give the window a size in CSS pixels."""
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def media(self, media: str = "", **features: str) -> None:
        """Pretend to be another medium (``print``), or to prefer something (``prefers_color_scheme="dark"``)."""
        wanted = [{"name": name.replace("_", "-"), "value": value} for name, value in features.items()]
        self.send("Emulation.setEmulatedMedia", media=media, features=wanted)

    def run(self, script: str) -> Any:
        """Evaluate an expression in the page and return its value."""
        answer = self.send("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def click(self, selector: str) -> None:
        """Click with the mouse in the middle of an element, scrolled into view."""
        at = self.run(
            f"(() => {{ const e = document.querySelector({json.dumps(selector)}); e.scrollIntoView({{block: 'center'}});"
            "const r = e.getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2]; })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.send("Input.dispatchMouseEvent", type=kind, x=at[0], y=at[1], button="left", clickCount=1)

    def press(self, key: str) -> None:
        """Press a key: ``ArrowRight``, ``Tab``, ``Escape``."""
        codes = {"ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40, "Tab": 9, "Escape": 27}
        for kind in ("rawKeyDown", "keyUp"):
            self.send("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=codes[key])

    def names(self) -> list[tuple[str, str]]:
        """Return role and accessible name of everything a person can act on or walk to."""
        nodes = self.send("Accessibility.getFullAXTree")["nodes"]
        return [
            (node["role"]["value"], node.get("name", {}).get("value", ""))
            for node in nodes
            if not node.get("ignored") and node.get("role", {}).get("value") not in (None, "none")
        ]

    def pdf(self) -> bytes:
        """Print the page."""
        return b64decode(self.send("Page.printToPDF", printBackground=False)["data"])

    def screenshot(self) -> bytes:
        """Return a picture of the window."""
        return b64decode(self.send("Page.captureScreenshot", format="png")["data"])


class Browser:
    """A running browser."""

    def __init__(self, commands: IO[bytes], answers: IO[bytes]) -> None:
        self._commands, self._answers = commands, answers
        self._number = 0
        self._events: list[str] = []
        self._rest = b""

    def send(self, method: str, parameters: Mapping[str, Any], session: str | None = None) -> dict[str, Any]:
        self._number += 1
        message = {"id": self._number, "method": method, "params": dict(parameters)} | ({"sessionId": session} if session else {})
        self._commands.write(json.dumps(message).encode() + b"\0")
        self._commands.flush()
        while (answer := self._read()).get("id") != self._number:
            self._events.append(str(answer.get("method")))
        assert "error" not in answer, answer["error"]
        return dict(answer["result"])

    def forget(self, event: str) -> None:
        self._events = [name for name in self._events if name != event]

    def wait_for(self, event: str) -> None:
        while event not in self._events:
            self._events.append(str(self._read().get("method")))

    def page(self) -> Page:
        target = self.send("Target.createTarget", {"url": "about:blank"})["targetId"]
        return Page(self, self.send("Target.attachToTarget", {"targetId": target, "flatten": True})["sessionId"])

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            data = os.read(self._answers.fileno(), 1 << 16)
            assert data, "the browser has gone"
            self._rest += data
        message, _, self._rest = self._rest.partition(b"\0")
        return dict(json.loads(message))


def program() -> str | None:
    """Return the browser of this machine, if it has one."""
    return next((found for name in PROGRAMS if (found := shutil.which(name)) is not None), None)


@contextmanager
def browser() -> Iterator[Page]:
    """Start a browser whose files are all in a folder of its own, for as long as the block lasts.

    The folder's name is short: Chromium makes a socket in it, whose path has to fit into 108 bytes (unix(7)).
    """
    with TemporaryDirectory(prefix="lab-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        yield from _browser(Path(folder))


def _browser(folder: Path) -> Iterator[Page]:
    name = program()
    assert name is not None
    to_browser, commands = os.pipe()
    answers, from_browser = os.pipe()

    def hand_over() -> None:
        """The browser reads commands from descriptor 3 and answers on 4."""
        ours = os.dup(to_browser), os.dup(from_browser)
        os.dup2(ours[0], 3)
        os.dup2(ours[1], 4)

    home = {"HOME": str(folder), "XDG_CONFIG_HOME": str(folder), "XDG_CACHE_HOME": str(folder), "TMPDIR": str(folder)}
    process = subprocess.Popen(
        [name, *FLAGS, f"--user-data-dir={folder / 'profile'}"],
        env={**os.environ, **home},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        pass_fds=(3, 4, to_browser, from_browser),
        preexec_fn=hand_over,
    )
    os.close(to_browser)
    os.close(from_browser)
    with os.fdopen(commands, "wb") as writer, os.fdopen(answers, "rb", buffering=0) as reader:
        running = Browser(writer, reader)
        try:
            yield running.page()
        finally:
            with suppress(AssertionError, OSError):  # it has gone
                running.send("Browser.close", {})
            process.wait(timeout=60)
