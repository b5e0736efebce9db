"""Networks that OpenVINO computes on the processor."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from facelime_cli import machine
from facelime_cli.answering.around import output_of, told
from facelime_cli.answering.converting import file_for
from facelime_cli.answering.runtimes import FLOAT32
from facelime_cli.answering.whole_pictures import reads, whole_pictures
from facelime_cli.errors import BrokenError

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from facelime_cli.answering.around import Run
    from facelime_cli.answering.runtimes import Classifier, How
    from facelime_cli.store.artifacts import Artifact

PRECISIONS = {"float32": "f32", "bfloat16": "bf16"}


def run_of(path: Path, precision: str, output: str | None = None) -> Run:
    """Return a network as a callable on the processor.

    It is compiled for the shape of the batches, which is faster than for any.

    Parameters
    ----------
    path : pathlib.Path
        In OpenVINO's format, or an ONNX file.
    precision : str
        `float32` or `bfloat16`.
    output : str, optional
        The name of the output that it answers with, instead of its first.

    Returns
    -------
    callable

    Raises
    ------
    BrokenError
        Where the file cannot be loaded.
    """
    import openvino

    core = openvino.Core()
    # Read now: what was looked at is what is compiled, for every size of the batch.
    try:
        network = core.read_model(path)
    except Exception as why:  # its exceptions have no common kind
        raise BrokenError(f"{path.name} cannot be loaded by OpenVINO ({told(why)}); import the model again.") from why
    hints = {
        "INFERENCE_PRECISION_HINT": PRECISIONS[precision],
        "INFERENCE_NUM_THREADS": machine.cores(),
        # Pinned, the shards of one machine would all take the same cores.
        "ENABLE_CPU_PINNING": False,
    }
    compiled: dict[tuple[int, ...], Any] = {}

    def run(values: NDArray[np.float32]) -> Any:
        if values.shape not in compiled:
            shaped = network.clone()
            shaped.reshape(list(values.shape))
            compiled.clear()  # the network of another batch size
            compiled[values.shape] = core.compile_model(shaped, "CPU", hints)
        return compiled[values.shape](values, share_inputs=True)[0 if output is None else output]

    return run


def silence() -> None:
    """Keep OpenVINO's converter from telling its makers that it was used: without this package it does not."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]


def with_openvino(model: Artifact, how: How) -> Classifier:
    """Return a model that OpenVINO runs on the processor, converted first where it is a Keras network.

    Parameters
    ----------
    model : Artifact
    how : How

    Returns
    -------
    Classifier

    Raises
    ------
    FacelimeError
        Where it cannot be converted.
    """
    silence()
    import openvino

    versions = {"openvino": openvino.__version__}
    with file_for(model, "openvino", "model.xml", versions, reads(how)) as path:
        run = run_of(path, how.precision, output_of(model.facts))

    def looking() -> Run:
        with file_for(model, "openvino", "features.xml", versions, reads(how), features=True) as path:
            return run_of(path, FLOAT32)

    return whole_pictures(model, how, run, {"runtime": "openvino", "version": openvino.__version__}, looking)
