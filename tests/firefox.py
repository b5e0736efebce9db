"""Debian's Firefox, driven by its Marionette protocol, with the names of Browser: the same page in another engine."""

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
PREFERENCES = {
    "app.normandy.enabled": False,
    "app.update.disabledForTesting": True,
    "browser.dom.window.dump.enabled": True,
    "browser.shell.checkDefaultBrowser": False,
    "browser.startup.homepage_override.mstone": "ignore",
    "browser.startup.page": 0,
    "datareporting.policy.dataSubmissionEnabled": False,
    "devtools.console.stdout.content": True,
    "extensions.systemAddon.update.enabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "services.settings.server": "data:,#remote-settings-dummy/v1",
    "toolkit.telemetry.enabled": False,
    "ui.prefersReducedMotion": 1,
}
KEYS = {"ArrowRight": "\ue014", "ArrowDown": "\ue015", "Home": "\ue011", "End": "\ue010", "Escape": "\ue00c"}
"""As the WebDriver standard numbers them."""
SAID = ("console.", "JavaScript error", "JavaScript warning")
"""How lines begin that a page causes; Firefox says others, too."""
OWN = ("console.error: RSLoader:", "JavaScript error: resource://", "JavaScript error: chrome://")
"""How those of them begin that are of Firefox itself."""
A4 = {"width": 21.0, "height": 29.7}
"""Centimetres."""
SECONDS = 60


class Firefox:
    """One tab; `console` holds what its pages say, and `requests` what they loaded."""

    def __init__(self, width=1280, height=900):
        self._folder = Path(tempfile.mkdtemp(prefix="facelime-firefox-"))
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        lines = [f"user_pref({json.dumps(name)}, {json.dumps(value)});" for name, value in PREFERENCES.items()]
        lines.append(f'user_pref("marionette.port", {port});')
        (self._folder / "user.js").write_text("\n".join(lines))
        self._output = (self._folder / "output.txt").open("wb")
        words = ["--headless", "--marionette", "--remote-allow-system-access", "--no-remote"]
        self._process = subprocess.Popen(
            [FIREFOX, *words, "--profile", str(self._folder)], stdout=self._output, stderr=subprocess.STDOUT
        )
        self._number, self._socket = 0, self._connected(port)
        self._rest = b""
        self._read()
        self._call("WebDriver:NewSession", capabilities={"alwaysMatch": {"acceptInsecureCerts": True}})
        self.size(width, height)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._socket.close()
        self._process.terminate()
        self._process.wait(SECONDS)
        self._output.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _connected(self, port):
        until = time.monotonic() + SECONDS
        while time.monotonic() < until:
            assert self._process.poll() is None, "Firefox ended"
            try:
                return socket.create_connection(("127.0.0.1", port), SECONDS)
            except ConnectionRefusedError:
                time.sleep(0.1)
        raise TimeoutError("Firefox does not listen")

    def _read(self):
        """Return one message: its length, a colon, JSON."""
        while b":" not in self._rest:
            self._more()
        length, _, self._rest = self._rest.partition(b":")
        while len(self._rest) < int(length):
            self._more()
        message, self._rest = self._rest[: int(length)], self._rest[int(length) :]
        return json.loads(message)

    def _more(self):
        part = self._socket.recv(1 << 20)
        assert part, "Firefox ended"
        self._rest += part

    def _call(self, name, **params):
        self._number += 1
        message = json.dumps([0, self._number, name, params]).encode()
        self._socket.sendall(f"{len(message)}:".encode() + message)
        _, number, error, result = self._read()
        assert number == self._number
        assert error is None, (name, error)
        return result

    def _chrome(self, script, *arguments):
        """Run a script in the browser itself, around the page."""
        self._call("Marionette:SetContext", value="chrome")
        self._call("WebDriver:ExecuteScript", script=script, args=list(arguments))
        self._call("Marionette:SetContext", value="content")

    @property
    def console(self):
        self._output.flush()
        said = (self._folder / "output.txt").read_text(encoding="utf-8", errors="replace").splitlines()
        return [line for line in said if line.startswith(SAID) and not line.startswith(OWN)]

    @property
    def requests(self):
        return self.ask("performance.getEntriesByType('resource').map(e => e.name).concat(location.href)")

    def open(self, page):
        """Open a file and wait until it is loaded."""
        self._call("WebDriver:Navigate", url=Path(page).absolute().as_uri())

    def ask(self, expression):
        """Return the value of a JavaScript expression."""
        return self._call("WebDriver:ExecuteScript", script="return eval(arguments[0])", args=[expression])["value"]

    def size(self, width, height):
        """Give the page this much room; a window itself is never narrower than its own buttons."""
        self._call("WebDriver:SetWindowRect", width=max(width, 600) + 40, height=height + 200)
        self._chrome(
            "const style = gBrowser.selectedBrowser.style; const [width, height] = arguments;"
            "for (const each of ['min-width', 'max-width', 'width']) style.setProperty(each, width + 'px');"
            "for (const each of ['min-height', 'max-height', 'height']) style.setProperty(each, height + 'px');",
            width,
            height,
        )
        until = time.monotonic() + SECONDS
        while self.ask("[innerWidth, innerHeight]") != [width, height]:
            assert time.monotonic() < until, self.ask("[innerWidth, innerHeight]")
            time.sleep(0.05)

    def scheme(self, name):
        self._chrome("gBrowser.selectedBrowser.browsingContext.prefersColorSchemeOverride = arguments[0]", name)

    def medium(self, name):
        """Show pages as a medium has them: `print`, or an empty text for the screen."""
        self._chrome("gBrowser.selectedBrowser.browsingContext.mediumOverride = arguments[0]", name)

    def middle(self, selector):
        """Scroll to an element and return where its middle is."""
        found = f"document.querySelector({json.dumps(selector)})"
        self.ask(f"{found}.scrollIntoView({{block: 'center', behavior: 'instant'}})")
        return self.ask(
            f"(() => {{ const r = {found}.getBoundingClientRect();"
            " return [r.x + r.width / 2, r.y + r.height / 2]; })()"
        )

    def _act(self, kind, *actions, **parameters):
        whole = {"type": kind, "id": kind, "actions": list(actions)} | parameters
        self._call("WebDriver:PerformActions", actions=[whole])

    def move(self, x, y):
        self._act("pointer", {"type": "pointerMove", "x": round(x), "y": round(y)}, parameters={"pointerType": "mouse"})

    def click(self, selector):
        x, y = self.middle(selector)
        there = {"type": "pointerMove", "x": round(x), "y": round(y)}
        buttons = ({"type": kind, "button": 0} for kind in ("pointerDown", "pointerUp"))
        self._act("pointer", there, *buttons, parameters={"pointerType": "mouse"})

    def press(self, key):
        self._act("key", *({"type": kind, "value": KEYS.get(key, key)} for kind in ("keyDown", "keyUp")))

    def picture(self, path, *, whole=False):
        """Save what is to be seen as a PNG file."""
        found = self._call("WebDriver:TakeScreenshot", full=whole, scroll=False)["value"]
        Path(path).write_bytes(base64.b64decode(found))

    def printed(self, path):
        """Print to a PDF file as the page's style says."""
        found = self._call("WebDriver:Print", page=A4, background=False, shrinkToFit=False)["value"]
        Path(path).write_bytes(base64.b64decode(found))
