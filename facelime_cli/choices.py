"""What there is to choose: one table for each choice, one light record for each entry.

A new fill, design, surrogate, segmenter or attribution method is one function and one entry here. Help, validation,
documents and tests are made from these tables. The heavy function is named by its module and loaded when it is used.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class Worded(Protocol):
    """Something that help explains in a few words."""

    @property
    def words(self) -> str:
        """What it does."""
        ...


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One thing to choose.

    Attributes
    ----------
    name : str
        As a user types it.
    words : str
        What it does, a few words for help and documents.
    function : str
        Where its function is: `module:name`.
    settings : mapping
        Its own parameters, with their defaults.
    slow : bool
        Whether one picture takes long enough to be worth a process of its own.
    """

    name: str
    words: str
    function: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    slow: bool = False

    def load(self) -> Callable[..., Any]:
        """Return the function; its module is imported now."""
        return loaded(self.function)


def loaded(function: str) -> Callable[..., Any]:
    """Return the function that a text `module:name` names.

    Examples
    --------
    >>> loaded("math:sqrt")(4.0)
    2.0
    """
    module, _, name = function.partition(":")
    found: Callable[..., Any] = getattr(import_module(module), name)
    return found


E = TypeVar("E", bound=Entry)


def table(*entries: E) -> dict[str, E]:
    """Return entries by their names, in the order in which help lists them."""
    return {entry.name: entry for entry in entries}


def words_of(entries: Mapping[str, Worded]) -> str:
    """Return the words of a help text that say what each entry does."""
    return "; ".join(f"{name}: {entry.words}" for name, entry in entries.items())


# Segmenters

COMMON: dict[str, Any] = {"min_size": 0, "connectivity": None}
"""Settings of every segmenter: what becomes of its segments afterwards."""


@dataclass(frozen=True, kw_only=True)
class Scale:
    """What decides how many segments a method makes that takes no number of them: the larger, the fewer.

    Attributes
    ----------
    parameter : str
        The method's parameter.
    least, most : float
        Between which it is searched.
    start : callable
        Where the search begins, from the mean number of pixels that a segment should have.
    power : float
        The number of segments falls about with this power of the scale: where to look until it lies between two scales.
    """

    parameter: str
    least: float
    most: float
    start: Callable[[float], float]
    power: float


@dataclass(frozen=True, kw_only=True)
class Segmenter(Entry):
    """A way to divide a picture. Its function takes the picture and its own settings.

    Attributes
    ----------
    remedies : pair of str
        What to do about one segment only, and about too many.
    scale : Scale, optional
        What is searched where `--segments` asks for a number.
    needs : pair of str, optional
        The option that it cannot do without, and what that option says.
    """

    remedies: tuple[str, str]
    scale: Scale | None = None
    needs: tuple[str, str] | None = None


CORE = "facelime_cli.core"

