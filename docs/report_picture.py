"""Photograph the report of `facelime demo` in chromium: docs/report.jpg, the first picture of the README.

python -m docs.report_picture
"""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image

from tests.browser import CHROMIUM, Browser

FILE = Path(__file__).parent / "report.jpg"
WIDTH, HEIGHT = 1280, 1240
QUALITY = 82
WAYS, SETTLING = 3, 0.5
"""How often the page is told where to go, and the seconds after each."""
SHOWN = "rosacea"
"""The photograph shows the first picture of this class, with the pointer on its strongest region."""


def photograph(page: Path, folder: Path) -> Image.Image:
    """Return what a reader sees of a report."""
    with Browser() as browser:
        browser.size(WIDTH, HEIGHT)
        browser.scheme("light")
        browser.open(page)
        # What is far away is not laid out yet, so that the first way there is not the whole way.
        for _ in range(WAYS):
            browser.ask(
                "(() => { const e = [...document.querySelectorAll('.picture')]"
                f".find(e => e.querySelector('h2').textContent.startsWith('{SHOWN}/')); e.scrollIntoView();"
                " const region = e.querySelector('.r[data-rank=\"1\"]');"
                " region?.dispatchEvent(new PointerEvent('pointerover', {bubbles: true})); })()"
            )
            time.sleep(SETTLING)
        browser.picture(folder / "report.png")
    return Image.open(io.BytesIO((folder / "report.png").read_bytes())).convert("RGB")


def main() -> None:
    """Run the demo, photograph its report, and write the picture."""
    if CHROMIUM is None:
        sys.exit("there is no chromium here: apt-get install chromium")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        done = subprocess.run(
            [sys.executable, "-m", "facelime_cli", "demo", "--json", "--store", str(folder / "store")],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        photograph(Path(json.loads(done.stdout)["report"]), folder).save(FILE, quality=QUALITY)


if __name__ == "__main__":
    main()
