"""How far a runtime's answers are from the reference: measured once for a model and a machine, and kept beside it."""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from facelime_cli import trust
from facelime_cli.answering.runtimes import answers_values
from facelime_cli.errors import FacelimeError
from facelime_cli.predicting.run import evaluate
from facelime_cli.store import digests, files

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from facelime_cli.predicting.run import DistinctMasks, Run

PICTURES = 8
"""Composed pictures on which a runtime is compared with the reference."""
VERSION = 1
"""Raised when the comparison itself changes: what was measured before is measured again."""
COMPARED = "compared"
"""What the user's own facelime has measured of a model, among what is trusted."""
FILE = "difference.json"
REFERENCE_PACKAGES = ("keras", "tensorflow", "jax", "torch", "onnxruntime", "numpy")
"""Packages that may compute the reference. Their versions are read without importing them."""


@dataclass(frozen=True)
class Difference:
    """A measured difference.

    Attributes
    ----------
    largest : float
        The largest difference of an answer from the reference, see `furthest`.
    pictures : int
        Number of composed pictures on which it was measured.
    """

    largest: float
    pictures: int


def compared(run: Run, its: DistinctMasks, host: tuple[Any, Any], batch: int) -> float | None:
    """Return how far a run's answers are from the reference, and raise where that is too far.

    Parameters
    ----------
    run : Run
    its : DistinctMasks
        Evaluations of a unit, on some of which it is measured where that has not been done.
    host : pair of arrays
        From `Run.host`.
    batch : int
        Batch size.

    Returns
    -------
    float or None
        The largest difference, see `furthest`; None for the reference itself.

    Raises
    ------
    FacelimeError
        When the difference is larger than the tolerance of the run.
    """
    if run.is_reference:
        return None
    kept, found = known(run, its, host, batch)
    _refuse_far(run, found)
    run.context.console.note(f"{_told(run, found)}{' (measured before)' if kept else ''}.")
    return found.largest


def known(run: Run, its: DistinctMasks, host: tuple[Any, Any], batch: int) -> tuple[bool, Difference]:
    """Return whether a difference was kept beside the model, and the difference, whatever the tolerance.

    Parameters
    ----------
    run : Run
        Not the reference itself.
    its : DistinctMasks
    host : pair of arrays
    batch : int
        As for `compared`.

    Returns
    -------
    bool
        False where it was measured now.
    Difference
    """
    key, fewest = _key(run), min(PICTURES, its.total)
    measured: list[Difference] = []

    def measure(folder: Path) -> None:
        measured.append(_measured(run, its, host, batch))
        if not math.isfinite(measured[0].largest):
            _refuse_far(run, measured[0])
        files.write_json(folder / FILE, asdict(measured[0]))
        # A plan leaves nothing behind. Where a user's own files cannot be written, it is measured each time.
        if run.context.store.aside is None:
            with suppress(FacelimeError):
                trust.add(COMPARED, _digest(key, measured[0]), run.model.reference)

    def is_own(folder: Path) -> bool:
        found = _read(folder, key)
        return found is not None and found.pictures >= fewest

    folder = run.model.kept(key, measure, is_own)
    found = None if measured else _read(folder, key)
    if found is not None:
        return True, found
    # What was kept has changed while it was looked at, or a plan has measured it before.
    return False, measured[0] if measured else _measured(run, its, host, batch)


def _key(run: Run) -> dict[str, Any]:
    """Return what decides a difference: another version, processor or card is measured anew."""
    reference = run.reference
    return {
        "measured": "difference",
        "version": VERSION,
        "content": run.model.content,
        "how": asdict(run.how),
        "reference": asdict(reference),
        "packages": _versions(),
        "engine": dict(run.classifier.engine),
    }


def _versions() -> dict[str, str]:
    found = {}
    for package in REFERENCE_PACKAGES:
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def _digest(key: dict[str, Any], found: Difference) -> str:
    """Return the digest of a measured difference: in a store from elsewhere, any number could stand there."""
    return digests.of_value({"key": key, "found": asdict(found)})


def _read(folder: Path, key: dict[str, Any]) -> Difference | None:
    """Return what is kept in a folder, where this user's own facelime has measured it."""
    try:
        value = files.read_json(folder / FILE)
        found = Difference(float(value["largest"]), int(value["pictures"]))
        return found if trust.is_trusted(COMPARED, _digest(key, found)) else None
    except (FacelimeError, OSError, KeyError, TypeError, ValueError):
        return None


def _measured(run: Run, its: DistinctMasks, host: tuple[Any, Any], batch: int) -> Difference:
    """Ask the runtime and the reference about a few composed pictures of a run."""
    import numpy as np

    # Spread over the unit, they are of several pictures and of masks with few and with many segments.
    rows = np.unique(np.linspace(0, its.total - 1, PICTURES).astype(np.int64))
    arrays = run.device.wait(run.device.submit(run.classifier.upload, *host))
    answers = run.evaluate(its, rows, arrays, max(batch, len(rows)))[: len(rows)]
    reference = run.reference
    classifier = run.loaded(reference)
    there = run.device.wait(run.device.submit(classifier.upload, *host))
    wanted = run.device.wait(run.device.submit(evaluate, classifier, its, rows, there, len(rows)))
    # It is not asked again, and may hold much memory.
    run.forget(reference)
    return Difference(furthest(answers, wanted, values=answers_values(run.model)), len(rows))


def furthest(answers: NDArray[np.float32], wanted: NDArray[np.float32], *, values: bool) -> float:
    """Return how far answers are from those of the reference.

    Parameters
    ----------
    answers, wanted : (R, C) float32 arrays
        Of a runtime and of the reference, for the same pictures.
    values : bool
        Whether they are values in a unit of their own: then differences are shares of the range of the reference's.

    Returns
    -------
    float
        The largest difference: of a probability, or of a value as a share.
    """
    import numpy as np

    from facelime_cli.core.fidelity import scale_of

    scale = scale_of(wanted) if values else 1.0
    return float((np.abs(answers - wanted) / scale).max())


def _told(run: Run, found: Difference) -> str:
    share = " of the range of the values" if answers_values(run.model) else ""
    return (
        f"{run.how.runtime} in {run.how.precision} differs from {run.reference.runtime} in float32 by "
        f"{found.largest:.2g}{share} at most, on {found.pictures} composed pictures"
    )


def _refuse_far(run: Run, found: Difference) -> None:
    # NaN is no number below the tolerance, so this way round it is refused too.
    if not found.largest <= run.tolerance:
        raise FacelimeError(
            f"{_told(run, found)}: more than --tolerance {run.tolerance:g}; use --precision float32 or another "
            "--runtime, or raise the tolerance if you can live with that."
        )
