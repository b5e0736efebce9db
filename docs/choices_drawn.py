"""Draw what the choices of docs/choices.md do, on drawn faces.

The script writes fills.jpg, and designs_and_surrogates.png with the designs of masks and the surrogates.

python docs/choices_drawn.py
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib as mpl
import numpy as np
from PIL import Image, ImageDraw

from facelime_cli import choices
from facelime_cli.choices import NEAR, SEGMENTERS, SURROGATES
from facelime_cli.core import faces, fills, masks, superpixels
from facelime_cli.core.neighbours import nearest_unlike, thumbnails
from facelime_cli.core.surrogate import cosine_weights, fitter

if TYPE_CHECKING:
    from numpy.typing import NDArray

SIDE, SHOWN, QUALITY = 224, 200, 82
KEY = masks.key_of(0, "drawn", "mask")
OTHERS = 60
ROWS, SEGMENTS = 32, 16
SAMPLES = 200
EFFECTS = np.array([0.3, 0.2, -0.15, 0.1, 0.05, -0.03, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0])


def draw_fills() -> Image.Image:
    """Return one flushed face under each fill. The same half of its segments is off each time."""
    face = faces.draw(0, 1, SIDE, flushed=True).image
    segments = superpixels.segment(face, "slic", SEGMENTERS["slic"].settings)
    others = np.stack([faces.draw(0, number, SIDE, flushed=False).image for number in range(2, 2 + OTHERS)])
    every = np.concatenate([face[None], others])
    n = np.arange(len(every))
    # The face is of one class, the others of another.
    classes = (n > 0).astype(np.int16)
    found = nearest_unlike(thumbnails(every), classes, n, n[:1], n[1:])
    nearest = every[found[0]]
    own = {
        "dataset-mean": {"colour": others.mean(axis=(0, 1, 2)).round()},
        "blur": {"sigma": fills.BLUR_SHARE * SIDE},
        "noise": {"key": KEY},
        "image": {"picture": others[0]},
        "nearest-unlike": {"picture": nearest},
    }
    n_segments = int(segments.max()) + 1
    # Row 0 of a design keeps all.
    kept = masks.balanced(KEY, 2, n_segments, 0.5)[1][segments]
    panels = [_panel("the picture", face)]
    for name, fill in choices.FILLS.items():
        filled = fill.load()(face, segments, **own.get(name, {}))
        composed = np.where(kept[..., None], face, filled)
        panels.append(_panel(name, composed))
    half = len(panels) // 2
    above = np.concatenate(panels[:half], axis=1)
    below = np.concatenate(panels[half:], axis=1)
    return Image.fromarray(np.concatenate([above, below]))


def _panel(title: str, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a picture below a line of text."""
    whole = Image.new("RGB", (SHOWN + 4, SHOWN + 18), "white")
    whole.paste(Image.fromarray(image).resize((SHOWN, SHOWN), Image.Resampling.LANCZOS), (2, 16))
    ImageDraw.Draw(whole).text((4, 2), title, fill="black")
    return np.asarray(whole)


def draw_designs_and_surrogates(path: Path) -> None:
    """Draw the first masks of each design, and the coefficients of each surrogate for one model with an interaction."""
    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(2, 8, figsize=(14, 6), layout="constrained")
    for axis, (name, design) in zip(axes[0], choices.DESIGNS.items(), strict=False):
        drawn = design.load()(KEY, ROWS, SEGMENTS, 0.5)
        axis.imshow(drawn, cmap="gray", aspect="auto", interpolation="nearest")
        axis.set(title=name, xlabel="segment", ylabel="sample" if name == "bernoulli" else "")
    for axis in axes[0, len(choices.DESIGNS) :]:
        axis.axis("off")
    for axis, (name, defaults) in zip(axes[1], SURROGATES.items(), strict=True):
        # Shapley values need masks of their own design, whose weights come with it.
        design = choices.DESIGNS["shapley" if name == "shapley" else "balanced"]
        kept = design.load()(KEY, SAMPLES, len(EFFECTS), 0.5)
        weights = cosine_weights(kept, 0.25)
        if name == "shapley":
            weights = choices.loaded(design.weights)(kept)
        z = kept.astype(np.float64)
        answers = 0.3 + z @ EFFECTS + 0.15 * z[:, 0] * z[:, 1]
        own = {key: value for key, value in defaults.settings.items() if key not in NEAR}
        if "features" in own:
            # Few enough that a reader sees which segments a selection leaves out.
            own["features"] = 4
        fit = fitter(name, own)
        values = 100 * fit(z, answers[:, None], weights).coefficients[:, 0]
        axis.barh(np.arange(len(values)), values, color=np.where(values > 0, "#d55e00", "#0072b2"))
        axis.set(title=name, xlabel="points", ylabel="segment" if name == "ridge" else "", xlim=(-20, 45))
        axis.invert_yaxis()
    figure.savefig(path, dpi=70)


def main() -> None:
    """Draw and write."""
    folder = Path(__file__).parent
    draw_fills().save(folder / "fills.jpg", quality=QUALITY)
    draw_designs_and_surrogates(folder / "designs_and_surrogates.png")


if __name__ == "__main__":
    main()
