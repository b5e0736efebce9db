"""How pictures are divided and changed, as the options say it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from facelime_cli.core import shapes
from facelime_cli.errors import CommandLineError, FacelimeError
from facelime_cli.preparing import splitting
from facelime_cli.sources import NO_SPLIT, SPLITS, Entry

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from facelime_cli.core.images import Reading
    from facelime_cli.core.operations import Operations


READING = ("frame", "bits")
"""Options that say how files are read."""
DEFAULT_SPLIT = "70:20:10"


def settings_of(params: Any, catalog: Sequence[Entry]) -> dict[str, Any]:
    """Return how the pictures are divided and changed, what was not given filled in.

    Parameters
    ----------
    params : dataclass
        Those of `preprocess`.
    catalog : sequence of Entry
        A source that is divided already, or has no labels, cannot be divided.

    Returns
    -------
    dict
        The parameters of the dataset.

    Raises
    ------
    CommandLineError
        When two ways to divide are given, or the size is none.
    FacelimeError
        When the source cannot be divided.
    """
    labelled = any(entry.label is not None or entry.findings for entry in catalog)
    published = splitting.is_published(params)
    divided = any(entry.split != NO_SPLIT for entry in catalog) and not published
    for option, value in (("--split", params.split), ("--folds", params.folds)):
        if value is not None and (divided or not labelled):
            why = "has no labels (no class folders, no --label-column), so there is nothing to divide"
            if divided:
                why = "is already divided into train, val and test"
            raise FacelimeError(f"{option} {value} does not fit {params.source[0]}, which {why}; leave {option} out.")
    if params.split is not None and params.folds is not None:
        raise CommandLineError("--split and --folds are two ways to divide; give one of them.")
    divides = labelled and not divided
    split = None
    if divides and params.folds is None:
        split = _shares(params.split or DEFAULT_SPLIT)
    if divides and published:
        split = splitting.shares(None if params.split is None else split, _shares(DEFAULT_SPLIT), catalog)
    return {
        "size": shapes.parsed(params.size),
        "split": split,
        "folds": params.folds,
        "group_pattern": expression("--group-pattern", params.group_pattern, group_patterns()),
        "fit": params.fit,
        "crop": params.crop,
        "crop_border": params.crop_border,
        "white_balance": params.white_balance,
        "equalize": params.equalize,
        "contrast": params.contrast,
        # Where nothing is drawn by the seed, another seed is no other dataset.
        "seed": params.seed if divides and (split or params.folds) else None,
        "truth": params.truth is not None,
        **read_otherwise(params),
    }


def read_otherwise(params: Any) -> dict[str, int]:
    """Return what the options say of how files are read, as settings; empty where every file is read as it says itself.

    Parameters
    ----------
    params : dataclass
        Those of `preprocess`.

    Returns
    -------
    dict
        Datasets that were made before there were such options keep their parameters.
    """
    given = {name: getattr(params, name) for name in READING}
    return {name: value for name, value in given.items() if value is not None}


def reading_of(settings: Mapping[str, Any]) -> Reading:
    """Return how files are read, as the settings of a dataset say it.

    Parameters
    ----------
    settings : mapping
        From `settings_of`, or from `read_otherwise`.

    Returns
    -------
    Reading
    """
    from facelime_cli.core.images import Reading

    return Reading(**{name: settings.get(name) for name in READING})


def _shares(text: str) -> list[float]:
    try:
        shares = [float(each) for each in text.split(":")]
    except ValueError:
        shares = []
    if len(shares) != len(SPLITS) or min(shares) < 0 or not 0 < sum(shares) < float("inf"):
        raise CommandLineError(
            f"--split {text!r} should be three shares such as {DEFAULT_SPLIT}: train, validation, test."
        )
    # 70:20:10 and 7:2:1 are the same dataset, so they get the same parameters.
    whole = sum(shares)
    return [round(share / whole, 9) for share in shares]


def group_patterns() -> Mapping[str, str]:
    """Return the named expressions for the group (patient or lesion) in a file name.

    Returns
    -------
    mapping
    """
    from facelime_cli.core.splits import GROUP_PATTERNS

    return GROUP_PATTERNS


def label_patterns() -> Mapping[str, str]:
    """Return the named expressions for the class in a file name.

    Returns
    -------
    mapping
    """
    from facelime_cli.core.splits import LABEL_PATTERNS

    return LABEL_PATTERNS


def expression(option: str, pattern: str | None, named: Mapping[str, str]) -> str | None:
    """Return the regular expression that a text names or is, or None for none.

    Parameters
    ----------
    option : str
        As it is typed, for the message.
    pattern : str, optional
    named : mapping
        Expressions by name.

    Returns
    -------
    str or None

    Raises
    ------
    CommandLineError
        When it is no regular expression.
    """
    if pattern is None:
        return None
    found = named.get(pattern, pattern)
    if not found:
        raise CommandLineError(f"{option} '' finds nothing; give an expression, or one of {', '.join(named)}.")
    try:
        re.compile(found)
    except (re.error, OverflowError, RecursionError) as why:
        raise CommandLineError(
            f"{option} {pattern!r} is no regular expression ({why}); use one, or one of {', '.join(named)}."
        ) from why
    return found


def operations_of(settings: Mapping[str, Any]) -> Operations:
    """Return the picture operations that the settings of a dataset name.

    Parameters
    ----------
    settings : mapping
        From `settings_of`.

    Returns
    -------
    Operations
    """
    from facelime_cli.core.operations import Operations

    return Operations(
        size=settings["size"],
        fit=settings["fit"],
        crop_border=settings["crop_border"],
        crop_face=settings["crop"] is not None,
        white_balance=settings["white_balance"] is not None,
        equalize=settings["equalize"],
        contrast=settings["contrast"],
    )
