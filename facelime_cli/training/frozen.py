"""Features of a backbone that is not trained: computed once, in blocks of pictures that survive a kill."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np

from facelime_cli.core.labels import labelled
from facelime_cli.models import running
from facelime_cli.models.running import Labelled
from facelime_cli.store import pictures
from facelime_cli.store.files import write_whole
from facelime_cli.training.heads import labels_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from facelime_cli.store.units import Unit
    from facelime_cli.training.finetuning import Job

    Floats = NDArray[np.float32]

BLOCK = 256
"""Pictures whose features are kept in one file until training is done: what a kill repeats at most."""
MIRRORED = "-mirrored"


def of_split(job: Job, name: str, bare: Any, split: Labelled, unit: Unit, *, mirrored: bool) -> Labelled:
    """Return a split whose pictures are their features, which lie in the unit's own files.

    Parameters
    ----------
    job : Job
    name : str
        Of the split.
    bare : keras.Model
        From display space to features.
    split : Labelled
        Its pictures.
    unit : Unit
    mirrored : bool
        Whether left and right are exchanged.

    Returns
    -------
    Labelled
        It reads (B, F) float32 features.
    """
    word = name + MIRRORED * mirrored
    taken = Labelled(_reading(split, mirrored=mirrored), split.rows, split.labels)
    found = _computed(job, f"features of the {word} split", bare, taken, lambda start: unit.scratch(_file(word, start)))
    return Labelled(lambda rows: found[rows], np.arange(len(split.rows)), split.labels)


def of_every_fold(job: Job, bare: Any, split: Labelled, unit: Unit, *, mirrored: bool) -> Labelled:
    """Return a split whose pictures are their features, which lie in files that all folds share.

    A picture is in the training split of several folds, and its features are the same there.

    Parameters
    ----------
    job : Job
        Of one fold.
    bare : keras.Model
        From display space to features.
    split : Labelled
        Its pictures.
    unit : Unit
    mirrored : bool
        Whether left and right are exchanged.

    Returns
    -------
    Labelled
        It reads (B, F) float32 features.
    """
    rows = np.flatnonzero(labelled(labels_of(job.dataset, job.heads)))
    read = pictures.reader(job.dataset)
    every = Labelled(read, rows, np.zeros(len(rows), np.int64))
    every = Labelled(_reading(every, mirrored=mirrored), rows, every.labels)
    word = "all" + MIRRORED * mirrored
    # Each fold begins elsewhere, so that processes that begin together do not compute the same blocks.
    first = int(job.fold or 0) / int(job.dataset.parameters["folds"])
    task = "features of all folds" + ", mirrored" * mirrored
    found = _computed(job, task, bare, every, lambda start: unit.shared(_file(word, start)), first)
    return Labelled(lambda places: found[places], np.searchsorted(rows, split.rows), split.labels)


def _reading(split: Labelled, *, mirrored: bool) -> Callable[[list[int]], NDArray[Any]]:
    return (lambda rows: split.read(rows)[:, :, ::-1]) if mirrored else split.read


def _file(word: str, start: int) -> str:
    return f"features-{word}-{start:08d}.npy"


def _computed(
    job: Job, task: str, bare: Any, taken: Labelled, file: Callable[[int], Path], first: float = 0.0
) -> Floats:
    """Return the features of pictures in their order; the blocks that are not there yet are computed."""
    n_pictures = len(taken.rows)
    blocks = {start: file(start) for start in range(0, n_pictures, BLOCK)}
    n_done = sum(path.exists() for path in blocks.values())
    call = running.forward(bare)
    turned = int(first * len(blocks))
    order = [*list(blocks)[turned:], *list(blocks)[:turned]]
    with job.console.progress(task, n_pictures, n_done * BLOCK) as advance:
        for start in order:
            if blocks[start].exists():
                continue
            chosen = slice(start, start + BLOCK)
            block = Labelled(taken.read, taken.rows[chosen], taken.labels[chosen])
            found = list(running.answers(call, block, job.settings.batch_size))
            stream = io.BytesIO()
            # Mixed precision answers with bfloat16, which a file of NumPy cannot hold.
            np.save(stream, np.concatenate(found).astype(np.float32))
            write_whole(blocks[start], stream.getvalue())
            advance(len(block.rows))
    kept = [np.load(path, allow_pickle=False) for path in blocks.values()]
    return np.concatenate(kept) if kept else np.zeros((0, 1), np.float32)
