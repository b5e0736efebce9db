"""PyTorch networks: loaded, put on the device, between display space and probabilities."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from facelime_cli.answering import programs, python_modules
from facelime_cli.answering.around import Around, told
from facelime_cli.answering.runtimes import BFLOAT16, MOST_IN_BATCH, TORCH_EXPORT, TORCH_MODULE, TORCHSCRIPT, format_of
from facelime_cli.core import shapes
from facelime_cli.errors import BrokenError, FacelimeError
from facelime_cli.models.backbones import SOFTMAX, scaling_of
from facelime_cli.models.wrapping import BOTH_SIDES, GREY, LUMINANCE
from facelime_cli.store import digests

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from facelime_cli.answering.runtimes import How
    from facelime_cli.core.shapes import Sides
    from facelime_cli.store.artifacts import Artifact

PROCESSOR, CUDA, MPS = "cpu", "cuda", "mps"
FLOAT32_WEIGHTS = "float32"
WEIGHTS = (FLOAT32_WEIGHTS, "float64", "float16", "bfloat16")
"""What the weights of a network may be, as `torch` names it."""


class OtherAnswersError(FacelimeError):
    """A network takes pictures, but what it answers is not one column per class."""


@dataclass(frozen=True)
class Reading:
    """How a network takes its pictures, beside what `Around` says.

    Attributes
    ----------
    batch : int or None
        Pictures per call, where the network takes no other number.
    dtype : str
        That of its weights and of what it reads, as `torch` names it.
    channels_last : bool
        Whether it takes pictures whose channels lie together in memory, as processors like them.
    """

    batch: int | None = None
    dtype: str = FLOAT32_WEIGHTS
    channels_last: bool = True

    def facts(self) -> dict[str, Any]:
        """Return this as facts of a model, where `read` finds it; what is usual is left out.

        Returns
        -------
        dict
        """
        usual = asdict(Reading())
        return {"reading": {key: value for key, value in asdict(self).items() if value != usual[key]}}

    @staticmethod
    def read(model: Artifact) -> Reading:
        """Return what the facts of a stored model say.

        Parameters
        ----------
        model : Artifact

        Returns
        -------
        Reading

        Raises
        ------
        BrokenError
            Where they say something that no import has written.
        """
        try:
            found = Reading(**model.facts["reading"])
        except (KeyError, TypeError) as why:
            raise BrokenError(f"{model.reference} does not say how it takes pictures; import it again.") from why
        is_batch = found.batch is None or (isinstance(found.batch, int) and 0 < found.batch <= MOST_IN_BATCH)
        if not is_batch or found.dtype not in WEIGHTS or not isinstance(found.channels_last, bool):
            raise BrokenError(f"{model.reference} says of its pictures {asdict(found)}; import it again.")
        return found


def module_of(model: Artifact, how: How) -> Any:
    """Return a model as a PyTorch module that reads display space, on the device and ready to answer.

    Parameters
    ----------
    model : Artifact
        Of the format `torch-export`, `torchscript` or `torch-module`.
    how : How

    Returns
    -------
    torch.nn.Module
        Its attribute `own` is the user's module. `scores(display)` are its raw answers, before what facelime puts
        behind; `forward(display)` are probabilities. Both read (B, H, W, 3) float32 from 0 to 255.

    Raises
    ------
    FacelimeError
        Where it cannot be loaded, or this user does not trust it.
    """
    return surrounded(
        own_of(model),
        Around.read(model.facts),
        Reading.read(model),
        what=model.reference,
        resize_to=shapes.sides(model.facts["size"]) if how.resize_from else None,
        precision=how.precision,
    )


def device() -> Any:
    """Return where PyTorch computes: on an NVIDIA card, on Apple's graphics processor, or on the processor.

    Returns
    -------
    torch.device
    """
    import torch

    if torch.cuda.is_available():
        return torch.device(CUDA)
    return torch.device(MPS if torch.backends.mps.is_available() else PROCESSOR)


def on_accelerator() -> bool:
    """Tell whether PyTorch computes on something other than the processor.

    Returns
    -------
    bool
    """
    return bool(device().type != PROCESSOR)


# Loading


def own_of(model: Artifact) -> Any:
    """Return the user's own module of a stored model, on the processor.

    Parameters
    ----------
    model : Artifact

    Returns
    -------
    torch.nn.Module

    Raises
    ------
    FacelimeError
        Where it cannot be loaded, has changed, or this user does not trust it.
    """
    if format_of(model) == TORCH_MODULE:
        reference = programs.reference_in(model)
        modules = python_modules.unchanged(model, reference)
        programs.require(model, programs.in_function(reference, modules))
        built = built_by(python_modules.function(reference, modules), reference)
        if digest(built) != model.facts["state"]:
            raise FacelimeError(
                f"{reference} builds a network with other weights than when models/{model.id} was imported; let it "
                "load its weights from a file, or import it again."
            )
        return built
    with programs.opened(model) as (path, _):
        return LOADERS[format_of(model)](path, model.reference)


def exported(path: Path, what: str) -> Any:
    """Return the module of an exported program.

    Parameters
    ----------
    path : pathlib.Path
    what : str
        Its name in errors.

    Returns
    -------
    torch.nn.Module

    Raises
    ------
    BrokenError
        Where it cannot be loaded.
    """
    from torch.fx import GraphModule

    program = placed(program_in(path, what))
    # Checks of the input's shape would stand in the way of a graph; the import has read the shape from the program.
    unchecked = {"check_guards": False} if "check_guards" in inspect.signature(program.module).parameters else {}
    guarded = program.module(**unchecked)
    net = GraphModule(guarded, guarded.graph)
    for each in net.modules():
        each.training = False
    return net


def placed(program: Any) -> Any:
    """Return an exported program on the device.

    Parameters
    ----------
    program : torch.export.ExportedProgram

    Returns
    -------
    torch.export.ExportedProgram
    """
    where = device()
    if any(each.device.type != where.type for each in program.state_dict.values()):
        from torch.export.passes import move_to_device_pass

        return move_to_device_pass(program, str(where))
    return program


def program_in(path: Path, what: str) -> Any:
    """Return an exported program as PyTorch loads it.

    Parameters
    ----------
    path : pathlib.Path
    what : str
        Its name in errors.

    Returns
    -------
    torch.export.ExportedProgram

    Raises
    ------
    BrokenError
        Where it cannot be loaded.
    """
    import torch

    try:
        return torch.export.load(str(path))
    except Exception as why:  # its exceptions have no common kind
        raise BrokenError(
            f"{what} cannot be loaded as an exported program of PyTorch {torch.__version__} ({told(why)}); "
            "export it again with torch.export.save, with this version."
        ) from why


def scripted(path: Path, what: str) -> Any:
    """Return the module in a TorchScript file.

    Parameters
    ----------
    path : pathlib.Path
    what : str
        Its name in errors.

    Returns
    -------
    torch.jit.ScriptModule

    Raises
    ------
    BrokenError
        Where it cannot be loaded.
    """
    import torch

    try:
        return torch.jit.load(str(path), map_location=PROCESSOR).eval()
    except Exception as why:  # its exceptions have no common kind
        raise BrokenError(
            f"{what} cannot be loaded as TorchScript by PyTorch {torch.__version__} ({told(why)}); "
            "save it again with torch.jit.save."
        ) from why


LOADERS: dict[str, Callable[[Path, str], Any]] = {TORCH_EXPORT: exported, TORCHSCRIPT: scripted}
"""What loads a file of each format."""


def built_by(found: Any, reference: str) -> Any:
    """Return the module that a callable without arguments returns, or that a name stands for itself.

    Parameters
    ----------
    found : callable
        What `package.module:build` names.
    reference : str
        Its name in errors.

    Returns
    -------
    torch.nn.Module
        On the processor, in evaluation mode.

    Raises
    ------
    FacelimeError
        Where it fails, or returns something else.
    """
    import torch

    net = found
    if not isinstance(found, torch.nn.Module):
        with python_modules.running(f"{reference} fails to build its network"):
            net = found()
    if not isinstance(net, torch.nn.Module):
        raise FacelimeError(
            f"{reference} returns {type(net).__name__} and no torch.nn.Module; let it build and return the network, "
            "or leave --scaling out if it is a function of arrays."
        )
    return net.to(PROCESSOR).eval()


def digest(net: Any) -> str:
    """Return the digest of a module's weights and buffers.

    Parameters
    ----------
    net : torch.nn.Module

    Returns
    -------
    str
    """
    import torch

    values = {}
    for name, each in net.state_dict().items():
        if isinstance(each, torch.Tensor):
            plain = each.detach().cpu().contiguous()
            content = plain.reshape(-1).view(torch.uint8).numpy().tobytes()
            values[name] = [str(plain.dtype), list(plain.shape), digests.of_bytes(content)]
    return digests.of_value(values)


# What stands around


def surrounded(
    own: Any, around: Around, reading: Reading, *, what: str, resize_to: Sides | None, precision: str
) -> Any:
    """Return a module between display space and probabilities, on the device.

    Parameters
    ----------
    own : torch.nn.Module
        The user's module.
    around : Around
    reading : Reading
    what : str
        Its name in errors.
    resize_to : (int, int), optional
        Height and width that the module reads, where the pictures may have others.
    precision : str
        One of `PRECISIONS`.

    Returns
    -------
    torch.nn.Module
        As `module_of` says.
    """
    import torch

    where = device()
    dtype = getattr(torch, reading.dtype)
    own = own.to(device=where, dtype=dtype)
    # Channels that lie together: fast on processors, and on cards with what multiplies 16 bits or TF32.
    is_last = reading.channels_last and _likes_channels_last(where.type, precision)
    memory_format = torch.channels_last if is_last else torch.contiguous_format
    made = _network_class()(own.to(memory_format=memory_format), around, reading, what)
    made.memory_format = memory_format
    made.resize_to = resize_to
    made.autocast = torch.bfloat16 if precision == BFLOAT16 else None
    return made.to(where)


def _likes_channels_last(kind: str, precision: str) -> bool:
    return kind == PROCESSOR or (kind == CUDA and precision != FLOAT32_WEIGHTS)


@cache
def _network_class() -> Any:
    """Return the class of modules that stand around others; PyTorch is imported now."""
    import torch

    class Network(torch.nn.Module):  # type: ignore[misc]
        """From display space to probabilities."""

        def __init__(self, own: Any, around: Around, reading: Reading, what: str) -> None:
            super().__init__()
            # Each loader has put the module into evaluation mode; an exported program has no other, and refuses both.
            self.training = False
            self.own = own
            self.around, self.reading, self.what = around, reading, what
            scaling = scaling_of(around.scaling)
            for name, values in (("scale", scaling.scale), ("offset", scaling.offset), ("luminance", LUMINANCE)):
                self.register_buffer(name, torch.tensor(values, dtype=torch.float32), persistent=False)

        def scores(self, display: Any) -> Any:
            """Return the module's own answers, float32: (B, C), or (B, 1) for a single unit."""
            return self.scores_of(self.own, model_input(self, display))

        def scores_of(self, run: Callable[[Any], Any], x: Any) -> Any:
            """Return what the module, or its graph, answers to its own input."""
            with self.rounding():
                calls = calls_of(x, self.reading.batch)
                answers = [_scores(run(each), len(each), self.around, self.what) for each in calls]
            return (answers[0] if len(answers) == 1 else torch.cat(answers))[: len(x)].float()

        def rounding(self, **settings: Any) -> Any:
            """Return what multiplies with 16 bits inside, where the precision says so."""
            where = self.scale.device.type
            return nullcontext() if self.autocast is None else torch.autocast(where, self.autocast, **settings)

        def forward(self, display: Any) -> Any:
            """Return (B, C) float32 probabilities."""
            return self.probabilities_of(self.scores(display))

        def probabilities_of(self, values: Any) -> Any:
            """Return what stands for the module's own answers: themselves, where they are values."""
            if self.around.values:
                return values
            if self.around.activation is not None:
                values = torch.softmax(values, 1) if self.around.activation == SOFTMAX else torch.sigmoid(values)
            return torch.cat([1 - values, values], 1) if values.shape[1] == 1 else values

    return Network


