"""Importing what a runtime needs in a thread, while pictures are read or segmented: libraries take seconds."""

from __future__ import annotations

from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING

from facelime_cli import stopping
from facelime_cli.answering import kept_graphs, openvino_networks
from facelime_cli.answering.runtimes import RUNTIMES, check_installed, format_of
from facelime_cli.models import backend

if TYPE_CHECKING:
    from facelime_cli.answering.runtimes import How
    from facelime_cli.store.artifacts import Artifact


def begin(model: Artifact, how: How) -> None:
    """Begin to import, in a thread, what a model will be run with. Nothing is loaded, and nothing of the model runs.

    Parameters
    ----------
    model : Artifact
    how : How
        With a runtime that is not known yet, nothing is imported.
    """
    if how.runtime in RUNTIMES and not stopping.busy_beside():
        stopping.begin_beside(partial(_import, model, how))


def _import(model: Artifact, how: How) -> None:
    runtime, form = how.runtime, format_of(model)
    try:
        check_installed(runtime, form)
        if runtime == "keras" and kept_graphs.begun(model, how):
            backend.tensorflow()
        elif runtime == "keras":
            backend.keras()
        if runtime == "openvino":
            openvino_networks.silence()
        # Of its packages, the first computes; the others convert.
        for package in RUNTIMES[runtime].packages.get(form, ())[:1]:
            import_module(package)
    except Exception:  # noqa: BLE001 - libraries raise anything; whoever needs them imports them again, and hears it
        return
