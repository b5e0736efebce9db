"""Networks that OpenVINO computes on the processor."""

from __future__ import annotations

import sys
from contextlib import suppress
from dataclasses import replace
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

    from facelime_cli.answering.runtimes import Classifier, How
    from facelime_cli.store.artifacts import Artifact

PRECISIONS = {"float32": "f32", "bfloat16": "bf16"}


class Network:
    """A network as a callable on the processor.

    It is compiled for the shape of the batches, which is faster than for any.

    Parameters
    ----------
    path : pathlib.Path
        In OpenVINO's format, or an ONNX file.
    precision : str
        `float32` or `bfloat16`.
    output : str, optional
        The name of the output that it answers with, instead of its first.

    Raises
    ------
    BrokenError
        Where the file cannot be loaded.
    """

    def __init__(self, path: Path, precision: str, output: str | None = None) -> None:
        import openvino

        self._core = openvino.Core()
        # Read now: what was looked at is what is compiled, for every size of the batch.
        try:
            self._network = self._core.read_model(path)
        except Exception as why:  # its exceptions have no common kind
            raise BrokenError(
                f"{path.name} cannot be loaded by OpenVINO ({told(why)}); import the model again."
            ) from why
        self._hints = {
            "INFERENCE_PRECISION_HINT": PRECISIONS[precision],
            "INFERENCE_NUM_THREADS": machine.cores(),
            # Pinned, the shards of one machine would all take the same cores.
            "ENABLE_CPU_PINNING": False,
        }
        self._output = 0 if output is None else output
        self._compiled: dict[tuple[int, ...], Any] = {}

    def __call__(self, values: NDArray[np.float32]) -> Any:
        """Answer a batch."""
        return self._for(values.shape)(values, share_inputs=True)[self._output]

    def make_ready(self, batch: int) -> None:
        """Compile for a size of batch before there is one.

        Parameters
        ----------
        batch : int
        """
        # What cannot be compiled is told when it is asked.
        with suppress(Exception):
            axes = list(self._network.inputs[0].partial_shape)[1:]
            if all(axis.is_static for axis in axes):
                self._for((batch, *(axis.get_length() for axis in axes)))

    def _for(self, shape: tuple[int, ...]) -> Any:
        if shape not in self._compiled:
            shaped = self._network.clone()
            shaped.reshape(list(shape))
            self._compiled.clear()  # the network of another batch size
            self._compiled[shape] = self._core.compile_model(shaped, "CPU", self._hints)
        return self._compiled[shape]


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
        network = Network(path, how.precision, output_of(model.facts))

    def looking() -> Network:
        with file_for(model, "openvino", "features.xml", versions, reads(how), features=True) as path:
            return Network(path, FLOAT32)

    engine = {"runtime": "openvino", "version": openvino.__version__}
    return replace(whole_pictures(model, how, network, engine, looking), make_ready=network.make_ready)
