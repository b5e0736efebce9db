"""Debian's Firefox, driven by its own protocol (Marionette): a page as its reader sees it."""

import base64
import json
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

FIREFOX = next((found for name in ("firefox-esr", "firefox") if (found := shutil.which(name))), None)
needs_firefox = pytest.mark.skipif(FIREFOX is None, reason="no Firefox here: apt-get install firefox-esr")
SECONDS = 60
KEYS = {"End": "\ue010", "Home": "\ue011", "ArrowRight": "\ue014", "ArrowDown": "\ue015", "Escape": "\ue00c"}
"""As WebDriver writes them."""


def _free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


class Firefox:
    """One tab, without a screen."""

    def __init__(self, width=1280, height=900):
        self._folder, port = tempfile.mkdtemp(prefix="facelime-firefox-"), _free_port()
        (Path(self._folder) / "user.js").write_text(
            f'user_pref("marionette.port", {port});\n'
            'user_pref("datareporting.policy.dataSubmissionEnabled", false);\n'
            'user_pref("app.update.enabled", false);\n'
            'user_pref("network.captive-portal-service.enabled", false);\n'
            'user_pref("network.connectivity-service.enabled", false);\n'
        )
        self._process = subprocess.Popen(
            [FIREFOX, "--headless", "--marionette", "--no-remote", "--profile", self._folder],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._number, self._socket = 0, self._connected(port)
        self._stream = self._socket.makefile("rb")
        self._answer()  # It says which protocol it speaks.
        self._call("WebDriver:NewSession", capabilities={"alwaysMatch": {}})
        self._call("WebDriver:SetWindowRect", width=width, height=height)

    def _connected(self, port):
        until = time.monotonic() + SECONDS
        while True:
            try:
                return socket.create_connection(("127.0.0.1", port), SECONDS)
            except OSError:
                assert self._process.poll() is None, "Firefox ended"
                assert time.monotonic() < until, "Firefox does not answer"
                time.sleep(0.1)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._stream.close()
        self._socket.close()
        self._process.terminate()
        self._process.wait(SECONDS)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _answer(self):
        length = b""
        while (each := self._stream.read(1)) != b":":
            assert each, "Firefox ended"
            length += each
        return json.loads(self._stream.read(int(length)))

    def _call(self, command, **params):
        self._number += 1
        message = json.dumps([0, self._number, command, params]).encode()
        self._socket.sendall(f"{len(message)}:".encode() + message)
        _, number, wrong, found = self._answer()
        assert number == self._number
        assert wrong is None, (command, wrong)
        return found.get("value", found) if isinstance(found, dict) else found

    def open(self, page):
        """Open a file and wait until it is loaded."""
        self._call("WebDriver:Navigate", url=Path(page).absolute().as_uri())

    def ask(self, expression):
        """Return the value of a JavaScript expression."""
        return self._call("WebDriver:ExecuteScript", script=f"return ({expression});", args=[], sandbox=None)

    def _act(self, **source):
        self._call("WebDriver:PerformActions", actions=[source])

    def press(self, key):
        """Press and release a key."""
        actions = [{"type": kind, "value": KEYS[key]} for kind in ("keyDown", "keyUp")]
        self._act(type="key", id="keys", actions=actions)

    def move(self, x, y):
        """Move the mouse."""
        moved = {"type": "pointerMove", "x": round(x), "y": round(y), "duration": 0, "origin": "viewport"}
        self._act(type="pointer", id="mouse", parameters={"pointerType": "mouse"}, actions=[moved])

    def printed(self, path):
        """Print to a PDF file as the page's style says: A4 in centimetres, its own margins."""
        margin = dict.fromkeys(("top", "bottom", "left", "right"), 1.4)
        found = self._call("WebDriver:Print", page={"width": 21.0, "height": 29.7}, margin=margin, shrinkToFit=False)
        Path(path).write_bytes(base64.b64decode(found))
