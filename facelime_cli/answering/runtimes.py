"""What computes a model's answers: one table of runtimes, one of formats, and what goes with what."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from facelime_cli.choices import Entry, loaded, table
from facelime_cli.core import shapes
from facelime_cli.errors import BrokenError, CommandLineError, FacelimeError
from facelime_cli.models.backbones import SIGMOID, YES_OR_NO
from facelime_cli.plain import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy as np
    from numpy.typing import NDArray

    from facelime_cli.core.shapes import Sides, Size
    from facelime_cli.store.artifacts import Artifact

FLOAT32, TF32, BFLOAT16 = "float32", "tf32", "bfloat16"
PRECISIONS = (FLOAT32, TF32, BFLOAT16)
MOST_IN_BATCH = 16_384
"""Pictures in one call of a network."""
LONGEST_UNIT = 24
"""Characters that may stand behind a number."""


# Formats

KERAS, SAVED_MODEL, ONNX, FUNCTION = "keras", "saved-model", "onnx", "function"
TFLITE = "tflite"
TORCH_EXPORT, TORCHSCRIPT, TORCH_MODULE = "torch-export", "torchscript", "torch-module"
TORCH_FORMATS = (TORCH_EXPORT, TORCHSCRIPT, TORCH_MODULE)


@dataclass(frozen=True, kw_only=True)
class Format(Entry):
    """A format of models: the fact `format`. Its function checks a source that is to be imported.

    Attributes
    ----------
    file : str
        Name of the file or folder that a model's artifact holds; empty where it holds none.
    warning : str
        What to say before a source is loaded, with `{source}` in the place of its name.
    layers : str
        Where the function is that looks into a model's layers: `module:name`; empty where nothing can.
    attends : bool
        Whether the attention of its layers can be read too.
    instead : str
        Where nothing can: what has layers that show.
    features : bool
        Whether what its last layer reads can be had, by which pictures are told that it does not know.
    """

    file: str = ""
    warning: str = ""
    layers: str = ""
    attends: bool = False
    instead: str = "networks of Keras and PyTorch show theirs"
    features: bool = False

    @property
    def is_named(self) -> bool:
        """Whether a model is code that is named, package.module:function, and no file."""
        return not self.file


FORMATS = table(
    Format(
        name=KERAS,
        features=True,
        words="a Keras network",
        function="facelime_cli.importing.keras_files:from_keras",
        file="model.keras",
        layers="facelime_cli.answering.keras_layers:of",
    ),
    Format(
        name=SAVED_MODEL,
        words="a TensorFlow SavedModel",
        function="facelime_cli.importing.saved_models:from_saved_model",
        file="saved_model",
        warning="{source} is a program for TensorFlow, which may read and write files; import only what you trust.",
    ),
    Format(
        name=ONNX,
        features=True,
        words="an ONNX file",
        function="facelime_cli.importing.onnx_files:from_onnx",
        file="model.onnx",
    ),
    Format(
        name=TFLITE,
        words="a TFLite file",
        function="facelime_cli.importing.tflite_files:from_tflite",
        file="model.tflite",
    ),
    Format(
        name=FUNCTION,
        words="a Python function",
        function="facelime_cli.importing.functions:from_function",
        warning=(
            "{source} is Python code, which runs on this machine with your rights, now and with every `predict`; "
            "you name it, so it counts as trusted until its source changes (`facelime trust list`)."
        ),
    ),
    Format(
        name=TORCH_EXPORT,
        features=True,
        words="an exported PyTorch program",
        function="facelime_cli.importing.torch_files:from_program",
        file="model.pt2",
        layers="facelime_cli.answering.torch_layers:of",
        attends=True,
        warning="{source} is a program for PyTorch, which runs with your rights; import only what you trust.",
    ),
    Format(
        name=TORCHSCRIPT,
        features=True,
        words="a TorchScript file",
        function="facelime_cli.importing.torch_files:from_script",
        file="model.pt",
        instead="import the module itself (package.module:build), or export it with torch.export",
        warning="{source} is a program for PyTorch, which runs with your rights; import only what you trust.",
    ),
    Format(
        name=TORCH_MODULE,
        features=True,
        words="a PyTorch module that Python builds",
        function="facelime_cli.importing.torch_files:from_module",
        layers="facelime_cli.answering.torch_layers:of",
        attends=True,
        warning=(
            "{source} is Python code, which runs on this machine with your rights, now and with every `predict`; "
            "you name it, so it counts as trusted until its source changes (`facelime trust list`)."
        ),
    ),
)


def format_of(model: Artifact) -> str:
    """Return the format of a model.

    Parameters
    ----------
    model : Artifact

    Returns
    -------
    str
        A key of `FORMATS`. A model that says nothing is Keras' own.

    Raises
    ------
    BrokenError
        For another format.
    """
    form = str(model.facts.get("format", KERAS))
    if form not in FORMATS:
        raise BrokenError(
            f"{model.reference} is of the format {form!r}, which this version of facelime does not know; "
            "import it again."
        )
    return form


def independent(model: Artifact) -> bool:
    """Return whether the probabilities of a model's classes stand for themselves and need not add up to 1.

    Parameters
    ----------
    model : Artifact
        A trained or an imported one.

    Returns
    -------
    bool
        Then each class is a finding that a picture may have or not, beside others.
    """
    if model.facts.get("multilabel") is True or model.parameters.get("multi_label") is True:
        return True
    # One sigmoid unit may stand for two classes. More classes have one each.
    return model.facts.get("output") == SIGMOID and len(model.facts["classes"]) > YES_OR_NO


def n_members(model: Artifact) -> int:
    """Return of how many networks a model's answers are the mean.

    Parameters
    ----------
    model : Artifact

    Returns
    -------
    int
        0 for a model of one network.
    """
    return len(model.facts["folds"]) if model.facts.get("ensemble") is True else 0


def require_answering(model: Artifact) -> None:
    """Raise where a model has a network for each fold, and none that answers for all.

    Parameters
    ----------
    model : Artifact

    Raises
    ------
    FacelimeError
        It says how to get one that answers.
    """
    if "folds" in model.facts and not n_members(model):
        raise FacelimeError(
            f"models/{model.id} holds a network for each of {len(model.facts['folds'])} folds and none that answers "
            "for all; repeat its `finetune` with --ensemble, which takes these networks as they are, "
            "or train one with --fold 0."
        )


VALUE = "value"
"""The fact `output` of a model that answers with numbers in a unit of their own, not with probabilities."""


def answers_values(model: Artifact) -> bool:
    """Return whether a model answers with values, such as an age, instead of probabilities.

    Parameters
    ----------
    model : Artifact
        A trained or an imported one, or what was made with it.

    Returns
    -------
    bool
        Then its `classes` are the names of the values.
    """
    return model.facts.get("output") == VALUE


def unit_of(model: Artifact) -> str:
    """Return the unit of the values that a model answers with.

    Parameters
    ----------
    model : Artifact

    Returns
    -------
    str
        Such as `months`; empty where there is none, and for a model of classes.

    Raises
    ------
    BrokenError
        For what no import has written.
    """
    if not answers_values(model):
        return ""
    unit = model.facts.get("unit", "")
    if not is_unit(unit):
        raise BrokenError(f"{model.reference} has no unit that can stand behind a number; import it again.")
    return str(unit)


def is_unit(text: Any) -> bool:
    """Return whether something can stand behind a number: a short plain text, or an empty one.

    Parameters
    ----------
    text : object

    Returns
    -------
    bool
    """
    return isinstance(text, str) and shown(text) == text and len(text) <= LONGEST_UNIT


def unit_behind(model: Artifact) -> str:
    """Return the unit of a model's values as it stands behind a number, with a space before it; see `unit_of`."""
    unit = unit_of(model)
    return f" {unit}" if unit else ""


