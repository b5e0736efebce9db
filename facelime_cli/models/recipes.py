"""How a network is trained: every setting with its default, and the published systems' settings as presets. Light tables."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from facelime_cli.errors import CommandLineError

if TYPE_CHECKING:
    from collections.abc import Mapping

OPTIMIZERS = {"adam": "Adam", "adamw": "AdamW", "nadam": "Nadam", "rmsprop": "RMSprop", "sgd": "SGD"}
"""Name on the command line, and in `keras.optimizers`."""
SCHEDULES = ("constant", "cosine", "plateau")
PRECISIONS = ("float32", "mixed")
CLASS_WEIGHTS = ("none", "balanced")
FLIPS = {"horizontal": "horizontal", "vertical": "vertical", "both": "horizontal_and_vertical"}
"""Name on the command line, and of `keras.layers.RandomFlip`."""
AUGMENTATIONS = {
    "rotation": "degrees to each side",
    "shift": "share of the picture's side",
    "shear": "slope",
    "zoom": "share, in and out",
    "flip": "|".join(FLIPS),
    "contrast": "share",
    "brightness": "share",
    "hue": "share of the colour circle",
}
"""What training pictures can be changed by, each at random within its amount, in this order; its unit."""
LARGEST_AMOUNT = {"rotation": 180.0, "hue": 0.5}
"""Of the others: 1."""


@dataclass(frozen=True)
class Settings:
    """The settings of a training that a recipe may preset. Where the default is None, it follows from the network."""

    weights: str | None = None
    pooling: str | None = None
    head: tuple[int, ...] | None = None
    dropout: tuple[float, ...] | None = None
    l2: float = 0.0
    output: str = "softmax"
    freeze: str | None = None
    optimizer: str = "adam"
    learning_rate: float = 1e-3
    batch_size: int = 32
    epochs: int = 10
    steps_per_epoch: int = 0
    patience: int = 0
    schedule: str = "constant"
    class_weights: str = "none"
    augment: Mapping[str, Any] = field(default_factory=dict)
    fine_tune_epochs: int = 0
    fine_tune_layers: str = "all"
    fine_tune_rate: float = 1e-5


DEFAULTS = Settings()


@dataclass(frozen=True)
class Recipe:
    """A published system: its settings, and what is different for each of its networks, the first of which is the default."""

    settings: Settings
    networks: Mapping[str, Mapping[str, Any]]

    def settings_of(self, backbone: str, n_classes: int) -> Settings:
        """Return the settings for one of its networks; one sigmoid unit only says yes or no."""
        chosen = replace(self.settings, **self.networks[backbone])
        return chosen if n_classes == len(("no", "yes")) else replace(chosen, output="softmax")


RECIPES = {
    "rosacea": Recipe(
        Settings(
            head=(1024,),
            dropout=(),
            output="sigmoid",
            freeze="249",
            optimizer="nadam",
            batch_size=4,
            epochs=10,
            steps_per_epoch=15,
            augment={"rotation": 40.0, "shift": 0.2, "shear": 0.2, "zoom": 0.2, "flip": "horizontal"},
        ),
        {"inceptionv3": {}},
    ),
    "pneumonia": Recipe(
        Settings(
            dropout=(),
            output="sigmoid",
            batch_size=44,
            epochs=100,
            steps_per_epoch=22,
            patience=10,
            augment={"rotation": 40.0, "shift": 0.2, "shear": 0.3, "zoom": 0.1},
        ),
        {
            "cnn-deep": {},
            "ann": {},
            "ann-deep": {"learning_rate": 5e-4},
            "cnn": {},
            "xception": {"freeze": "all"},
            "resnet101": {"freeze": "all"},
        },
    ),
    "skin": Recipe(
        Settings(
            dropout=(),
            freeze="none",
            batch_size=32,
            epochs=30,
            patience=5,
            augment={"rotation": 20.0, "flip": "both", "contrast": 0.1, "brightness": 0.1, "hue": 0.1},
        ),
        {"densenet121": {}, "cnn-skin": {}, "resnet50": {}},
    ),
}
"""The three systems' settings without their mistakes: every network has its own input scaling, and a head of its own; validation and test pictures are never augmented."""


def augmentation(text: str) -> dict[str, Any]:
    """Return what `rotation=40,flip=horizontal` asks for, in the order of the table; `none` is nothing.

    Examples
    --------
    >>> augmentation("flip=both, rotation=20")
    {'rotation': 20.0, 'flip': 'both'}
    """
    if text.strip() == "none":
        return {}
    asked = dict(part.partition("=")[::2] for part in text.replace(" ", "").split(","))
    wrong = next((name for name in asked if name not in AUGMENTATIONS), None)
    if wrong is not None:
        raise CommandLineError(
            f"--augment {text!r} names {wrong!r}; there are {', '.join(f'{name}={unit}' for name, unit in AUGMENTATIONS.items())}, and none."
        )
    return {name: _amount(name, asked[name]) for name in AUGMENTATIONS if name in asked}


def _amount(name: str, text: str) -> Any:
    if name == "flip":
        if text not in FLIPS:
            raise CommandLineError(f"--augment flip={text} should be {AUGMENTATIONS['flip']}.")
        return text
    largest = LARGEST_AMOUNT.get(name, 1.0)
    amount = _number(text)
    if amount is None or not 0 < amount <= largest:
        raise CommandLineError(
            f"--augment {name}={text} should be more than 0 and at most {largest:g} ({AUGMENTATIONS[name]})."
        )
    return amount


def widths(text: str) -> tuple[int, ...]:
    """Return the units of the hidden layers in `128,64`; `none` is no layer."""
    if text.strip() == "none":
        return ()
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise CommandLineError(f"--head {text!r} should be numbers of units, such as 128,64, or none.")
    return tuple(map(int, parts))


def rates(text: str) -> tuple[float, ...]:
    """Return the dropout rates in `0.3,0.1`; `none` is no dropout."""
    if text.strip() == "none":
        return ()
    found = [_number(part) for part in text.split(",")]
    if any(each is None or not 0 <= each < 1 for each in found):
        raise CommandLineError(
            f"--dropout {text!r} should be rates from 0 up to but without 1, such as 0.3,0.1, or none."
        )
    return tuple(each for each in found if each is not None)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
