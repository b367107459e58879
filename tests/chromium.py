"""Headless Chromium, driven over a pair of pipes: what a page is to who sees it, hears it or has a keyboard alone."""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

__all__ = ["CHROMIUM", "Page", "chromium"]

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
_PATIENCE = 60.0  # seconds for an answer; a browser that cannot paint here would be waited for without an end
_OPTIONS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe")

# The pipes as file descriptors 3 and 4, which is where a browser looks for them.
_BEGIN = """
import fcntl, os, sys
kept = [fcntl.fcntl(int(each), fcntl.F_DUPFD, 10) for each in sys.argv[1:3]]
for number, each in enumerate(kept, 3):
    os.dup2(each, number)
os.execv(sys.argv[3], sys.argv[3:])
"""


class Page:
    """One page. Commands are those of the DevTools protocol."""

    def __init__(self, pipe: _Pipe, session: str) -> None:
        self.pipe = pipe
        self.session = session

    def do(self, method: str, **parameters: Any) -> dict[str, Any]:
        return self.pipe.do(method, self.session, **parameters)

    def open(self, address: str, *, width: int = 1400, dark: bool = False, script: bool = True) -> None:
        """Load a page, and wait until it is there."""
        self.do("Page.enable")
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.do("Emulation.setEmulatedMedia", media="screen", features=[scheme])
        self.do("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
        self.do("Emulation.setScriptExecutionDisabled", value=not script)
        self.do("Page.navigate", url=address)
        self.pipe.wait("Page.loadEventFired", self.session)

    def value(self, expression: str) -> Any:
        """What an expression of JavaScript comes to."""
        found = self.do("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def press(self, key: str, code: int) -> None:
        for kind in ("keyDown", "keyUp"):
            self.do("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code)

    def heard(self) -> list[tuple[str, str]]:
        """(role, name) of all that a screen reader is told of, in its order."""
        nodes = self.do("Accessibility.getFullAXTree")["nodes"]
        told = [node for node in nodes if not node.get("ignored")]
        return [(node["role"]["value"], node.get("name", {}).get("value", "")) for node in told]


class _Pipe:
    """Messages that end in a NUL each: file descriptors 3 and 4 of the browser."""

    def __init__(self, to: int, from_: int) -> None:
        self.to = os.fdopen(to, "wb", buffering=0)
        self.from_ = from_
        self.number = 0
        self.kept = b""
        self.events: list[tuple[str, str]] = []

    def do(self, method: str, session: str = "", **parameters: Any) -> dict[str, Any]:
        self.number += 1
        asked = {"id": self.number, "method": method, "params": parameters}
        self.to.write(json.dumps(asked | ({"sessionId": session} if session else {})).encode() + b"\0")
        while (answer := self._next()).get("id") != self.number:
            self.events.append((answer.get("method", ""), answer.get("sessionId", "")))
        assert "error" not in answer, f"{method}: {answer['error']}"
        return dict(answer["result"])

    def wait(self, event: str, session: str) -> None:
        while (event, session) not in self.events:
            answer = self._next()
            self.events.append((answer.get("method", ""), answer.get("sessionId", "")))
        self.events.clear()

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self.kept:
            assert select.select([self.from_], [], [], _PATIENCE)[0], f"no word of the browser in {_PATIENCE:.0f} s"
            read = os.read(self.from_, 1 << 16)
            assert read, "the browser has gone away"
            self.kept += read
        message, _, self.kept = self.kept.partition(b"\0")
        return dict(json.loads(message))


@contextmanager
def chromium() -> Iterator[Page]:
    """A page of a browser that was started for it."""
    theirs_in, ours_out = os.pipe()
    ours_in, theirs_out = os.pipe()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        begin = [sys.executable, "-c", _BEGIN, str(theirs_in), str(theirs_out)]
        argv = [*begin, str(CHROMIUM), *_OPTIONS, f"--user-data-dir={profile}", "about:blank"]
        process = subprocess.Popen(
            argv,
            pass_fds=(theirs_in, theirs_out),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        os.close(theirs_in)
        os.close(theirs_out)
        pipe = _Pipe(ours_out, ours_in)
        try:
            target = pipe.do("Target.createTarget", url="about:blank")["targetId"]
            yield Page(pipe, pipe.do("Target.attachToTarget", targetId=target, flatten=True)["sessionId"])
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            pipe.to.close()
            os.close(ours_in)
