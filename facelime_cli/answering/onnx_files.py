"""ONNX files, and what ONNX Runtime computes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from facelime_cli import machine
from facelime_cli.answering.around import output_of, told
from facelime_cli.answering.converting import FEATURES_FILE, file_for
from facelime_cli.answering.inputs import in_calls_of, layout_of
from facelime_cli.answering.whole_pictures import reads, whole_pictures
from facelime_cli.errors import BrokenError, FacelimeError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from facelime_cli.answering.around import Run
    from facelime_cli.answering.runtimes import Classifier, How
    from facelime_cli.store.artifacts import Artifact


def session_of(path: Path) -> Any:
    """Return ONNX Runtime's session for a file: on a graphics card where its package has one, with TF32 off.

    Parameters
    ----------
    path : pathlib.Path

    Returns
    -------
    onnxruntime.InferenceSession

    Raises
    ------
    BrokenError
        Where the file cannot be loaded.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = machine.cores()
    options.log_severity_level = 3
    available = onnxruntime.get_available_providers()
    wanted: dict[str, dict[str, str]] = {"CUDAExecutionProvider": {"use_tf32": "0"}, "CPUExecutionProvider": {}}
    providers = [(name, its) for name, its in wanted.items() if name in available]
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=providers)
    except Exception as why:  # its exceptions have no common kind
        raise BrokenError(f"{path.name} cannot be loaded as an ONNX model ({told(why)}); export it again.") from why


KINDS = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(double)": "float64",
    "tensor(uint8)": "uint8",
}
"""What an input may hold, as ONNX Runtime and as NumPy name it."""


def run_of(session: Any, output: str | None = None) -> Run:
    """Return a session as a callable.

    A file with a fixed number of pictures per call is called as often as needed.

    Parameters
    ----------
    session : onnxruntime.InferenceSession
    output : str, optional
        The name of the output that it answers with, instead of its only one.

    Returns
    -------
    callable
    """
    wanted = [output or session.get_outputs()[0].name]
    given = session.get_inputs()[0]
    fixed = given.shape[0] if isinstance(given.shape[0], int) else None

    def once(values: NDArray[Any]) -> Any:
        return session.run(wanted, {given.name: values})[0]

    return in_calls_of(fixed, once)


@dataclass(frozen=True)
class Input:
    """What pictures an ONNX file reads.

    Attributes
    ----------
    sides : (int or None, int or None)
        Height and width in pixels; None for what is open.
    channels : int
    channels_first : bool
    dtype : str
        As NumPy names it.
    """

    sides: tuple[int | None, int | None]
    channels: int
    channels_first: bool
    dtype: str


def input_of(session: Any, name: str) -> Input:
    """Return what pictures an ONNX file reads.

    Parameters
    ----------
    session : onnxruntime.InferenceSession
    name : str
        Of the file, in errors.

    Returns
    -------
    Input

    Raises
    ------
    FacelimeError
        Where it cannot be explained.
    """
    inputs = session.get_inputs()
    if len(inputs) != 1:
        raise FacelimeError(f"{name} has {len(inputs)} inputs; facelime explains networks with one picture in.")
    shape, kind = inputs[0].shape, inputs[0].type
    layout = layout_of(shape)
    if layout is None or kind not in KINDS:
        raise FacelimeError(
            f"{name} reads {kind} of {shape}; "
            f"it should read {', '.join(KINDS.values())} of (batch, height, width, 1 or 3) or "
            "(batch, 1 or 3, height, width)."
        )
    height, width, channels, is_first = layout
    # An open side has a name, or none.
    height, width = (side if isinstance(side, int) else None for side in (height, width))
    return Input((height, width), int(channels), is_first, KINDS[kind])


def with_onnx(model: Artifact, how: How) -> Classifier:
    """Return a model that ONNX Runtime runs, converted first where it is a Keras network.

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
        Where it cannot be converted or loaded.
    """
    import onnxruntime

    versions = {"onnxruntime": onnxruntime.__version__}
    with file_for(model, "onnx", "model.onnx", versions, reads(how)) as path:
        session = session_of(path)
    engine = {"runtime": "onnx", "version": onnxruntime.__version__, "providers": session.get_providers()}

    def looking() -> Run:
        with file_for(model, "onnx", FEATURES_FILE, versions, reads(how), features=True) as path:
            return run_of(session_of(path))

    return whole_pictures(model, how, run_of(session, output_of(model.facts)), engine, looking)