SEGMENTERS = table(
    Segmenter(
        name="quickshift",
        words="follows colours (lime's)",
        function=f"{CORE}.superpixels:quickshift",
        settings={"segments": None, "kernel_size": 4.0, "max_dist": 200.0, "ratio": 0.2, "sigma": 0.0, **COMMON},
        # 9.4: at lime's kernel of 4 pixels a segment of a photograph has about (4 * 9.4)² pixels.
        scale=Scale(
            parameter="kernel_size", least=1.0, most=64.0, start=lambda pixels: math.sqrt(pixels) / 9.4, power=2.0
        ),
        remedies=(
            "ask for more segments (--segments), or a smaller --kernel-size or --max-dist",
            "ask for fewer segments (--segments), or a larger --kernel-size or --max-dist",
        ),
    ),
    Segmenter(
        name="slic",
        words="segments of similar size that follow colours",
        function=f"{CORE}.superpixels:slic",
        settings={"segments": 40, "compactness": 30.0, "sigma": 0.0, **COMMON},
        remedies=(
            "ask for more segments (--segments), a larger --compactness or a smaller --min-size",
            "ask for fewer segments (--segments)",
        ),
    ),
    Segmenter(
        name="felzenszwalb",
        words="follows colours, segments of very different size",
        function=f"{CORE}.superpixels:felzenszwalb",
        settings={"segments": 50, "scale": None, "sigma": 0.8, **COMMON, "min_size": 100},
        scale=Scale(parameter="scale", least=0.1, most=1e5, start=lambda _: 100.0, power=1.0),
        remedies=(
            "ask for more segments (--segments), a smaller --scale or --min-size, or another --method, such as grid",
            "ask for fewer segments (--segments), or a larger --scale",
        ),
    ),
    Segmenter(
        name="watershed",
        words="segments of similar size that follow edges",
        function=f"{CORE}.superpixels:watershed",
        settings={"segments": 50, "compactness": 0.001, "sigma": 2.0, **COMMON},
        remedies=(
            "ask for more segments (--segments) or a smaller --min-size",
            "ask for fewer segments (--segments)",
        ),
    ),
    Segmenter(
        name="grid",
        words="cells, whatever the picture shows",
        function=f"{CORE}.superpixels:grid",
        settings={"segments": 49, "cell": "square", **COMMON},
        remedies=(
            "ask for more segments (--segments) or a smaller --min-size",
            "ask for fewer segments (--segments)",
        ),
    ),
    Segmenter(
        name="file",
        words="label maps of your own",
        function=f"{CORE}.superpixels:file",
        settings={"labels": None, **COMMON},
        needs=("labels", "the folder that holds the label maps"),
        remedies=("give a label map that tells regions apart", "give a label map with fewer regions"),
    ),
    Segmenter(
        name="zones",
        words="named regions of a face or of the lungs",
        function=f"{CORE}.superpixels:zones",
        settings=COMMON,
        needs=("zones", "face or lungs"),
        remedies=("choose a smaller --min-size", "choose another --method"),
    ),
)


# Masks


@dataclass(frozen=True, kw_only=True)
class Design(Entry):
    """A way to draw masks. Its function takes key, samples, segments and probability, and returns (S, K) bool.

    Attributes
    ----------
    blocks : str
        Function from row numbers (S,) and the number of segments to the block of each row: rows of one block depend on
        each other.
    samples : str
        The same where the samples are divided into shares: the smallest groups of rows that stay together.
    shared : int
        How many rows in front belong to every share: the full picture, and the empty one where a design has it.
    probability : float, optional
        Chance of a segment to be kept unless another is given; without it the design decides itself.
    all_masks : bool
        Whether it needs every mask there is, so that none can be left out.
    weights : str, optional
        Function that weights its masks by the Shapley kernel; without it they have too few of the sizes that count.
    """

    blocks: str = f"{CORE}.masks:alone"
    samples: str = ""
    shared: int = 1
    probability: float | None = None
    all_masks: bool = False
    weights: str | None = None


DESIGNS = table(
    Design(
        name="bernoulli",
        words="each segment by chance (lime's)",
        function=f"{CORE}.masks:bernoulli",
        probability=0.8,
    ),
    Design(
        name="paired",
        words="each mask with its complement",
        function=f"{CORE}.masks:paired",
        blocks=f"{CORE}.masks:in_pairs",
    ),
    Design(
        name="balanced",
        words="orthogonal, with complements",
        function=f"{CORE}.masks:balanced",
        blocks=f"{CORE}.masks:in_orders",
        samples=f"{CORE}.masks:in_pairs",
    ),
    Design(
        name="shapley",
        words="sizes by the Shapley kernel",
        function=f"{CORE}.masks:shapley",
        blocks=f"{CORE}.masks:in_pairs_after_two",
        shared=2,
        weights=f"{CORE}.shapley:drawn",
    ),
    Design(
        name="exact",
        words="every mask there is",
        function=f"{CORE}.masks:exact",
        all_masks=True,
        weights=f"{CORE}.shapley:kernel",
    ),
)
EVEN = 0.5
"""Chance of a segment to be kept in designs that decide it themselves."""


# Fills


