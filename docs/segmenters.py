"""Draw every segmenter on two pictures that come with scikit-image: docs/segmenters.jpg.

python docs/segmenters.py
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import skimage.data
from PIL import Image, ImageDraw
from skimage.segmentation import mark_boundaries

from facelime_cli.choices import SEGMENTERS
from facelime_cli.core import superpixels

SIDE = 224
SHOWN = 200
BORDER = (1.0, 0.85, 0.0)
QUALITY = 82
PANELS: dict[str, tuple[str, dict[str, Any]]] = {
    "quickshift": ("quickshift", {}),
    "slic": ("slic", {}),
    "felzenszwalb": ("felzenszwalb", {}),
    "watershed": ("watershed", {}),
    "grid": ("grid", {}),
    "grid --cell hexagon": ("grid", {"cell": "hexagon"}),
    "zones --zones face": ("zones", {"zones": "face"}),
}


def pictures() -> list[np.ndarray]:
    """Return a face (Eileen Collins, NASA) and a stained section of tissue (CMMI), at 224 px.

    Neither has copyright restrictions.
    """
    face = skimage.data.astronaut()[10:270, 90:350]
    tissue = skimage.data.immunohistochemistry()
    resized = [Image.fromarray(image).resize((SIDE, SIDE), Image.Resampling.BILINEAR) for image in (face, tissue)]
    return [np.asarray(each) for each in resized]


def panel(image: np.ndarray, title: str) -> np.ndarray:
    """Return a picture with the borders of its segments, below a line of text."""
    method, own = PANELS[title]
    labels = superpixels.segment(image, method, {**SEGMENTERS[method].settings, **own})
    marked = mark_boundaries(image, labels, color=BORDER, mode="inner") * 255
    drawn = Image.fromarray(marked.astype(np.uint8)).resize((SHOWN, SHOWN), Image.Resampling.LANCZOS)
    whole = Image.new("RGB", (SHOWN + 4, SHOWN + 18), "white")
    whole.paste(drawn, (2, 16))
    ImageDraw.Draw(whole).text((4, 2), f"{title}: {int(labels.max()) + 1}", fill="black")
    return np.asarray(whole)


def main() -> None:
    """Draw and write."""
    rows = [np.concatenate([panel(image, title) for title in PANELS], axis=1) for image in pictures()]
    Image.fromarray(np.concatenate(rows)).save(Path(__file__).parent / "segmenters.jpg", quality=QUALITY)


if __name__ == "__main__":
    main()
