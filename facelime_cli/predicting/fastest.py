"""The fastest runtime by itself: tried once for a model and a machine, and kept beside the model."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from facelime_cli import machine
from facelime_cli.answering import runtimes
from facelime_cli.errors import FacelimeError
from facelime_cli.predicting.comparing import REFERENCE_PACKAGES, compared
from facelime_cli.predicting.run import AUTO, DEFAULT
from facelime_cli.store import files

if TYPE_CHECKING:
    from pathlib import Path

    from facelime_cli.predicting.run import DistinctMasks, Run

VERSION = 1
"""Raised when the trial itself changes: what was tried before is tried again."""
RATES, AGREED = "rates.json", "runtime.json"
FIRST = slice(0, 1)
"""The picture on which runtimes are tried."""


class _UntriedError(FacelimeError):
    """Nothing is kept, and nothing may be tried now."""

    def __init__(self) -> None:
        super().__init__(
            f"--runtime {AUTO} has not been tried for this model on this machine, and --missing computes nothing; "
            "run the command once without --missing, or name the runtime."
        )


def fastest(run: Run) -> str:
    """Return the fastest runtime that is installed and agrees with the reference.

    It is tried once for each model, machine, precision and picture size. All shards take what the first one took, on
    whatever machine they run.

    Parameters
    ----------
    run : Run
        Its runtime does not count.

    Returns
    -------
    str
        A key of `RUNTIMES`.

    Raises
    ------
    FacelimeError
        When no runtime works, or nothing was tried yet and a plan may not try.
    """
    able = _able(run)
    try:
        # Shards on another machine, or a later look at them, must find the same artifact.
        return _agreed(run, _known(run, _key_of_shards(run), AGREED))
    except _UntriedError:
        if run.context.shard.count == 1:
            return _own(run, able)
    folder = run.model.kept(
        _key_of_shards(run), lambda folder: files.write_json(folder / AGREED, {"runtime": _own(run, able)})
    )
    return _agreed(run, folder)


def _able(run: Run) -> list[str]:
    """Return the runtimes that are installed and run the model's format in this precision."""
    form, precision = runtimes.format_of(run.model), run.how.precision
    able = runtimes.able(form, precision)
    installed = [name for name in able if not runtimes.missing_packages(name, form)]
    if not installed:
        # The sentence about the first says what to install, or to choose.
        runtimes.check_installed(runtimes.settle(run.model, able[0] if able else None, precision), form)
    return installed


def _own(run: Run, able: list[str]) -> str:
    """Return the fastest on this machine."""
    if len(able) == 1:
        return able[0]
    key, tried = _key(run, able), []

    def measure(folder: Path) -> None:
        tried.append(_tried(run, able))
        files.write_json(folder / RATES, tried[0])

    if run.context.planning and run.context.store.aside is None:
        folder = _known(run, key, RATES)
    else:
        folder = run.model.kept(key, measure, lambda folder: _rates(folder) is not None)
    rates = _rates(folder) or {}
    best = max(rates, key=lambda name: rates[name])
    told = ", ".join(f"{name} {rate:.1f}" for name, rate in sorted(rates.items(), key=lambda each: -each[1]))
    run.context.once(f"--runtime {AUTO}: {told} evaluations/s; {best} is used, here and in later runs.")
    return best


def _known(run: Run, key: dict[str, Any], name: str) -> Path:
    """Return what is kept, and leave the store as it is; it raises where nothing is kept."""

    def refuse(_: Path) -> None:
        raise _UntriedError

    with run.context.store.unchanged():
        return run.model.kept(key, refuse, lambda folder: (folder / name).is_file())


def _agreed(run: Run, folder: Path) -> str:
    """Return the runtime of other shards."""
    chosen = str(files.read_json(folder / AGREED)["runtime"])
    run.context.once(f"--runtime {AUTO}: {chosen} is used, as by the first shard on these segments.")
    return runtimes.settle(run.model, chosen, run.how.precision)


def _rates(folder: Path) -> dict[str, float] | None:
    """Return evaluations per second of each runtime that may be used; None where no such thing is kept."""
    try:
        found = {str(name): float(rate) for name, rate in files.read_json(folder / RATES)["rates"].items()}
    except (FacelimeError, OSError, KeyError, TypeError, ValueError, AttributeError):
        return None
    return found if found and set(found) <= set(runtimes.RUNTIMES) else None


