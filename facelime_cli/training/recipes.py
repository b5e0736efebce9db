"""How a network is trained: every setting with its default, and the published systems' settings. Light tables."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from facelime_cli.choices import Entry, table
from facelime_cli.models.backbones import ALL, NONE, SIGMOID, SOFTMAX, YES_OR_NO

if TYPE_CHECKING:
    from collections.abc import Mapping

OPTIMIZERS = table(
    Entry(name="adam", words="Adam", function="keras.optimizers:Adam"),
    Entry(name="adamw", words="Adam with weight decay", function="keras.optimizers:AdamW"),
    Entry(name="nadam", words="Adam with Nesterov momentum", function="keras.optimizers:Nadam"),
    Entry(name="rmsprop", words="RMSprop", function="keras.optimizers:RMSprop"),
    Entry(name="sgd", words="plain gradient descent", function="keras.optimizers:SGD"),
)
"""How weights follow the gradient."""

SCHEDULES = table(
    Entry(name="constant", words="the same rate throughout", function="facelime_cli.training.schedules:constant"),
    Entry(name="cosine", words="half a cosine down to 0", function="facelime_cli.training.schedules:cosine"),
    Entry(
        name="plateau",
        words="0.3 times the rate after 3 epochs without a lower loss",
        function="facelime_cli.training.schedules:plateau",
        settings={"patience": 3, "factor": 0.3},
    ),
)
"""How the learning rate changes from epoch to epoch."""

CLASS_WEIGHTS = table(
    Entry(name=NONE, words="every picture counts alike", function="facelime_cli.training.loop:no_class_weights"),
    Entry(
        name="balanced",
        words="every class counts alike",
        function="facelime_cli.training.loop:balanced_class_weights",
    ),
)
"""What a class counts in the loss."""


@dataclass(frozen=True, kw_only=True)
class Augmentation(Entry):
    """A way to change training pictures at random. Its words are the unit of its amount.

    Attributes
    ----------
    largest : float
        Largest amount.
    values : tuple of str
        What it takes in the place of an amount; none where it takes a number.
    """

    largest: float = 1.0
    values: tuple[str, ...] = ()


AUGMENTATIONS = table(
    Augmentation(
        name="rotation",
        words="degrees to each side",
        function="facelime_cli.training.augmenting:rotation",
        largest=180.0,
    ),
    Augmentation(name="shift", words="share of the picture's side", function="facelime_cli.training.augmenting:shift"),
    Augmentation(name="shear", words="slope", function="facelime_cli.training.augmenting:shear"),
    Augmentation(name="zoom", words="share, in and out", function="facelime_cli.training.augmenting:zoom"),
    Augmentation(
        name="flip",
        words="horizontal|vertical|both",
        function="facelime_cli.training.augmenting:flip",
        values=("horizontal", "vertical", "both"),
    ),
    Augmentation(name="contrast", words="share", function="facelime_cli.training.augmenting:contrast"),
    Augmentation(name="brightness", words="share", function="facelime_cli.training.augmenting:brightness"),
    Augmentation(
        name="hue", words="share of the colour circle", function="facelime_cli.training.augmenting:hue", largest=0.5
    ),
)
"""What training pictures can be changed by, each at random within its amount, in this order."""


@dataclass(frozen=True)
class Settings:
    """The settings of a training that a recipe may preset. Where the default is None, it follows from the network."""

    weights: str | None = None
    pooling: str | None = None
    head: tuple[int, ...] | None = None
    dropout: tuple[float, ...] | None = None
    l2: float = 0.0
    output: str = SOFTMAX
    freeze: str | None = None
    optimizer: str = "adam"
    learning_rate: float = 1e-3
    batch_size: int = 32
    epochs: int = 10
    steps_per_epoch: int = 0
    patience: int = 0
    schedule: str = "constant"
    class_weights: str = NONE
    augment: Mapping[str, Any] = field(default_factory=dict)
    fine_tune_epochs: int = 0
    fine_tune_layers: str = ALL
    fine_tune_rate: float = 1e-5


DEFAULTS = Settings()


@dataclass(frozen=True)
class Recipe:
    """A published system.

    Attributes
    ----------
    name : str
        As a user types it.
    words : str
        What it is for, a few words for help and documents.
    settings : Settings
        What all of its networks have in common.
    networks : mapping
        Its networks, by their names in `BACKBONES`, each with the settings that differ. The first is the default.
    """

    name: str
    words: str
    settings: Settings
    networks: Mapping[str, Mapping[str, Any]]

    def settings_of(self, backbone: str, n_classes: int) -> Settings:
        """Return the settings for one of its networks.

        Parameters
        ----------
        backbone : str
            A key of `networks`.
        n_classes : int
            With more than two, a softmax stands in the place of one sigmoid unit.

        Returns
        -------
        Settings
        """
        chosen = replace(self.settings, **self.networks[backbone])
        return chosen if n_classes == YES_OR_NO else replace(chosen, output=SOFTMAX)


_EVERY = (
    Recipe(
        name="rosacea",
        words="rosacea on photographs of faces",
        settings=Settings(
            head=(1024,),
            dropout=(),
            output=SIGMOID,
            freeze="249",
            optimizer="nadam",
            batch_size=4,
            epochs=10,
            steps_per_epoch=15,
            augment={"rotation": 40.0, "shift": 0.2, "shear": 0.2, "zoom": 0.2, "flip": "horizontal"},
        ),
        networks={"inceptionv3": {}},
    ),
    Recipe(
        name="pneumonia",
        words="pneumonia on chest X-rays",
        settings=Settings(
            dropout=(),
            output=SIGMOID,
            batch_size=44,
            epochs=100,
            steps_per_epoch=22,
            patience=10,
            augment={"rotation": 40.0, "shift": 0.2, "shear": 0.3, "zoom": 0.1},
        ),
        networks={
            "cnn-deep": {},
            "ann": {},
            "ann-deep": {"learning_rate": 5e-4},
            "cnn": {},
            "xception": {"freeze": ALL},
            "resnet101": {"freeze": ALL},
        },
    ),
    Recipe(
        name="skin",
        words="skin lesions under the dermatoscope",
        settings=Settings(
            dropout=(),
            freeze=NONE,
            batch_size=32,
            epochs=30,
            patience=5,
            augment={"rotation": 20.0, "flip": "both", "contrast": 0.1, "brightness": 0.1, "hue": 0.1},
        ),
        networks={"densenet121": {}, "cnn-skin": {}, "resnet50": {}},
    ),
)

RECIPES = {recipe.name: recipe for recipe in _EVERY}
"""The three systems' settings without their mistakes.

Every network has its own input scaling and a head of its own. Validation and test pictures are never augmented.
"""
