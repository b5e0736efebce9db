"""TFLite files, and what their interpreter computes."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np

from facelime_cli import machine
from facelime_cli.answering import programs
from facelime_cli.answering.around import READABLE, output_of, told
from facelime_cli.answering.inputs import in_calls_of, layout_of
from facelime_cli.answering.whole_pictures import whole_pictures
from facelime_cli.errors import BrokenError, FacelimeError
from facelime_cli.models import backend, outputs

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from facelime_cli.answering.around import Run
    from facelime_cli.answering.runtimes import Classifier, How
    from facelime_cli.store.artifacts import Artifact

PACKAGE = "ai-edge-litert"
OPEN = -1
"""A side whose length is open."""


@dataclass(frozen=True)
class Steps:
    """How numbers are written as integers: number = (integer - zero) · step.

    Attributes
    ----------
    step : float
        0 where they stand as they are.
    zero : int
    kind : numpy.dtype
    """

    step: float
    zero: int
    kind: np.dtype[Any]

    @staticmethod
    def of(details: dict[str, Any]) -> Steps:
        """Return those of an input or an output, as the interpreter describes it."""
        step, zero = details["quantization"]
        return Steps(float(step), int(zero), np.dtype(details["dtype"]))

    def written(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return numbers as the nearest integers that there are."""
        if not self.step:
            return np.ascontiguousarray(values, self.kind)
        ends = np.iinfo(self.kind)
        integers: NDArray[Any] = np.clip(np.rint(values / self.step) + self.zero, ends.min, ends.max)
        return integers.astype(self.kind)

    def read(self, values: NDArray[Any]) -> NDArray[np.float32]:
        """Return integers as the numbers that they stand for."""
        if not self.step:
            return values.astype(np.float32)
        return (values.astype(np.float32) - self.zero) * np.float32(self.step)


class Net:
    """A TFLite file, ready to answer.

    Parameters
    ----------
    path : pathlib.Path
        It is read now: what was looked at is what runs.
    what : str
        Its name in errors.
    output : str, optional
        The name of the output that it answers with, instead of its only one.

    Raises
    ------
    FacelimeError
        Where it cannot be loaded, or cannot be explained.
    """

    def __init__(self, path: Path, what: str, output: str | None = None) -> None:
        # It says on stderr which instructions it uses.
        with backend.silent_stderr():
            self._interpreter = _interpreter(path, what)
        inputs = self._interpreter.get_input_details()
        if len(inputs) != 1:
            raise FacelimeError(f"{what} has {len(inputs)} inputs; facelime explains networks with one picture in.")
        self._input, self.steps_in = inputs[0], Steps.of(inputs[0])
        shape = [int(side) for side in _signature(inputs[0])]
        layout = layout_of(shape)
        if layout is None or not (self.steps_in.step or self.steps_in.kind.name in READABLE):
            raise FacelimeError(
                f"{what} reads {self.steps_in.kind.name} of {shape}; it should read {', '.join(READABLE)} or quantised "
                "integers of (batch, height, width, 1 or 3) or (batch, 1 or 3, height, width)."
            )
        height, width, self.channels, self.channels_first = layout
        self.sides = None if height == OPEN else height, None if width == OPEN else width
        self._number = None if shape[0] == OPEN else shape[0]
        answers = _outputs(self._interpreter)
        self._output = list(answers.values())[outputs.place_of(output, list(answers), what)]
        self.steps_out = Steps.of(self._output)

    @property
    def reads(self) -> str:
        """The dtype of what it is called with: float32 where it writes it as integers itself."""
        return "float32" if self.steps_in.step else self.steps_in.kind.name

    def run(self) -> Run:
        """Return it as a callable, for any number of pictures."""
        return in_calls_of(self._number, self._once)

    def _once(self, values: NDArray[Any]) -> NDArray[np.float32]:
        place, written = self._input["index"], self.steps_in.written(values)
        with backend.silent_stderr():
            if tuple(self._interpreter.get_input_details()[0]["shape"]) != written.shape:
                self._interpreter.resize_tensor_input(place, written.shape)
            self._interpreter.allocate_tensors()
        self._interpreter.set_tensor(place, written)
        self._interpreter.invoke()
        return self.steps_out.read(self._interpreter.get_tensor(self._output["index"]))


def _interpreter(path: Path, what: str) -> Any:
    from ai_edge_litert.interpreter import Interpreter

    try:
        found = Interpreter(model_content=path.read_bytes(), num_threads=machine.cores())
        found.allocate_tensors()
    except (ValueError, RuntimeError, OSError) as why:
        raise BrokenError(
            f"{what} cannot be loaded as a TFLite model ({told(why)}); convert it again, with TFLite's built-in "
            "operations alone."
        ) from why
    return found


def _signature(details: dict[str, Any]) -> Any:
    """Return the shape of an input in which open sides are open; old files only have one that is not."""
    signature = details.get("shape_signature")
    return details["shape"] if signature is None or len(signature) == 0 else signature


def _outputs(interpreter: Any) -> dict[str, dict[str, Any]]:
    """Return the outputs by name: those of its signature, which its maker gave, else those of its tensors."""
    every = {int(each["index"]): each for each in interpreter.get_output_details()}
    signatures = list(interpreter.get_signature_list())
    if len(signatures) == 1:
        named = interpreter.get_signature_runner(signatures[0]).get_output_details()
        found = {str(name): every.get(int(each["index"])) for name, each in named.items()}
        if len(found) == len(every) and None not in found.values():
            return {name: each for name, each in found.items() if each is not None}
    return {str(each["name"]): each for each in every.values()}


def with_tflite(model: Artifact, how: How) -> Classifier:
    """Return a model that TFLite's interpreter runs on the processor.

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
        Where it cannot be loaded.
    """
    with programs.opened(model) as (path, _):
        net = Net(path, model.reference, output_of(model.facts))
    return whole_pictures(model, how, net.run(), {"runtime": "tflite", "version": version(PACKAGE)})
