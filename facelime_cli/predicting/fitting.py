"""Fitting surrogates to stored predictions, picture by picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from facelime_cli import options
from facelime_cli.answering.runtimes import answers_values
from facelime_cli.choices import DESIGNS, NEAR, PROXIMITIES, SURROGATES, loaded
from facelime_cli.errors import CommandLineError, FacelimeError
from facelime_cli.names import whole_number
from facelime_cli.store.explanations import SCALARS
from facelime_cli.store.pictures import Segmented

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from facelime_cli.core.fidelity import Explanation
    from facelime_cli.store.artifacts import Artifact


INTERVALS = ("analytic", "bootstrap")
"""How intervals are made; the function of the same name is in `core.intervals`."""
BOOTSTRAP = INTERVALS[1]
BY_SEGMENT = ("coefficients", "interval", "p_sign")
"""Arrays with a value for every segment."""
MOST_PARTS = 1_000_000
"""As many as there may be samples."""


@dataclass(frozen=True)
class Picture:
    """What one picture's surrogate is fitted to.

    Attributes
    ----------
    id : str
    masks : (S, ⌈K/8⌉) uint8 array
        Packed.
    probabilities : (S, C) float array
    n_segments : int
    change : (K,) float64 array, optional
        What switching each segment off changes in its pixels, where that counts.
    """

    id: str
    masks: NDArray[Any]
    probabilities: NDArray[Any]
    n_segments: int
    change: NDArray[Any] | None


@dataclass(frozen=True)
class Settings:
    """How all pictures are explained."""

    surrogate: str
    own: dict[str, Any]
    intervals: str
    top: int
    design: str
    seed: int
    part: tuple[int, int] | None
    values: bool = False


def settings_of(params: Any, predictions: Artifact) -> Settings:
    """Return how pictures are explained.

    Parameters
    ----------
    params : dataclass
        Those of `fit-surrogate`, presets and defaults filled in.
    predictions : Artifact
        The design of their masks decides which surrogates can use them.

    Raises
    ------
    CommandLineError
        When a setting belongs to another surrogate, or `--part` has another form.
    FacelimeError
        When the surrogate cannot use masks of this design.

    Returns
    -------
    Settings
    """
    masks = predictions.input("masks")
    design = str(masks.parameters.get("design", "bernoulli"))
    own = own_settings(params, design)
    return Settings(
        surrogate=params.surrogate,
        own=own,
        intervals=params.intervals,
        top=params.stable_top,
        design=design,
        seed=int(masks.parameters["seed"]),
        part=_share(params.part, design),
        values=answers_values(predictions),
    )


def own_settings(params: Any, design: str) -> dict[str, Any]:
    """Return the chosen surrogate's own settings, defaults filled in; see `settings_of` for the errors.

    Parameters
    ----------
    params : dataclass
        Those of `fit-surrogate`.
    design : str
        Of the masks.

    Returns
    -------
    dict
    """
    # A surrogate that names no proximity weights samples itself.
    own = options.settings_of(params, "surrogate", SURROGATES)
    weighted = [name for name, each in DESIGNS.items() if each.weights is not None]
    if "proximity" not in own and design not in weighted:
        usable = " or ".join(weighted)
        raise FacelimeError(
            f"--surrogate {params.surrogate} needs masks of few segments and of nearly all, "
            f"which --design {design} does not draw; "
            f"perturb again with --design {usable}, or choose another surrogate."
        )
    if "proximity" in own:
        # The two distances have different scales, so each has its own usual width.
        own["kernel_width"] = own["kernel_width"] or PROXIMITIES[own["proximity"]]
    return own


def _share(text: str | None, design: str) -> tuple[int, int] | None:
    """Return which share of how many a text means."""
    if text is None:
        return None
    part, _, parts = text.partition("/")
    count = whole_number(parts, 1, MOST_PARTS)
    index = None if count is None else whole_number(part, 1, count)
    if index is None or count is None:
        raise CommandLineError(f"--part {text!r} should be I/N with 1 <= I <= N <= {MOST_PARTS}, such as 1/2.")
    # A part of such a design no longer has the properties that its surrogates rely on.
    if DESIGNS[design].all_masks:
        raise FacelimeError(
            f"--part {text} would leave masks out of --design {design}, which needs all of them; "
            "perturb again with another --design."
        )
    return index, count


def pictures_of(settings: Settings, predictions: Artifact, rows: slice) -> Iterator[Picture]:
    """Yield what is fitted for each picture of a unit.

    Parameters
    ----------
    settings : Settings
    predictions : Artifact
    rows : slice
        The unit's pictures.

    Yields
    ------
    Picture
    """
    masks, pictures = predictions.input("masks"), Segmented(predictions)
    ids = predictions.texts("id", rows)
    counts = pictures.counts(rows)
    samples = masks.read("n_samples", rows)
    packed = masks.read("masks", rows)
    probabilities = predictions.read("probabilities", rows)
    # Reading the pixels of all pictures takes long, so it is done only where they count.
    by_pixels = settings.own.get("proximity") == "l2"
    changes = _changes(pictures, rows) if by_pixels else [None] * len(ids)
    for place, picture_id in enumerate(ids):
        n = samples[place]
        kept, answers = packed[place, :n], probabilities[place, :n]
        yield Picture(picture_id, kept, answers, int(counts[place]), changes[place])


def _changes(pictures: Segmented, rows: slice) -> list[NDArray[Any]]:
    """Return what switching each segment off changes in the pixels, for each picture of a unit."""
    from facelime_cli.core.surrogate import pixel_change

    joined = zip(pictures.images(rows), pictures.fill(rows), pictures.segments(rows), strict=True)
    return [pixel_change(image, fill, segments) for image, fill, segments in joined]


def explain_pictures(task: tuple[Settings, list[Picture]]) -> list[Explanation]:
    """Explain some pictures. Worker processes call this.

    Parameters
    ----------
    task : tuple
        Settings and pictures.

    Returns
    -------
    list of Explanation
    """
    from threadpoolctl import threadpool_limits

    settings, pictures = task
    # Matrices are small, and sums in one thread do not depend on the number of cores.
    with threadpool_limits(1):
        return [_explain_one(settings, each) for each in pictures]


def _explain_one(settings: Settings, picture: Picture) -> Explanation:
    from facelime_cli.core import fidelity, surrogate
    from facelime_cli.core import masks as mask_design

    kept = mask_design.unpack(picture.masks, picture.n_segments)
    keywords = {name: value for name, value in settings.own.items() if name not in NEAR}
    fit = surrogate.fitter(settings.surrogate, keywords)
    method = fidelity.Method(fit, settings.intervals, settings.top, settings.seed)
    # Samples that were drawn together are resampled together: they are no independent draws.
    every_block = mask_design.blocks(settings.design, *kept.shape)
    rows, blocks = mask_design.samples_of_share(every_block, settings.design, settings.part)
    kept = kept[rows]
    weights = _weights(settings, kept, picture.change)
    explain = fidelity.explain_values if settings.values else fidelity.explain
    return explain(kept, picture.probabilities[rows], weights, blocks, method, picture.id)


def _weights(settings: Settings, kept: NDArray[Any], change: NDArray[Any] | None) -> NDArray[Any]:
    """Return the weight of each sample."""
    import numpy as np

    from facelime_cli.core import surrogate

    if "proximity" not in settings.own:
        # `own_settings` has made sure that the design is one that the Shapley kernel weights.
        weigh = DESIGNS[settings.design].weights
        assert weigh is not None
        return np.asarray(loaded(weigh)(kept))
    width = float(settings.own["kernel_width"])
    return surrogate.cosine_weights(kept, width) if change is None else surrogate.pixel_weights(kept, change, width)


def arrays_of(fitted: list[Explanation], widest: int) -> dict[str, NDArray[Any]]:
    """Return what a unit writes into every array.

    Parameters
    ----------
    fitted : list of Explanation
        Of the unit's pictures.
    widest : int
        Number of segments to make room for.

    Returns
    -------
    dict
        From names to arrays, a row for each picture.
    """
    import numpy as np

    arrays = {}
    for name in BY_SEGMENT:
        arrays[name] = by_class([getattr(each, name) for each in fitted], widest, np.nan)
    for name in SCALARS:
        arrays[name] = np.stack([getattr(each, name) for each in fitted])
    arrays["verdict"] = np.array([each.verdict for each in fitted], dtype=object)
    return arrays


def by_class(pictures: Sequence[NDArray[Any]], widest: int, missing: float) -> NDArray[Any]:
    """Return values by segment as artifacts keep them: classes first, then the segments of the widest picture.

    Parameters
    ----------
    pictures : sequence of (K, C, …) array
    widest : int
        Number of segments to make room for.
    missing : float
        What stands beyond a picture's own segments.

    Returns
    -------
    (n, C, widest, …) array
    """
    import numpy as np

    found = []
    for values in pictures:
        spare = [(0, widest - len(values))] + [(0, 0)] * (values.ndim - 1)
        found.append(np.moveaxis(np.pad(values, spare, constant_values=missing), 1, 0))
    return np.stack(found)