def first_classes(model: Artifact, answers: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return the classes of each picture in the order in which they are explained.

    Parameters
    ----------
    model : Artifact
    answers : (N, C) float32 array
        Its answers for unchanged pictures.

    Returns
    -------
    (N, C) int64 array
        The most probable class first. Values stay in their own order: none of them is more probable than another.
    """
    import numpy as np

    if answers_values(model):
        return np.tile(np.arange(answers.shape[1]), (len(answers), 1))
    return np.argsort(-answers, axis=1, kind="stable")


# Runtimes


@dataclass(frozen=True)
class How:
    """How a model is run.

    Attributes
    ----------
    runtime : str
        A key of `RUNTIMES`.
    precision : str
        One of `PRECISIONS`.
    resize_from : (int, int), optional
        Height and width of the pictures in pixels, where a layer in front must bring them to the model's own size.
    """

    runtime: str
    precision: str
    resize_from: Sides | None = None


@dataclass(frozen=True)
class Classifier:
    """A model that is ready to answer.

    Attributes
    ----------
    forward : callable
        From (B, H, W, 3) values in display space to (B, C) float32 probabilities.
    composed : callable
        From packed masks (B, M) uint8, the picture of each (B,) int32, and what `upload` returned, to the same:
        composition and forward pass in one call.
    upload : callable
        Puts fills and images (U, 2, H·W, 3) uint8 and segments (U, H·W) int32 where `composed` reads them.
    engine : mapping
        What decides the bits of an answer beside the model and the batch.
    prepare : callable, optional
        Where pictures are composed outside of the call: the first half of `composed`, for a thread beside the one that
        calls `answer`. What it returned may be overwritten after it has been called twice more.
    answer : callable, optional
        The second half: from what `prepare` returned to (B, C) float32 probabilities.
    features : callable, optional
        From (B, H, W, 3) float32 values in display space to (B, F) float32 features: what the last layer makes scores
        of. None where they cannot be had. Nothing is loaded for it before the first call.
    make_ready : callable, optional
        Where the first call compiles for a size of batch, and need not wait for one: from that size to nothing.
    """

    forward: Callable[..., NDArray[np.float32]]
    composed: Callable[..., NDArray[np.float32]]
    upload: Callable[[NDArray[np.uint8], NDArray[np.int32]], tuple[Any, Any]]
    engine: Mapping[str, Any]
    prepare: Callable[..., Any] | None = None
    answer: Callable[[Any], NDArray[np.float32]] | None = None
    features: Callable[[NDArray[np.float32]], NDArray[np.float32]] | None = None
    make_ready: Callable[[int], None] | None = None


@dataclass(frozen=True, kw_only=True)
class Runtime(Entry):
    """One way to run models. Its function takes a model and a `How`, and returns a `Classifier`.

    Attributes
    ----------
    precisions : mapping
        From each format that it runs to the precisions it has for it.
    packages : mapping
        From a format to the packages that it needs beyond facelime's own.
    extra : str
        The extra of this package that installs them.
    accelerated : str
        Where the function is that tells whether it computes on an accelerator, `module:name`; empty where none tells.
    """

    precisions: Mapping[str, tuple[str, ...]]
    packages: Mapping[str, tuple[str, ...]]
    extra: str = ""
    accelerated: str = ""


RUNTIMES = table(
    Runtime(
        name="keras",
        words="Keras on its backend",
        function="facelime_cli.answering.keras_networks:with_keras",
        precisions={KERAS: PRECISIONS, SAVED_MODEL: (FLOAT32, TF32)},
        packages={},
        accelerated="facelime_cli.models.backend:on_accelerator",
    ),
    Runtime(
        name="onnx",
        words="ONNX Runtime",
        function="facelime_cli.answering.onnx_files:with_onnx",
        precisions={ONNX: (FLOAT32,), KERAS: (FLOAT32,)},
        packages={ONNX: ("onnxruntime",), KERAS: ("onnxruntime", "onnx", "tf2onnx")},
        extra="onnx",
    ),
    Runtime(
        name="openvino",
        words="OpenVINO, the fastest on many processors",
        function="facelime_cli.answering.openvino_networks:with_openvino",
        precisions={KERAS: (FLOAT32, BFLOAT16), ONNX: (FLOAT32, BFLOAT16)},
        packages={KERAS: ("openvino",), ONNX: ("openvino",)},
        extra="openvino",
    ),
    Runtime(
        name="tflite",
        words="TFLite's interpreter, for files of its own",
        function="facelime_cli.answering.tflite_files:with_tflite",
        precisions={TFLITE: (FLOAT32,)},
        packages={TFLITE: ("ai_edge_litert",)},
        extra="tflite",
    ),
    Runtime(
        name="python",
        words="the imported function itself",
        function="facelime_cli.answering.functions:with_python",
        precisions={FUNCTION: (FLOAT32,)},
        packages={},
    ),
    Runtime(
        name="torch",
        words="PyTorch",
        function="facelime_cli.answering.torch_runtime:with_torch",
        precisions=dict.fromkeys(TORCH_FORMATS, PRECISIONS),
        packages=dict.fromkeys(TORCH_FORMATS, ("torch",)),
        extra="torch",
        accelerated="facelime_cli.answering.torch_networks:on_accelerator",
    ),
)
"""The first that takes a format runs its models by default, and in float32 it is the reference for the others."""
FASTER = {
    "openvino": {
        FLOAT32: {"MobileNetV2": 1.3, "InceptionV3": 1.1},
        BFLOAT16: {"MobileNetV2": 2.7, "InceptionV3": 1.9},
    }
}
"""Evaluations per second, divided by those of Keras in float32: the table in docs/predict.md, where a test compares."""


def usual(model: Artifact) -> How:
    """Return how a model is run when nothing else is asked for: the first runtime for its format, in float32.

    Parameters
    ----------
    model : Artifact

    Returns
    -------
    How
        This is the reference for other runtimes and precisions too.
    """
    require_answering(model)
    its_format = format_of(model)
    able = [name for name, runtime in RUNTIMES.items() if its_format in runtime.precisions]
    return How(able[0], FLOAT32)


def able(form: str, precision: str) -> list[str]:
    """Return the runtimes that run models of a format in a precision, installed or not.

    Parameters
    ----------
    form : str
        A key of `FORMATS`.
    precision : str
        One of `PRECISIONS`.

    Returns
    -------
    list of str
        Keys of `RUNTIMES`, in their order.
    """
    return [name for name, each in RUNTIMES.items() if precision in each.precisions.get(form, ())]


def settle(model: Artifact, runtime: str | None, precision: str) -> str:
    """Return the runtime for a model.

    Parameters
    ----------
    model : Artifact
    runtime : str, optional
        The one that is asked for, a key of `RUNTIMES`.
    precision : str
        One of `PRECISIONS`.

    Returns
    -------
    str
        A key of `RUNTIMES`.

    Raises
    ------
    CommandLineError
        Where it does not run the model's format in this precision.
    """
    chosen = runtime or usual(model).runtime
    its_format = format_of(model)
    found = able(its_format, precision)
    if chosen not in found:
        remedy = f"use --runtime {' or '.join(found)}" if found else f"use --precision {FLOAT32}"
        raise CommandLineError(
            f"--runtime {chosen} does not run {FORMATS[its_format].words} (models/{model.id}) in {precision}; {remedy}."
        )
    return chosen


def check_installed(name: str, form: str) -> None:
    """Raise when a runtime's packages for a format are not installed.

    Parameters
    ----------
    name : str
        A key of `RUNTIMES`.
    form : str
        A key of `FORMATS`.

    Raises
    ------
    FacelimeError
        It says how to install them.
    """
    missing = missing_packages(name, form)
    if missing:
        verb = "is" if len(missing) == 1 else "are"
        raise FacelimeError(
            f"--runtime {name} needs {', '.join(missing)}, which {verb} not installed; "
            f"`{installing(name)}` installs it."
        )


def missing_packages(name: str, form: str) -> list[str]:
    """Return the packages that a runtime needs for a format and that are not installed.

    Parameters
    ----------
    name : str
        A key of `RUNTIMES`.
    form : str
        A key of `FORMATS`.

    Returns
    -------
    list of str
    """
    return [package for package in RUNTIMES[name].packages.get(form, ()) if importlib.util.find_spec(package) is None]


def installing(name: str) -> str:
    """Return the command that installs a runtime.

    Parameters
    ----------
    name : str
        A key of `RUNTIMES` that has an extra.

    Returns
    -------
    str
    """
    return f"python3 -m pip install 'facelime[{RUNTIMES[name].extra}]'"


def on_accelerator(name: str) -> bool:
    """Tell whether a runtime computes on something other than the processor, as far as it tells.

    Parameters
    ----------
    name : str
        A key of `RUNTIMES`.

    Returns
    -------
    bool
    """
    where = RUNTIMES[name].accelerated
    return bool(where) and bool(loaded(where)())


def check_size(model: Artifact, dataset: Artifact, besides: str = ", or add --resize") -> None:
    """Raise when a model reads pictures of another size than a dataset has.

    Parameters
    ----------
    model, dataset : Artifact
    besides : str
        What else the command can do than preprocess again.

    Raises
    ------
    FacelimeError
    """
    check_pictures(f"models/{model.id}", model.facts["size"], dataset, besides)


def check_pictures(what: str, size: Size, dataset: Artifact, besides: str = "") -> None:
    """Raise when pictures of another size are read than a dataset has; as `check_size`.

    Parameters
    ----------
    what : str
        What reads them, in the error.
    size : int or sequence of int
        That it reads.
    dataset : Artifact
    besides : str

    Raises
    ------
    FacelimeError
    """
    found = dataset.facts["size"]
    if shapes.sides(size) != shapes.sides(found):
        raise FacelimeError(
            f"{what} reads pictures of {shapes.shown(size)}, but those of datasets/{dataset.id} are "
            f"{shapes.shown(found)}; preprocess them again with --size {shapes.typed(size)}{besides}."
        )


def load(model: Artifact, how: How, *, members: bool = False) -> Classifier:
    """Return a model ready to answer.

    Parameters
    ----------
    model : Artifact
    how : How
    members : bool
        Whether a model that is the mean of several networks answers with these too, behind its own classes.

    Returns
    -------
    Classifier

    Raises
    ------
    FacelimeError
        Where packages are missing, or the model cannot be loaded or converted.
    """
    check_installed(how.runtime, format_of(model))
    classifier: Classifier = RUNTIMES[how.runtime].load()(model, how)
    if members or not n_members(model):
        return classifier
    return _of_the_mean(classifier, len(model.facts["classes"]))


def _of_the_mean(classifier: Classifier, n_classes: int) -> Classifier:
    """Return a classifier without what the members of a mean say."""

    def forward(*arrays: Any) -> NDArray[np.float32]:
        return classifier.forward(*arrays)[:, :n_classes]

    def composed(*arrays: Any) -> NDArray[np.float32]:
        return classifier.composed(*arrays)[:, :n_classes]

    def answer(prepared: Any) -> NDArray[np.float32]:
        assert classifier.answer is not None
        return classifier.answer(prepared)[:, :n_classes]

    halved = None if classifier.answer is None else answer
    return replace(classifier, forward=forward, composed=composed, answer=halved)
