"""How a network is trained: every setting with its default, and the published systems' settings. Light tables."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from facelime_cli.choices import Entry, table
from facelime_cli.models.backbones import ALL, EARLY, NONE, SIGMOID, SOFTMAX, YES_OR_NO

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

BALANCED, ADJUSTED = "balanced", "adjusted"
CLASS_WEIGHTS = table(
    Entry(name=NONE, words="every picture counts alike", function="facelime_cli.training.loop:no_class_weights"),
    Entry(
        name=BALANCED,
        words="every class counts alike",
        function="facelime_cli.training.loop:balanced_class_weights",
    ),
    Entry(
        name=ADJUSTED,
        words="the loss multiplies answers with the classes' shares (logit adjustment)",
        function="facelime_cli.training.loop:class_shares",
    ),
)
"""What a class counts in the loss."""
CHOSEN = "chosen"
"""What stands for one of them where the recipe `auto` chooses."""
ENSEMBLE = "ensemble"
"""The parameter of a model that has the mean of its networks."""


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


# The recipe of our own: a probe first, then the whole network from there

AUTO = "auto"
"""The recipe for a pretrained network, in the place of a published system's name."""
RECIPE_WORDS = (AUTO, *RECIPES, NONE)
"""What `--recipe` takes."""


@dataclass(frozen=True)
class Parts:
    """Every number of `--recipe auto`, a line for each part. The value that switches a part off stands beside it.

    Attributes
    ----------
    mirrored : bool
        Whether the probe sees training pictures mirrored too, where their kind allows it. Off: False.
    strengths : tuple of float
        Inverse strengths (C) that the probe chooses from. Off: one alone.
    probe : bool
        Whether the probe is the head's start, and what training has to be better than. Off: False.
    augmented : bool
        Whether training pictures are changed at random, as their kind allows. Off: False.
    freeze : str
        Layers that stay as they are, a word or number of `--freeze`. Off: none.
    epochs : int, optional
        In which the rest of the network is trained; None for those of the kind. Off: 0, the probe alone.
    batch_size : int
    optimizer : str
    learning_rate : float
        A third of what a head alone takes: features that are good already must not be destroyed.
    weight_decay : float
        Off: 0.
    warm_up : float
        Share of the steps over which the rate rises, until Adam knows how large gradients are. Off: 0.
    schedule : str
        By step. Off: constant.
    averaging : float
        Decay of the mean of the weights, per step: the last hundred steps count. Off: 0.
    smoothing : float
        Share of a label that is spread over all classes. Off: 0.
    dropout : tuple of float
        Behind the features, while the network is trained. Off: ().
    """

    mirrored: bool = True
    strengths: tuple[float, ...] = tuple(10.0 ** (half / 2) for half in range(-8, 1))
    probe: bool = True
    augmented: bool = True
    freeze: str = EARLY
    epochs: int | None = None
    batch_size: int = 32
    optimizer: str = "adamw"
    learning_rate: float = 3e-4
    weight_decay: float = 1e-4
    warm_up: float = 0.05
    schedule: str = "cosine"
    averaging: float = 0.99
    smoothing: float = 0.05
    dropout: tuple[float, ...] = (0.2,)

    def settings(self, kind: str) -> Settings:
        """Return what a published recipe would preset.

        Parameters
        ----------
        kind : str
            A key of `KINDS`.

        Returns
        -------
        Settings
        """
        what = KINDS[kind]
        return Settings(
            dropout=self.dropout,
            freeze=self.freeze,
            optimizer=self.optimizer,
            learning_rate=self.learning_rate,
            batch_size=self.batch_size,
            epochs=what.epochs if self.epochs is None else self.epochs,
            schedule=self.schedule,
            augment=dict(what.augment) if self.augmented else {},
        )


PARTS = Parts()


@dataclass(frozen=True)
class Kind:
    """A kind of picture: what may be changed in it without its class being another.

    Attributes
    ----------
    name : str
        As a user types it.
    words : str
    augment : mapping
        Amounts, by the names of `AUGMENTATIONS`.
    epochs : int
        More where a picture has many looks, so that none is soon known by heart.
    """

    name: str
    words: str
    augment: Mapping[str, Any]
    epochs: int = 8

    @property
    def mirrored(self) -> bool:
        """Whether left and right may be exchanged."""
        return self.augment.get("flip") in {"horizontal", "both"}


OTHER = "other"
KINDS = {
    kind.name: kind
    for kind in (
        # A detector is placed by hand: a little off, a little turned, under another exposure. Lungs are nearly the same
        # mirrored. Never upside down; grey has no hue.
        Kind(
            "xray",
            "X-rays, upright and grey",
            {"rotation": 10.0, "shift": 0.05, "zoom": 0.1, "flip": "horizontal", "contrast": 0.1, "brightness": 0.1},
        ),
        # A dermatoscope has no up and down, and its distance varies. Colour tells lesions apart: hue hardly moves.
        Kind(
            "skin",
            "skin lesions, which have no up and down",
            {"rotation": 180.0, "zoom": 0.15, "flip": "both", "brightness": 0.1, "hue": 0.02},
            epochs=24,
        ),
        # A face is upright and nearly symmetrical; redness is a sign of disease, so colours stay.
        Kind("face", "faces, upright", {"rotation": 10.0, "zoom": 0.1, "flip": "horizontal"}),
        # Of anything else nobody knows what a turn or another colour means.
        Kind(OTHER, "anything else", {"shift": 0.05, "zoom": 0.1, "flip": "horizontal"}),
    )
}
"""What `--kind` takes."""