def model_input(net: Any, display: Any) -> Any:
    """Return what the first layer of a network's module gets.

    Parameters
    ----------
    net : Network
        From `module_of`.
    display : (B, H, W, 3) float32 tensor
        0 to 255.

    Returns
    -------
    tensor
    """
    import torch
    from torch.nn.functional import interpolate

    around, x = net.around, display
    if net.resize_to is not None and net.resize_to != tuple(x.shape[1:3]):
        x = interpolate(x.permute(0, 3, 1, 2), net.resize_to, mode="bilinear", antialias=True).permute(0, 2, 3, 1)
    if around.channels == GREY:
        x = (x * net.luminance).sum(-1, keepdim=True)
    # Before the scaling, as in `compose.model_input`.
    if scaling_of(around.scaling).reverse:
        x = x.flip(-1)
    x = _scaled(x, net.scale, net.offset)
    if around.channels_first:
        x = x.permute(0, 3, 1, 2).contiguous(memory_format=net.memory_format)
    return x.to(getattr(torch, net.reading.dtype))


def _scaled(x: Any, scale: Any, offset: Any) -> Any:
    """Return (B, H, W, C) × scale + offset; by whole rows, since a processor is slow with three numbers at a time."""
    import torch

    _, _, width, channels = x.shape
    scales, offsets = (values.expand(channels).repeat(width) for values in (scale, offset))
    return torch.addcmul(offsets, x.flatten(2), scales).view(x.shape)


