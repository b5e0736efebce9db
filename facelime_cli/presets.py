"""Presets: choices that belong together, over all stages that explain.

A preset of a domain suits one kind of picture. A preset of a system makes the choices that another system makes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Preset:
    """Values of options, and the reason for them.

    Attributes
    ----------
    reason : str
        What it is for, as the help says it.
    options : mapping
        From the names of options, of any stage, to their values.
    """

    reason: str
    options: Mapping[str, Any]


QUICKSHIFT = {"method": "quickshift", "kernel_size": 4.0, "max_dist": 200.0, "ratio": 0.2, "sigma": 0.0}
"""Those of the `lime` package, which the rosacea system uses too."""
# All four move the defaults of `slic` in one direction: more segments, looser ones, and smoothed pixels.
FACE = Preset(
    "patches of skin of similar size that end at hair, brows and lips",
    {"method": "slic", "segments": 60, "compactness": 20.0, "sigma": 1.0},
)
XRAY = Preset(
    "smoothed, to follow the lungs' borders and not every rib",
    {"method": "slic", "segments": 50, "compactness": 20.0, "sigma": 2.0},
)
DERMOSCOPY = Preset(
    "looser, to follow the lesion's border and the colours inside",
    {"method": "slic", "segments": 50, "compactness": 15.0, "sigma": 1.0},
)
HISTOLOGY = Preset(
    "more and smaller, and smoothed over single nuclei, to follow glands",
    {"method": "slic", "segments": 80, "compactness": 20.0, "sigma": 2.0},
)
DOMAINS = {"face": FACE, "xray": XRAY, "dermoscopy": DERMOSCOPY, "histology": HISTOLOGY}
"""How to segment one kind of picture."""
LIME_DEFAULTS = Preset(
    "all as in lime 0.2.0.1",
    # In the package's words: num_samples=1000, each segment on or off alike, hide_color=None, feature_selection="auto"
    # with num_features=100000, which keeps all segments, and num_features=5 for the picture.
    {
        **QUICKSHIFT,
        "samples": 1000,
        "design": "bernoulli",
        "probability": 0.5,
        "fill": "mean",
        "surrogate": "ridge",
        "top": 5,
    },
)
"""Those of the package's `LimeImageExplainer` and `get_image_and_mask` (Ribeiro et al., KDD 2016)."""
ROSACEA = Preset(
    "all as in the rosacea system's notebook",
    {
        **QUICKSHIFT,
        "samples": 150,
        "design": "bernoulli",
        "probability": 0.5,
        "fill": "black",
        "seed": 222,
        "surrogate": "linear",
        "top": 25,
    },
)
"""Those of the published notebook."""
SYSTEMS = {"lime-defaults": LIME_DEFAULTS, "rosacea": ROSACEA}
"""Another system's choices, from segments to the picture."""
PRESETS = {**DOMAINS, **SYSTEMS}


def help_of(presets: Mapping[str, Preset]) -> str:
    """Return the words of a help text that say what presets are for.

    Parameters
    ----------
    presets : mapping
        From names to presets.

    Returns
    -------
    str
    """
    sentences = [f"{name}: {preset.reason}" for name, preset in presets.items()]
    return "; ".join(sentences)


def filled(params: Any, defaults: Mapping[str, Any]) -> Any:
    """Return a stage's parameters with a value for every option that was not given.

    The preset's value comes first, then the default.

    Parameters
    ----------
    params : a stage's parameters
        None stands for an option that was not given.
    defaults : mapping
        From names of options to their defaults.

    Returns
    -------
    a stage's parameters

    Examples
    --------
    >>> from facelime_cli.stages.perturb import DEFAULTS, Params
    >>> given = filled(Params(segmentation="some", preset="rosacea", fill="blur"), DEFAULTS)
    >>> given.samples, given.fill
    (150, 'blur')
    """
    chosen = options_of(params)
    missing = {}
    for name, default in defaults.items():
        # An option that was given counts more than the preset.
        if getattr(params, name) is None:
            missing[name] = chosen.get(name, default)
    return replace(params, **missing)


def options_of(params: Any) -> Mapping[str, Any]:
    """Return the options, of any stage, that the preset among some parameters sets.

    Parameters
    ----------
    params : a stage's parameters
        With the field `preset`.

    Returns
    -------
    mapping
        Empty without a preset.
    """
    if params.preset is None:
        return {}
    return PRESETS[params.preset].options


def default_words(option: str, default: object) -> str:
    """Return the words of a help text that give an option's default, and those of presets that have another.

    Parameters
    ----------
    option : str
        The option's name.
    default : object
        Its default.

    Returns
    -------
    str

    Examples
    --------
    >>> default_words("samples", 1000)
    '[default: 1000; rosacea 150]'
    """
    # The second is empty where no preset differs.
    words = [str(default), others(option, default)]
    known = "; ".join(filter(None, words))
    return f"[default: {known}]"


def others(option: str, default: object = None) -> str:
    """Return the words of a help text that give the values of presets that set an option to something else.

    Parameters
    ----------
    option : str
        The option's name.
    default : object
        Its default, which is not repeated.

    Returns
    -------
    str
        Empty where no preset differs.
    """
    found = []
    for name, preset in SYSTEMS.items():
        # A preset that leaves the option alone keeps the default.
        value = preset.options.get(option, default)
        if value != default:
            found.append(f"{name} {value}")
    return "; ".join(found)