@dataclass(frozen=True, kw_only=True)
class Fill(Entry):
    """What stands where a segment is switched off. Its function takes picture and segments, and returns a picture.

    Attributes
    ----------
    needs : str, optional
        What the function needs beside these, as the keyword: `colour` of the dataset, `sigma` of the blur, `key` of the
        random generator, or another `picture`.
    real : bool
        Whether a real picture stands in, so that half of the segments can go and the model still knows what it sees.
    from_file : bool
        Whether the picture is a file, named behind a colon.
    stands : str
        What a reader sees where a region is off, in plain words.
    """

    stands: str
    needs: str | None = None
    real: bool = False
    from_file: bool = False


UNLIKE = "nearest-unlike"
"""The default fill of datasets with classes."""
WITHOUT_CLASSES = "inpaint"
"""The default fill where there is no picture of another class."""
FILLS = table(
    Fill(
        name="mean",
        words="the segment's mean colour (lime's)",
        function=f"{CORE}.fills:mean",
        stands="its mean colour",
    ),
    Fill(name="black", words="black", function=f"{CORE}.fills:black", stands="black"),
    Fill(name="grey", words="grey", function=f"{CORE}.fills:grey", stands="grey"),
    Fill(
        name="dataset-mean",
        words="the dataset's mean colour",
        function=f"{CORE}.fills:dataset_mean",
        stands="the mean colour of all pictures",
        needs="colour",
    ),
    Fill(
        name="blur",
        words="the picture blurred",
        function=f"{CORE}.fills:blur",
        stands="a blurred copy",
        needs="sigma",
    ),
    Fill(
        name="inpaint",
        words="painted over from the segment's border",
        function=f"{CORE}.fills:inpaint",
        stands="the region painted over from its border",
        slow=True,
    ),
    Fill(
        name="noise",
        words="random colours",
        function=f"{CORE}.fills:noise",
        stands="random colours",
        needs="key",
    ),
    Fill(
        name="image",
        words="another picture, from a file",
        function=f"{CORE}.fills:other_picture",
        stands="one picture for all, from a file",
        needs="picture",
        real=True,
        from_file=True,
    ),
    Fill(
        name=UNLIKE,
        words="the dataset's most similar picture of another class",
        function=f"{CORE}.fills:other_picture",
        stands="the most similar picture of another class",
        needs="picture",
        real=True,
    ),
)
USUAL_DESIGNS = {True: "balanced", False: "bernoulli"}
"""The default design of fills that are real pictures, and of all others, where pictures with half of their segments
soon look like nothing that a model knows."""


# Surrogates

NEAR = {"proximity": "cosine", "kernel_width": None}
"""How samples are weighted, where the surrogate does not say it itself."""
SELECTING = {"features": 10, "alpha": 1.0, **NEAR}
"""Settings of surrogates that choose segments first: lime's defaults."""


@dataclass(frozen=True, kw_only=True)
class Surrogate(Entry):
    """A model fitted to masks and predictions. Its function takes masks, probabilities and weights, returns a `Fit`.

    Attributes
    ----------
    intervals : bool
        Whether the fit itself knows intervals; without them only the bootstrap says how sure coefficients are.
    """

    intervals: bool = True


SURROGATES = table(
    Surrogate(
        name="ridge",
        words="lime's own",
        function=f"{CORE}.linear:ridge",
        settings={"alpha": 1.0, **NEAR},
    ),
    Surrogate(
        name="linear",
        words="no penalty, for more samples than segments",
        function=f"{CORE}.linear:linear",
        settings=NEAR,
    ),
    Surrogate(
        name="lasso",
        words="weak segments become 0",
        function=f"{CORE}.selection:lasso",
        settings={"alpha": 0.01, **NEAR},
        intervals=False,
    ),
    Surrogate(
        name="highest",
        words="lime's strongest segments, refitted",
        function=f"{CORE}.selection:highest",
        settings=SELECTING,
        intervals=False,
    ),
    Surrogate(
        name="forward",
        words="the same, chosen one by one",
        function=f"{CORE}.selection:forward",
        settings=SELECTING,
        intervals=False,
    ),
    Surrogate(
        name="lars",
        words="the same, along the lasso's path",
        function=f"{CORE}.selection:lars",
        settings=SELECTING,
        intervals=False,
        slow=True,
    ),
    Surrogate(
        name="bayesian-ridge",
        words="the penalty follows from the samples",
        function=f"{CORE}.surrogate:bayesian_ridge",
        settings=NEAR,
        slow=True,
    ),
    Surrogate(
        name="shapley",
        words="KernelSHAP, for --design shapley or exact",
        function=f"{CORE}.shapley:shapley",
    ),
)
PROXIMITIES = {"cosine": 0.25, "l2": 45.0}
"""The kernel width of each distance: lime's and Xplique's."""


