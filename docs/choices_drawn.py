"""Draw what the choices of docs/choices.md do, on drawn faces.

Fills stand in fills.jpg, designs of masks and surrogates in designs_and_surrogates.png.

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
    """Return one flushed face with the same half of its segments off, under each fill."""
    face = faces.draw(0, 1, SIDE, flushed=True).image
    segments = superpixels.segment(face, "slic", SEGMENTERS["slic"].settings)
    others = np.stack([faces.draw(0, number, SIDE, flushed=False).image for number in range(2, 2 + OTHERS)])
    every = np.concatenate([face[None], others])
    n = np.arange(len(every))
    nearest = every[nearest_unlike(thumbnails(every), (n > 0).astype(np.int16), n, n[:1], n[1:])[0]]
    own = {
        "dataset-mean": {"colour": others.mean(axis=(0, 1, 2)).round()},
        "blur": {"sigma": fills.BLUR_SHARE * SIDE},
        "noise": {"key": KEY},
        "image": {"picture": others[0]},
        "nearest-unlike": {"picture": nearest},
    }
    kept = masks.balanced(KEY, 2, int(segments.max()) + 1, 0.5)[1][segments]
    panels = [
        _panel("the picture", face),
        *(
            _panel(name, np.where(kept[..., None], face, fill.load()(face, segments, **own.get(name, {}))))
            for name, fill in choices.FILLS.items()
        ),
    ]
    half = len(panels) // 2
    return Image.fromarray(
        np.concatenate([np.concatenate(panels[:half], axis=1), np.concatenate(panels[half:], axis=1)])
    )


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
        axis.imshow(design.load()(KEY, ROWS, SEGMENTS, 0.5), cmap="gray", aspect="auto", interpolation="nearest")
        axis.set(title=name, xlabel="segment", ylabel="sample" if name == "bernoulli" else "")
    for axis in axes[0, len(choices.DESIGNS) :]:
        axis.axis("off")
    for axis, (name, defaults) in zip(axes[1], SURROGATES.items(), strict=True):
        design = "shapley" if name == "shapley" else "balanced"
        kept = choices.DESIGNS[design].load()(KEY, SAMPLES, len(EFFECTS), 0.5)
        z = kept.astype(np.float64)
        answers = 0.3 + z @ EFFECTS + 0.15 * z[:, 0] * z[:, 1]
        fit = fitter(
            name,
            {key: 4 if key == "features" else value for key, value in defaults.settings.items() if key not in NEAR},
        )
        weights = (
            choices.loaded(choices.DESIGNS[design].weights)(kept) if name == "shapley" else cosine_weights(kept, 0.25)
        )
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
