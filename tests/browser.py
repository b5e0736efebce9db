"""Debian's chromium, driven over its own pipe: a page as its reader sees it."""

import base64
import json
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
)
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no chromium here: apt-get install chromium")
QUIET = (
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-sandbox",
    "--hide-scrollbars",
)
SECONDS = 60


class Browser:
    """One tab; `console` and `requests` gather what its pages say and ask for."""

    def __init__(self, width=1280, height=900):
        self._folder = tempfile.mkdtemp(prefix="facelime-chromium-")
        theirs_in, ours_out = os.pipe()
        ours_in, theirs_out = os.pipe()

        def descriptors():
            os.dup2(os.dup(theirs_in), 3)
            os.dup2(os.dup(theirs_out), 4)

        # chromium reads commands from descriptor 3 and answers on 4; the copies made just before cannot be these two
        spare = [os.open(os.devnull, os.O_RDONLY) for _ in range(4)]
        words = [
            CHROMIUM,
            "--headless",
            "--remote-debugging-pipe",
            *QUIET,
            f"--user-data-dir={self._folder}",
            f"--window-size={width},{height}",
        ]
        self._process = subprocess.Popen(
            words,
            preexec_fn=descriptors,  # noqa: PLW1509 - nothing else runs in this process's threads
            close_fds=False,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for each in (theirs_in, theirs_out, *spare):
            os.close(each)
        self._out, self._in = os.fdopen(ours_out, "wb", buffering=0), os.fdopen(ours_in, "rb", buffering=0)
        os.set_blocking(ours_in, False)
        self._number, self._rest, self._session = 0, b"", None
        self.console, self.requests, self.events = [], [], []
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self._call(f"{domain}.enable")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.terminate()
        self._process.wait(SECONDS)
        self._out.close()
        self._in.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _call(self, method, **params):
        self._number += 1
        message = {"id": self._number, "method": method, "params": params} | (
            {"sessionId": self._session} if self._session else {}
        )
        self._out.write(json.dumps(message).encode() + b"\0")
        return self._until(lambda each: each.get("id") == self._number, method)

    def _until(self, wanted, what):
        until = time.monotonic() + SECONDS
        while time.monotonic() < until:
            while b"\0" in self._rest:
                line, _, self._rest = self._rest.partition(b"\0")
                message = json.loads(line)
                self._note(message)
                if wanted(message):
                    assert "error" not in message, (what, message)
                    return message.get("result", {})
            part = self._in.read(1 << 20)
            if part:
                self._rest += part
            else:
                assert self._process.poll() is None, "chromium ended"
                time.sleep(0.01)
        raise TimeoutError(what)

    def _note(self, message):
        method, params = message.get("method"), message.get("params", {})
        if method == "Runtime.consoleAPICalled":
            self.console.append(" ".join(str(each.get("value", each.get("description"))) for each in params["args"]))
        elif method == "Runtime.exceptionThrown":
            self.console.append(
                params["exceptionDetails"].get("exception", {}).get("description", params["exceptionDetails"]["text"])
            )
        elif method == "Log.entryAdded":
            self.console.append(params["entry"]["text"])
        elif method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])

    def open(self, page):
        """Open a file and wait until it is loaded."""
        self._call("Page.navigate", url=Path(page).absolute().as_uri())
        self._until(lambda each: each.get("method") == "Page.loadEventFired", "load")

    def ask(self, expression):
        """Return the value of a JavaScript expression."""
        found = self._call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def size(self, width, height):
        self._call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )

    def without_script(self):
        self._call("Emulation.setScriptExecutionDisabled", value=True)

    def scheme(self, name):
        self._call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": name}])

    def medium(self, name):
        """Show pages as a medium has them: `print`, or an empty text for the screen."""
        self._call("Emulation.setEmulatedMedia", media=name)

    def middle(self, selector):
        """Scroll to an element and return where its middle is."""
        found = f"document.querySelector({json.dumps(selector)})"
        self.ask(f"{found}.scrollIntoView({{block: 'center', behavior: 'instant'}})")
        return self.ask(
            f"(() => {{ const r = {found}.getBoundingClientRect();"
            " return [r.x + r.width / 2, r.y + r.height / 2]; })()"
        )

    def move(self, x, y):
        self._call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def click(self, selector):
        x, y = self.middle(selector)
        for kind in ("mousePressed", "mouseReleased"):
            self._call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def press(self, key):
        for kind in ("keyDown", "keyUp"):
            self._call(
                "Input.dispatchKeyEvent",
                type=kind,
                key=key,
                code=key,
                windowsVirtualKeyCode={"ArrowRight": 39, "ArrowDown": 40, "Home": 36, "End": 35, "Escape": 27}.get(
                    key, 0
                ),
            )

    def picture(self, path, *, whole=False):
        """Save what is to be seen as a PNG file."""
        Path(path).write_bytes(
            base64.b64decode(self._call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)["data"])
        )

    def printed(self, path):
        """Print to a PDF file as the page's style says."""
        Path(path).write_bytes(
            base64.b64decode(self._call("Page.printToPDF", preferCSSPageSize=True, printBackground=False)["data"])
        )
