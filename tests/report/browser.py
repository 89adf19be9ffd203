"""A headless Chromium driven over its debugging pipe: no driver package, no port, no network."""

import base64
import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

PROGRAM = shutil.which("chromium") or shutil.which("chromium-browser")


class Browser:
    """One page of a headless Chromium; a context manager."""

    def __init__(self) -> None:
        self.profile = tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True)
        commands, self.commands = os.pipe()
        self.events_read, events = os.pipe()
        flags = "--headless --no-sandbox --disable-gpu --disable-dev-shm-usage --no-first-run"
        flags += " --disable-background-networking --hide-scrollbars --remote-debugging-pipe"
        self.process = subprocess.Popen(
            f"exec {PROGRAM} {flags} --user-data-dir={self.profile.name} about:blank "
            f"3<&{commands} 4>&{events}",
            shell=True,
            executable="/bin/bash",
            pass_fds=(commands, events),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(commands)
        os.close(events)
        self.number = 0
        self.rest = b""
        self.events: list[dict[str, Any]] = []
        target = self.call("Target.createTarget", session=None, url="about:blank")["targetId"]
        attachment = self.call("Target.attachToTarget", session=None, targetId=target, flatten=True)
        self.session = attachment["sessionId"]
        for domain in ("Page", "Network", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    session: str | None = None

    def __enter__(self) -> "Browser":
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.commands)
        self.process.terminate()
        self.process.wait(timeout=20)
        os.close(self.events_read)
        self.profile.cleanup()

    def call(self, method: str, session: str | None = "page", **parameters: Any) -> dict[str, Any]:
        """Sends a command and returns its result, keeping the events that come meanwhile."""
        self.number += 1
        message: dict[str, Any] = {"id": self.number, "method": method, "params": parameters}
        if session is not None:
            message["sessionId"] = self.session
        os.write(self.commands, json.dumps(message).encode() + b"\0")
        while True:
            answer = self.receive()
            if answer.get("id") == self.number:
                assert "error" not in answer, answer
                return answer["result"]
            self.events.append(answer)

    def receive(self) -> dict[str, Any]:
        while b"\0" not in self.rest:
            block = os.read(self.events_read, 1 << 20)
            assert block, "the browser ended"
            self.rest += block
        line, self.rest = self.rest.split(b"\0", 1)
        return json.loads(line)

    def open(self, page: Path, width: int = 1280, height: int = 900) -> None:
        """Loads a file and waits until it has loaded."""
        self.resize(width, height)
        self.events.clear()
        self.call("Page.navigate", url=page.resolve().as_uri())
        while not any(e.get("method") == "Page.loadEventFired" for e in self.events):
            self.events.append(self.receive())

    def resize(self, width: int, height: int) -> None:
        """A viewport, mobile below 500 pixels."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 500,
        )

    def evaluate(self, script: str) -> Any:
        """The value of an expression in the page."""
        reply = self.call(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in reply, reply
        return reply["result"].get("value")

    def read_errors(self) -> list[str]:
        """Console errors, exceptions and policy violations since the page was opened."""
        errors = []
        for event in self.events:
            method, data = event.get("method"), event.get("params", {})
            if method == "Runtime.exceptionThrown":
                errors.append(str(data["exceptionDetails"]))
            elif method == "Runtime.consoleAPICalled" and data["type"] in ("error", "warning"):
                errors.append(str(data["args"]))
            elif method == "Log.entryAdded" and data["entry"]["level"] in ("error", "warning"):
                errors.append(data["entry"]["text"])
        return errors

    def list_requests(self) -> list[str]:
        """Every address asked for since the page was opened."""
        sent = [e for e in self.events if e.get("method") == "Network.requestWillBeSent"]
        return [event["params"]["request"]["url"] for event in sent]

    def save_screenshot(self, path: Path, full_page: bool = True) -> None:
        """A PNG of the page."""
        reply = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=full_page)
        path.write_bytes(base64.b64decode(reply["data"]))