def _tried(run: Run, able: list[str]) -> dict[str, Any]:
    """Return the rate of each runtime, and why others are left out."""
    its, host = run.source.masks(FIRST), run.host(FIRST, 1)
    rates: dict[str, float] = {}
    left_out: dict[str, str] = {}
    for name in able:
        each = replace(run, how=replace(run.how, runtime=name))
        try:
            rates[name] = _rate(each, its, host)
        except FacelimeError as why:
            left_out[name] = str(why)
            run.context.console.note(f"--runtime {AUTO} leaves {name} out: {why}")
        # One model is kept in memory: the fastest so far.
        best = max(rates, key=lambda other: rates[other], default=None)
        for other in able:
            if other != best:
                run.forget(replace(run.how, runtime=other))
    if not rates:
        raise FacelimeError(f"--runtime {AUTO}: no runtime works; of {able[-1]}: {left_out[able[-1]]}")
    return {"rates": rates, "left_out": left_out}


def _rate(run: Run, its: DistinctMasks, host: tuple[Any, Any]) -> float:
    """Return evaluations per second of a runtime that agrees with the reference."""
    batch, _ = run.fitted(run.batch_size(DEFAULT), lambda size: compared(run, its, host, size))
    arrays = run.device.wait(run.device.submit(run.classifier.upload, *host))
    batch, seconds = run.fitted(batch, lambda size: run.timed(its, arrays, size))
    return batch / seconds


def _key(run: Run, able: list[str]) -> dict[str, Any]:
    """Return what decides the fastest: another processor, card, version or picture size is tried anew."""
    return {
        "measured": "runtime",
        "version": VERSION,
        **_asked(run),
        "size": run.pictures.dataset.facts["size"],
        "tolerance": run.tolerance,
        "able": able,
        "packages": _versions(run, able),
        "backend": os.environ.get("KERAS_BACKEND") or "tensorflow",
        "hardware": machine.hardware(),
        "cards": machine.cards(),
    }


def _key_of_shards(run: Run) -> dict[str, Any]:
    """Return what all shards of an artifact have in common, whatever machine they run on."""
    return {"agreed": "runtime", **_asked(run), "segments": run.source.segmentation.content}


def _asked(run: Run) -> dict[str, Any]:
    return {"precision": run.how.precision, "resize": run.how.resize_from is not None}


def _versions(run: Run, able: list[str]) -> dict[str, str]:
    """Return the versions of all packages that may answer; none is imported."""
    form, found = runtimes.format_of(run.model), {}
    packages = {
        *REFERENCE_PACKAGES,
        *(each for name in able for each in runtimes.RUNTIMES[name].packages.get(form, ())),
    }
    for package in sorted(packages):
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


# What another runtime would bring

WORTH_SAYING_SECONDS = 60.0
"""Who waits for less is not told what would be faster."""


def advise(run: Run, asked: str | None, seconds: float) -> None:
    """Say in one line what an extra would bring, where only Keras is installed and computes on the processor.

    Parameters
    ----------
    run : Run
        It has answered.
    asked : str, optional
        The runtime that was asked for: whoever named one has chosen.
    seconds : float
        How long it took.
    """
    how, form = run.how, runtimes.format_of(run.model)
    if asked not in {None, AUTO} or how.runtime != runtimes.KERAS or seconds < WORTH_SAYING_SECONDS:
        return
    others = [name for name in runtimes.able(form, how.precision) if name != how.runtime]
    missing = all(runtimes.missing_packages(name, form) for name in others)
    extra = runtimes.FASTER["openvino"].get(how.precision)
    if not missing or extra is None or "openvino" not in others or runtimes.on_accelerator(how.runtime):
        return
    figures = " and ".join(f"{factor:g} times with {network}" for network, factor in extra.items())
    run.context.once(
        f"on the machine of docs/benchmarks.md, OpenVINO in {how.precision} is as fast as Keras in float32 {figures}; "
        f"`{runtimes.installing('openvino')}` installs it, and --runtime {AUTO} then takes what is fastest here."
    )