def calls_of(x: Any, batch: int | None) -> list[Any]:
    """Return the inputs of the calls that a module takes a batch in; the last one is padded.

    Parameters
    ----------
    x : tensor
    batch : int or None
        Pictures per call, where the module takes no other number.

    Returns
    -------
    list of tensor
    """
    import torch

    if batch is None or batch == len(x):
        return [x]
    spare = x[-1:].expand(-len(x) % batch, *x.shape[1:])
    return list(torch.cat([x, spare]).split(batch))


def _scores(found: Any, batch: int, around: Around, what: str) -> Any:
    """Return the answers among what a module returns, one row for each picture."""
    named = named_answers(found)
    return named[_chosen(named, batch, around, what)].reshape(batch, -1)


def name_of_scores(net: Any, found: Any) -> str:
    """Return the name of the answers among what the module of a `Network` returns.

    Parameters
    ----------
    net : Network
    found : object

    Returns
    -------
    str
    """
    named = named_answers(found)
    batch = max(len(each) for each in named.values() if each.ndim)
    return _chosen(named, batch, net.around, net.what)


def named_answers(found: Any) -> dict[str, Any]:
    """Return the arrays in what a module returns by name.

    Parameters
    ----------
    found : object
        A tensor, or tuples and mappings of tensors.

    Returns
    -------
    dict
    """
    return dict(_named(found, ""))


