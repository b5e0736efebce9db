"""A network for every fold of a dataset, in one model: its files, what it notes of them, and their mean."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

from facelime_cli.errors import BrokenError
from facelime_cli.store import digests, files
from facelime_cli.store.pictures import EVERY_FOLD

if TYPE_CHECKING:
    from facelime_cli.store.artifacts import Artifact
    from facelime_cli.training.finetuning import Listener

LONG = ("history",)
"""What is noted of a training and is long: the record of the fold alone has it."""
FIGURES = ("accuracy", "macro_auc")
"""The figure of a test split that is told: of classes, or of findings."""


def file_of(fold: int) -> str:
    """Return the file of a fold's network.

    Parameters
    ----------
    fold : int
        The fold that it is tested on, from 0.
    """
    return f"fold-{fold}.keras"


def stem_of(fold: int) -> str:
    """Return what the names of a fold's history begin with.

    Parameters
    ----------
    fold : int
    """
    return f"fold-{fold}-history"


def taken(other: Artifact | None, artifact: Artifact, fold: int) -> tuple[list[str], dict[str, Any]] | None:
    """Reuse a fold's network of a model of the same training that has it.

    Parameters
    ----------
    other : Artifact or None
        The same training, with or without the mean.
    artifact : Artifact
        The one that is made.
    fold : int

    Returns
    -------
    (list of str, dict) or None
        The files that are there now, and what was noted of the training. None where the other has not finished it.
    """
    if other is None or not other.unit_facts(fold):
        return None
    made = other.unit_files(fold)
    for name, digest in made.items():
        with files.replacing(artifact.file(name)) as beside:
            shutil.copyfile(other.file(name), beside)
        # A file that is damaged there is not spread.
        if digests.of_file(artifact.file(name)) != digest:
            raise BrokenError(
                f"{name} of {other.reference} is damaged, so its training cannot be used again; "
                f"run `facelime repair {other.reference}`, and repeat the `finetune` that makes it."
            )
    return list(made), other.unit_facts(fold)


def facts_of(artifact: Artifact) -> dict[str, Any]:
    """Return what the manifest says of a model with a network for every fold.

    Parameters
    ----------
    artifact : Artifact
        All its folds are trained.

    Returns
    -------
    dict
        `folds`, what is noted of each network; `model`, the digest of all; `weights`, their number.
    """
    units = artifact.facts_of_units()
    folds = []
    for fold, each in enumerate(units):
        noted = {name: value for name, value in each.items() if name not in LONG}
        folds.append({**noted, "fold": fold, "file": file_of(fold), "chart": f"{stem_of(fold)}.png"})
    return {
        "fold": EVERY_FOLD,
        "folds": folds,
        "model": digests.of_value([each["model"] for each in units]),
        "weights": sum(int(each["weights"]) for each in units),
    }


def mean_of(artifact: Artifact, file: str, console: Listener) -> dict[str, Any]:
    """Write the network that answers with the mean of all folds' networks, and a summary of training pictures.

    The summary is that of the first network, with the pictures that it learned from: its features stand for all.

    Parameters
    ----------
    artifact : Artifact
        All its folds are trained.
    file : str
        Its name.
    console : Listener

    Returns
    -------
    dict
        What the manifest says of it, in place of what it says of the folds alone.
    """
    from facelime_cli.models import ensembles, wrapping
    from facelime_cli.training import familiarising, finetuning
    from facelime_cli.training.heads import heads_of

    names = [file_of(fold) for fold in range(artifact.n_units)]
    members = [wrapping.load(artifact.file(name), what=f"{name} of {artifact.reference}") for name in names]
    network = ensembles.averaging(members)
    wrapping.save(network, artifact.file(file))
    dataset = artifact.input("datasets")
    splits = finetuning.splits_of(dataset, 0, heads_of(artifact.parameters.get("labels"), dataset))
    reference = familiarising.kept_of(artifact, members[0], splits, dataset, console)
    return {"ensemble": True, "model": wrapping.digest(network), **reference}


def summary(folds: list[dict[str, Any]]) -> str:
    """Return in a sentence how well the folds were tested, without the word at its end.

    Parameters
    ----------
    folds : list of dict
        From `facts_of`.

    Returns
    -------
    str
        Empty where no fold has a figure.

    Examples
    --------
    >>> summary([{"test": {"n": 10, "accuracy": 0.9}}, {"test": {"n": 30, "accuracy": 0.7}}])
    'tested out of fold: 40 pictures, accuracy 0.750 (by fold 0.700 to 0.900)'
    """
    tests = [each["test"] for each in folds]
    for name in FIGURES:
        known = [(each["n"], each[name]) for each in tests if each.get(name) is not None]
        if known:
            n = sum(count for count, _ in known)
            mean = sum(count * value for count, value in known) / n
            values = [value for _, value in known]
            shown = f"{name.replace('_', ' ').replace('auc', 'AUC')} {mean:.3f}"
            return f"tested out of fold: {n} pictures, {shown} (by fold {min(values):.3f} to {max(values):.3f})"
    return ""
