"""The settings of one training: read from what was typed, preset by a recipe or the network, and checked."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

from facelime_cli.errors import CommandLineError
from facelime_cli.models.backbones import ALL, BACKBONES, EARLY, IMAGENET, NONE, SIGMOID
from facelime_cli.names import whole_number
from facelime_cli.store.pictures import EVERY_FOLD
from facelime_cli.training.recipes import (
    ADJUSTED,
    AUGMENTATIONS,
    AUTO,
    BALANCED,
    DEFAULTS,
    OTHER,
    PARTS,
    RECIPES,
    Settings,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

MOST_UNITS, MOST_HIDDEN, MOST_LAYERS = 65_536, 32, 100_000
"""Units of a hidden layer, hidden layers, and layers of a network: a slip of the keyboard fills no memory."""
MOST_FOLDS = 1_000_000
"""What a number of a fold may be: which there are, the dataset says."""
OF_THE_SECOND_PHASE = {"fine_tune_layers", "fine_tune_rate"}
OF_THE_NETWORK = ("pooling", "head", "dropout")
"""Settings that the network itself has a default for."""


def backbone_of(backbone: str | None, recipe: str | None) -> str:
    """Return the network to train.

    Parameters
    ----------
    backbone, recipe : str, optional
        What --backbone and --recipe name.

    Returns
    -------
    str
        A key of `BACKBONES`.

    Raises
    ------
    CommandLineError
        Where neither is named, or the recipe is not for this network.
    """
    if recipe not in RECIPES:
        if backbone is None:
            raise CommandLineError(
                f"there is no network to train; name one with --backbone ({', '.join(BACKBONES)}), "
                f"or a published system with --recipe ({', '.join(RECIPES)})."
            )
        return backbone
    networks = RECIPES[recipe].networks
    if backbone not in {None, *networks}:
        raise CommandLineError(
            f"--recipe {recipe} has no settings for --backbone {backbone}; its networks are {', '.join(networks)}."
        )
    return backbone or next(iter(networks))


def fold_of(text: str | None) -> int | str | None:
    """Return what --fold means.

    Parameters
    ----------
    text : str, optional
        As it is typed.

    Returns
    -------
    int, str or None
        A number from 0, or `EVERY_FOLD`.

    Raises
    ------
    CommandLineError
        For anything else.

    Examples
    --------
    >>> fold_of("2"), fold_of("all")
    (2, 'all')
    """
    if text is None or text == EVERY_FOLD:
        return text
    number = whole_number(text, 0, MOST_FOLDS)
    if number is None:
        raise CommandLineError(f"--fold {text!r} should be the number of a fold, from 0, or {EVERY_FOLD}.")
    return number


def recipe_of(
    recipe: str | None, backbone: str, given: Mapping[str, Any], own: Mapping[str, Any]
) -> tuple[str, str | None]:
    """Return the recipe to train by.

    Parameters
    ----------
    recipe : str, optional
        What --recipe names.
    backbone : str
        A key of `BACKBONES`.
    given : mapping
        Options by the names of `Settings`, as they were typed.
    own : mapping
        Options that only the recipe `auto` reads, as they were typed; None or False for those that were not.

    Returns
    -------
    recipe : str
        A key of `RECIPES`, `auto` or `none`.
    reason : str or None
        Why it is not `auto`, which was asked for.

    Raises
    ------
    CommandLineError
        For options that do not go with the recipe.
    """
    network, phases = _no_probe_for(backbone, given), _other_phases(given)
    if recipe == AUTO and phases:
        raise CommandLineError(f"{phases} is no part of --recipe {AUTO}, which plans its own; use --recipe {NONE}.")
    against = network or phases
    chosen = recipe or (NONE if against else AUTO)
    if chosen == AUTO and network:
        chosen = NONE
    typed = [name for name, value in own.items() if value not in {None, False}]
    if typed and chosen != AUTO:
        why = f", and {against}" if against and recipe in {None, AUTO} else ""
        raise CommandLineError(
            f"--{typed[0]} is a part of --recipe {AUTO}{why}; leave --{typed[0]} out, or train by that recipe."
        )
    return chosen, network if recipe == AUTO else None


def _no_probe_for(backbone: str, given: Mapping[str, Any]) -> str | None:
    """Return why a network has no features that a probe could start from, or why a probe is no head for it."""
    if not BACKBONES[backbone].application:
        return f"{backbone} starts from nothing, so that its features say nothing yet"
    if given.get("weights") == NONE:
        return "--weights none starts from nothing, so that the features say nothing yet"
    head = given.get("head")
    if head and _read("head", head):
        return f"--head {head} puts hidden layers in the probe's place"
    return None


def _other_phases(given: Mapping[str, Any]) -> str | None:
    """Return what was typed of a second phase, which the recipe `auto` has none of."""
    names = ("fine_tune_epochs", *sorted(OF_THE_SECOND_PHASE))
    return next((f"--{name.replace('_', '-')}" for name in names if given.get(name)), None)


def settle(given: Mapping[str, Any], backbone: str, recipe: str | None, n_classes: int, kind: str = OTHER) -> Settings:
    """Return every setting: what was typed, else the recipe's, else the network's, else the default.

    Parameters
    ----------
    given : mapping
        Options by the names of `Settings`, as they were typed; those that were not are None or missing.
    backbone : str
        A key of `BACKBONES`.
    recipe : str, optional
        A key of `RECIPES`, `auto` or `none`.
    n_classes : int
    kind : str
        A key of `KINDS`; only the recipe `auto` asks for it.

    Returns
    -------
    Settings
        Nothing in it is None.

    Raises
    ------
    CommandLineError
        For a text that means nothing, and for settings that do not go together.
    """
    typed = {name: _read(name, value) for name, value in given.items() if value is not None}
    preset = PARTS.settings(kind) if recipe == AUTO else DEFAULTS
    if recipe in RECIPES:
        preset = RECIPES[recipe].settings_of(backbone, n_classes)
    settings = _completed(replace(preset, **typed), backbone)
    _check(settings, set(typed))
    return settings


def for_findings(given: Mapping[str, Any], recipe: str | None, *, oversample: bool) -> dict[str, Any]:
    """Return what was typed, and one sigmoid for each finding of a dataset that has several per picture.

    Parameters
    ----------
    given : mapping
        As `settle` takes it.
    recipe : str, optional
    oversample : bool

    Returns
    -------
    dict

    Raises
    ------
    CommandLineError
        For settings that need one class per picture.
    """
    several = "the dataset has several findings per picture"
    if recipe in RECIPES:
        networks = ", ".join(RECIPES[recipe].networks)
        raise CommandLineError(
            f"--recipe {recipe} is for pictures of one class each, and {several}; "
            f"name one of its networks with --backbone instead ({networks})."
        )
    if given.get("output") not in {None, SIGMOID}:
        raise CommandLineError(
            f"--output {given['output']} lets probabilities add up to 1, and {several}; leave --output out."
        )
    if given.get("class_weights") == ADJUSTED:
        raise CommandLineError(
            f"--class-weights {ADJUSTED} takes the shares of classes, and {several}; use --class-weights {BALANCED}."
        )
    if oversample:
        raise CommandLineError(
            f"--oversample repeats pictures of the smaller classes, and {several}; use --class-weights balanced."
        )
    return {**given, "output": SIGMOID}


def check_labels(given: Mapping[str, Any], labels: str, *, oversample: bool) -> None:
    """Raise for settings that do not go with several labels.

    Parameters
    ----------
    given : mapping
        As `settle` takes it.
    labels : str
        What --labels names.
    oversample : bool

    Raises
    ------
    CommandLineError
    """
    several = f"--labels {labels} are several labels; use --class-weights {BALANCED}."
    if oversample:
        raise CommandLineError(f"--oversample repeats pictures of the smaller classes, and {several}")
    if given.get("class_weights") == ADJUSTED:
        raise CommandLineError(f"--class-weights {ADJUSTED} takes the shares of one label's classes, and {several}")


def _read(name: str, value: Any) -> Any:
    """Return what a typed option means."""
    return READERS[name](value) if name in READERS else value


def _completed(settings: Settings, backbone: str) -> Settings:
    """Return settings in which the network has filled in what nobody else has said."""
    entry = BACKBONES[backbone]
    weights = settings.weights
    if weights is None:
        weights = IMAGENET if entry.application else NONE
    freeze = settings.freeze
    if freeze is None:
        freeze = NONE if weights == NONE else ALL
    own = {name: getattr(entry, name) for name in OF_THE_NETWORK if getattr(settings, name) is None}
    return replace(settings, weights=weights, freeze=freeze, **own)


def _check(settings: Settings, typed: set[str]) -> None:
    """Raise for settings that mean nothing, or do not go together."""
    _check_layers("--freeze", str(settings.freeze), (ALL, NONE, EARLY))
    _check_layers("--fine-tune-layers", settings.fine_tune_layers, (ALL,))
    if not settings.fine_tune_epochs and OF_THE_SECOND_PHASE & typed:
        raise CommandLineError(
            "--fine-tune-layers and --fine-tune-rate belong to a second phase, which has no epochs; "
            "say how many with --fine-tune-epochs."
        )
    if settings.l2 and not settings.head:
        raise CommandLineError(
            f"--l2 {settings.l2:g} is for hidden layers, and this network has none; add some with --head, "
            "or leave --l2 out."
        )


def _check_layers(option: str, text: str, words: tuple[str, ...]) -> None:
    if text not in words and whole_number(text, 0, MOST_LAYERS) is None:
        raise CommandLineError(f"{option} {text!r} should be {', '.join(words)} or a number of layers.")


# Options that are a text with a meaning


def augmentation(text: str) -> dict[str, Any]:
    """Return what `rotation=40,flip=horizontal` asks for.

    Parameters
    ----------
    text : str
        Names of `AUGMENTATIONS` with their amounts, or `none`.

    Returns
    -------
    dict
        Amounts by name, in the order of the table.

    Raises
    ------
    CommandLineError
        For an unknown name, or an amount outside its range.

    Examples
    --------
    >>> augmentation("flip=both, rotation=20")
    {'rotation': 20.0, 'flip': 'both'}
    """
    if text.strip() == NONE:
        return {}
    asked = dict(each.partition("=")[::2] for each in text.replace(" ", "").split(","))
    for name in asked:
        if name not in AUGMENTATIONS:
            known = ", ".join(f"{each.name}={each.words}" for each in AUGMENTATIONS.values())
            raise CommandLineError(f"--augment {text!r} names {name!r}; there are {known}, and none.")
    return {name: _amount(name, asked[name]) for name in AUGMENTATIONS if name in asked}


def _amount(name: str, text: str) -> Any:
    entry = AUGMENTATIONS[name]
    if entry.values:
        if text not in entry.values:
            raise CommandLineError(f"--augment {name}={text} should be {entry.words}.")
        return text
    amount = _number(text)
    # A text such as nan is a number, and compares as false.
    if amount is None or not 0 < amount <= entry.largest:
        raise CommandLineError(
            f"--augment {name}={text} should be more than 0 and at most {entry.largest:g} ({entry.words})."
        )
    return amount


def widths(text: str) -> tuple[int, ...]:
    """Return the units of the hidden layers in `128,64`.

    Parameters
    ----------
    text : str
        Numbers with commas between them, or `none`.

    Returns
    -------
    tuple of int

    Raises
    ------
    CommandLineError
        For anything else.

    Examples
    --------
    >>> widths("128, 64"), widths("none")
    ((128, 64), ())
    """
    if text.strip() == NONE:
        return ()
    words = [word.strip() for word in text.split(",")]
    units = [whole_number(word, 1, MOST_UNITS) for word in words]
    if None in units or len(units) > MOST_HIDDEN:
        raise CommandLineError(
            f"--head {text!r} should be up to {MOST_HIDDEN} numbers of units from 1 to {MOST_UNITS}, such as 128,64, "
            "or none."
        )
    return tuple(each for each in units if each is not None)


def rates(text: str) -> tuple[float, ...]:
    """Return the dropout rates in `0.3,0.1`.

    Parameters
    ----------
    text : str
        Shares from 0 to below 1 with commas between them, or `none`.

    Returns
    -------
    tuple of float

    Raises
    ------
    CommandLineError
        For anything else.

    Examples
    --------
    >>> rates("0.3,0.1"), rates("none")
    ((0.3, 0.1), ())
    """
    if text.strip() == NONE:
        return ()
    found = []
    for word in text.split(","):
        rate = _number(word)
        if rate is None or not 0 <= rate < 1:
            raise CommandLineError(f"--dropout {text!r} should be rates from 0 to below 1, such as 0.3,0.1, or none.")
        found.append(rate)
    return tuple(found)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


READERS: dict[str, Callable[[str], Any]] = {"head": widths, "dropout": rates, "augment": augmentation}
"""What reads the settings whose option is a text with a meaning."""
_NAMES = {each.name for each in fields(Settings)}


def given_in(params: Any) -> dict[str, Any]:
    """Return the settings that a command's parameters hold.

    Parameters
    ----------
    params : dataclass
        Has an attribute for each field of `Settings`.

    Returns
    -------
    dict
        By the names of `Settings`; None where nothing was typed.
    """
    return {name: getattr(params, name) for name in _NAMES}