# Attributions without masks


MAPS, ATTENTION = "maps", "attention"


@dataclass(frozen=True, kw_only=True)
class Attribution(Entry):
    """A way to read a map out of a network. Its function takes maps and gradients (H, W, D), and returns (H, W).

    Attributes
    ----------
    of : str
        `MAPS`; or `ATTENTION`: then its function takes (layers, T, T), and returns a value for each place.
    title : str
        What it is called in reports.
    reads : str, optional
        How a coefficient reads, where it is not the share of what the map holds for a class.
    """

    title: str
    reads: str | None = None
    of: str = MAPS


ATTRIBUTIONS = table(
    Attribution(name="gradcam", words="mean gradients", function=f"{CORE}.cams:gradcam", title="Grad-CAM"),
    Attribution(
        name="gradcam++",
        words="rare places count more",
        function=f"{CORE}.cams:gradcam_plus_plus",
        title="Grad-CAM++",
    ),
    Attribution(
        name="eigencam",
        words="the maps' main component, without gradients or classes",
        function=f"{CORE}.cams:eigencam",
        title="Eigen-CAM",
        reads="12 % of the main component of the network's maps, which is the same for every class, "
        "lies on this region",
    ),
    Attribution(
        name="rollout",
        words="attention of all layers of a PyTorch transformer, joined, without gradients or classes",
        function=f"{CORE}.cams:rollout",
        title="Attention rollout",
        reads="12 % of what attention hands on from the places of the picture, which is the same for every class, "
        "comes from this region",
        of=ATTENTION,
    ),
)


# Views


@dataclass(frozen=True, kw_only=True)
class View:
    """One run of LIME among several.

    Attributes
    ----------
    scale : float
        Its number of segments, as a multiple of the usual one.
    fill : str, optional
        What stands in; None is the default fill of the pictures.
    """

    scale: float = 1.0
    fill: str | None = None


@dataclass(frozen=True, kw_only=True)
class ViewSet:
    """Views that are explained together.

    Attributes
    ----------
    name, words : str
        As a user types it, and what it is, for help.
    views : tuple of View
        The most important first: where samples are few, the last are left out.
    donors : int
        How many similar pictures take turns as stand-ins.
    """

    name: str
    words: str
    views: tuple[View, ...]
    donors: int = 1


COARSE, FINE = 17 / 40, 85 / 40
"""Scales beside the usual one: 17 and 85 segments where 40 are usual."""
MEDIUM_VIEW, COARSE_VIEW, FINE_VIEW = View(), View(scale=COARSE), View(scale=FINE)
PAINTED_VIEWS = (View(fill="blur"), View(fill="inpaint"))
VIEWS = {
    each.name: each
    for each in (
        ViewSet(
            name="consensus",
            words="three scales and four similar pictures of another class, a blurred copy and one painted over",
            views=(MEDIUM_VIEW, COARSE_VIEW, FINE_VIEW, *PAINTED_VIEWS, MEDIUM_VIEW),
            donors=4,
        ),
        ViewSet(name="fills", words="one scale, three fills", views=(MEDIUM_VIEW, *PAINTED_VIEWS)),
        ViewSet(name="scales", words="three scales, one fill", views=(MEDIUM_VIEW, COARSE_VIEW, FINE_VIEW)),
        ViewSet(name="single", words="one run", views=(MEDIUM_VIEW,)),
    )
}
"""What `explain` runs."""
LEAST_SAMPLES_OF_VIEW = 50
"""A view with fewer samples says little: then fewer views are run."""


# Thresholds

HALF, BEST_F1 = "half", "f1"
"""From where on a finding is called: a probability of 0.5, or the threshold with the highest F1."""
