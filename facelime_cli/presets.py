"""Presets: choices that belong together, for one kind of picture or as another system makes them, over all stages that explain."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Preset:
    """Values of options, and the reason for them."""

    reason: str
    options: Mapping[str, Any]


QUICKSHIFT = {"method": "quickshift", "kernel_size": 4.0, "max_dist": 200.0, "ratio": 0.2, "sigma": 0.0}
"""The `lime` package's, which the rosacea system took over."""
DOMAINS = {
    "face": Preset(
        "patches of skin of similar size that end at hair, brows and lips",
        {"method": "slic", "segments": 60, "compactness": 20.0, "sigma": 1.0},
    ),
    "xray": Preset(
        "smoothed, to follow the lungs' borders and not every rib",
        {"method": "slic", "segments": 50, "compactness": 20.0, "sigma": 2.0},
    ),
    "dermoscopy": Preset(
        "looser, to follow the lesion's border and the colours inside",
        {"method": "slic", "segments": 50, "compactness": 15.0, "sigma": 1.0},
    ),
    "histology": Preset(
        "more and smaller, and smoothed over single nuclei, to follow glands",
        {"method": "slic", "segments": 80, "compactness": 20.0, "sigma": 2.0},
    ),
}
"""For one kind of picture: how to segment it."""
SYSTEMS = {
    "lime-defaults": Preset(
        "all as in lime 0.2.0.1",
        {
            **QUICKSHIFT,
            "samples": 1000,
            "design": "bernoulli",
            "probability": 0.5,
            "fill": "mean",
            "surrogate": "ridge",
            "top": 5,
        },
    ),
    "rosacea": Preset(
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
    ),
}
"""Another system's choices, from segments to the picture: Ribeiro et al., KDD 2016, with the package's own `LimeImageExplainer` and `get_image_and_mask`; the published notebook."""
PRESETS = {**DOMAINS, **SYSTEMS}


def help_of(presets: Mapping[str, Preset]) -> str:
    """Return the words of a help text that say what presets are for."""
    return "; ".join(f"{name}: {preset.reason}" for name, preset in presets.items())


def filled(params: Any, defaults: Mapping[str, Any]) -> Any:
    """Return a stage's parameters with the preset's values, else the defaults, for options that were not given.

    Examples
    --------
    >>> from facelime_cli.stages.perturb import DEFAULTS, Params
    >>> given = filled(Params(segmentation="some", preset="rosacea", fill="blur"), DEFAULTS)
    >>> given.samples, given.fill
    (150, 'blur')
    """
    chosen = options_of(params)
    return replace(
        params,
        **{name: chosen.get(name, default) for name, default in defaults.items() if getattr(params, name) is None},
    )


def options_of(params: Any) -> Mapping[str, Any]:
    """Return the options that the parameters' preset sets, of any stage."""
    return {} if params.preset is None else PRESETS[params.preset].options


def default_words(option: str, default: object) -> str:
    """Return the words of a help text that give an option's default, and those of presets that have another.

    Examples
    --------
    >>> default_words("samples", 1000)
    '[default: 1000; rosacea 150]'
    """
    return f"[default: {'; '.join(filter(None, [str(default), others(option, default)]))}]"


def others(option: str, default: object = None) -> str:
    """Return the words of a help text that give the values of presets that set an option to something else."""
    return "; ".join(
        f"{name} {preset.options[option]}"
        for name, preset in SYSTEMS.items()
        if preset.options.get(option, default) != default
    )