def _chosen(named: Mapping[str, Any], batch: int, around: Around, what: str) -> str:
    """Return the name of the only array with a row for each picture and a column for each class."""
    columns = "one column per value of --names" if around.values else "one column per class of --classes"
    asked = {name: each for name, each in named.items() if around.output in {None, name}}
    fitting = _fitting(asked, batch, around)
    if len(fitting) == 1:
        return fitting[0]
    if len(asked) == 1:
        (shape,) = [tuple(each.shape) for each in asked.values()]
        raise OtherAnswersError(
            f"{what} answers {batch} pictures with an array of {shape}; it should be {(batch, around.classes)}, "
            f"{columns}."
        )
    shown = ", ".join(f"{name} {tuple(each.shape)}" for name, each in named.items()) or "none"
    raise OtherAnswersError(
        f"{what} answers {batch} pictures with these arrays: {shown}; name one of {(batch, around.classes)}, "
        f"{columns}, with --output."
    )


def _fitting(named: Mapping[str, Any], batch: int, around: Around) -> list[str]:
    """Return the names of arrays with a column for each class; of two classes, one column may stand for both."""
    columns = {name: _columns(each, batch) for name, each in named.items()}
    full = [name for name, found in columns.items() if found == around.classes]
    has_both_in_one = around.classes == BOTH_SIDES and not around.values
    # Beside one unit for each class, a single one is something else.
    return full or [name for name, found in columns.items() if has_both_in_one and found == 1]


def _named(found: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Yield the arrays in what a module returns, each with its name: the key or the place, after those around it."""
    import torch

    if isinstance(found, torch.Tensor):
        yield name or "output", found
        return
    parts: Any = ()
    if isinstance(found, Mapping):
        parts = found.items()
    elif isinstance(found, (tuple, list)):
        parts = zip(getattr(found, "_fields", range(len(found))), found, strict=True)
    for key, each in parts:
        yield from _named(each, f"{name}.{key}" if name else str(key))


def _columns(answers: Any, batch: int) -> int | None:
    """Return how many numbers each picture has; None for maps, and for what is no answer to these pictures."""
    shape = tuple(answers.shape)
    if shape[:1] != (batch,) or any(side != 1 for side in shape[2:]):
        return None
    return int(math.prod(shape[1:]))
