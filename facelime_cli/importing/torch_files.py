"""PyTorch networks from outside: exported programs, TorchScript files, and modules that Python builds."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from itertools import product
from typing import TYPE_CHECKING, Any

from facelime_cli import trust
from facelime_cli.answering import programs, python_modules, runtimes, torch_features, torch_networks
from facelime_cli.answering.around import FUNCTION_SCALING, Around, contained, told
from facelime_cli.answering.runtimes import FLOAT32, TORCH_EXPORT, TORCH_MODULE, TORCHSCRIPT
from facelime_cli.answering.torch_networks import WEIGHTS, OtherAnswersError, Reading
from facelime_cli.core import shapes
from facelime_cli.errors import FacelimeError
from facelime_cli.importing.checked import Checked, around_of, check_consent, facts_of, of_file, size_of
from facelime_cli.models import running, wrapping
from facelime_cli.models.backbones import ACTIVATIONS
from facelime_cli.models.backend import DeviceMemoryError
from facelime_cli.models.wrapping import COLOUR, GREY, IMAGE_AXES
from facelime_cli.store import digests

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from facelime_cli.answering.around import Answers
    from facelime_cli.core.shapes import Size
    from facelime_cli.importing.source import Source
    from facelime_cli.store.artifacts import Artifact

    Layout = tuple[int, bool]

LAYOUTS = ((COLOUR, True), (GREY, True), (COLOUR, False), (GREY, False))
"""Channels, and whether they come first: in the order in which networks of PyTorch are like this."""


def from_program(source: Source) -> Checked:
    """Check an exported program.

    Parameters
    ----------
    source : Source

    Returns
    -------
    Checked

    Raises
    ------
    FacelimeError
        Where it cannot be loaded, its code is not trusted, or its answers are no probabilities.
    """
    runtimes.check_installed("torch", TORCH_EXPORT)
    check_consent(source, programs.in_file(TORCH_EXPORT, source.path))
    what = str(source.path)
    shape = _shape_read(torch_networks.program_in(source.path, what), what)
    layout = _layout_of(shape, what)
    height, width = shape[2:] if layout[1] else shape[1:3]
    return _of_file(source, TORCH_EXPORT, size_of(source, (height, width)), [layout], shape[0])


def from_script(source: Source) -> Checked:
    """Check a TorchScript file.

    Parameters
    ----------
    source : Source

    Returns
    -------
    Checked

    Raises
    ------
    FacelimeError
        As `from_program`.
    """
    runtimes.check_installed("torch", TORCHSCRIPT)
    check_consent(source, programs.in_file(TORCHSCRIPT, source.path))
    return _of_file(source, TORCHSCRIPT, size_of(source, (None, None)), LAYOUTS, None)


def from_module(source: Source) -> Checked:
    """Check a PyTorch module that `package.module:build` returns; this runs the code of its module.

    Parameters
    ----------
    source : Source

    Returns
    -------
    Checked

    Raises
    ------
    FacelimeError
        Where it cannot be built, or its answers are no probabilities.
    """
    runtimes.check_installed("torch", TORCH_MODULE)
    reference = str(source.path)
    modules = python_modules.modules_of(reference)
    found = python_modules.function(reference, modules)
    state = torch_networks.digest(torch_networks.built_by(found, reference))
    size = size_of(source, (None, None))
    facts = {
        **_tried(source, lambda: torch_networks.built_by(found, reference), TORCH_MODULE, size, LAYOUTS, None),
        "function": reference,
        "source": python_modules.source_digest(modules),
        "state": state,
        "model_version": source.model_version,
    }
    if torch_networks.digest(torch_networks.built_by(found, reference)) != state:
        raise FacelimeError(
            f"{reference} builds a network with other weights each time; let it load them from a file, or call "
            "torch.manual_seed in it first."
        )

    def write(artifact: Artifact) -> Sequence[str]:
        # Who names a function on the command line consents to its code as it is now.
        program = programs.in_function(reference, modules)
        trust.add(program.kind, program.digest, artifact.reference)
        return []

    not_covered = (
        f"what {reference.partition(':')[0]} imports, such as packages and other modules; --model-version stands for "
        "them"
    )
    made = {"model": digests.of_value(facts), **facts, "not_covered": not_covered}

    def load() -> Any:
        return torch_networks.built_by(found, reference)

    return Checked(made, write, _answering(load, facts, reference), features=_looking(load, facts, reference))


def _of_file(source: Source, form: str, size: Size, layouts: Sequence[Layout], batch: int | None) -> Checked:
    """Check a file whose code is trusted."""
    what = str(source.path)

    def load() -> Any:
        return torch_networks.LOADERS[form](source.path, what)

    facts = _tried(source, load, form, size, layouts, batch)
    checked = of_file(source, form, facts, _answering(load, facts, what))
    return replace(checked, features=_looking(load, facts, what))


def _answering(load: Callable[[], Any], facts: Mapping[str, Any], what: str) -> Answers:
    """Return what a network that was tried answers to pictures."""
    around, reading, loaded = Around.read(facts), Reading(**facts["reading"]), cache(load)
    return lambda pictures: _answers(loaded(), around, reading, pictures, what)


def _looking(load: Callable[[], Any], facts: Mapping[str, Any], what: str) -> Answers:
    """Return what answers with the features of a network that was tried."""

    @cache
    def features() -> Answers:
        around, reading = Around.read(facts), Reading(**facts["reading"])
        net = torch_networks.surrounded(load(), around, reading, what=what, resize_to=None, precision=FLOAT32)
        return torch_features.features_of(net)

    def call(pictures: NDArray[np.float32]) -> NDArray[np.float32]:
        return features()(pictures)

    return call


def _shape_read(program: Any, what: str) -> list[int | None]:
    """Return the shape that an exported program reads; None for what is open."""
    names = set(program.graph_signature.user_inputs)
    placeholders = [node for node in program.graph.nodes if node.op == "placeholder" and node.name in names]
    shapes_read = [getattr(node.meta["val"], "shape", None) for node in placeholders]
    if len(shapes_read) != 1 or shapes_read[0] is None:
        raise FacelimeError(
            f"{what} reads {len(shapes_read)} inputs; facelime explains networks with one picture in and one vector "
            "out."
        )
    # An open side is a symbol.
    return [side if isinstance(side, int) else None for side in shapes_read[0]]


def _layout_of(shape: list[int | None], what: str) -> Layout:
    """Return the channels of what a program reads, and whether they come first."""
    if len(shape) == IMAGE_AXES:
        for place, is_first in ((1, True), (3, False)):
            channels = shape[place]
            if channels in {GREY, COLOUR}:
                return channels, is_first
    raise FacelimeError(
        f"{what} reads an array of {tuple(shape)}; "
        "it should read (batch, 1 or 3, height, width) or (batch, height, width, 1 or 3)."
    )


def _tried(
    source: Source,
    load: Callable[[], Any],
    form: str,
    size: Size,
    layouts: Sequence[Layout],
    batch: int | None,
) -> dict[str, Any]:
    """Run pictures through a network, in the first way that it takes them, and return its facts."""
    what, pictures = str(source.path), running.trial_pictures(size)
    own = load()
    why: dict[int, FacelimeError] = {}
    for around, reading in _ways(source, _dtypes(own), layouts, batch):
        if reading.dtype != FLOAT32:
            own = load()  # what was rounded stays so
        try:
            answers = _answers(own, around, reading, pictures, what)
        except (DeviceMemoryError, OtherAnswersError):
            raise
        except FacelimeError as failure:
            why.setdefault(around.channels, failure)
            continue
        wrapping.check_channels(str(source.scaling), around.channels)
        return {**facts_of(source, around, answers, form, size), **reading.facts()}
    raise _neither(what, size, why)


def _neither(what: str, size: Size, why: Mapping[int, FacelimeError]) -> FacelimeError:
    """Return the error for a network that takes pictures in no way."""
    reasons = [
        f"with {channels} channel{'s' if channels > 1 else ''}: {told(failure.__cause__ or failure)}"
        for channels, failure in why.items()
    ]
    return FacelimeError(
        f"{what} takes no pictures of {shapes.shown(size)} ({'; '.join(reasons)}); check --size, --debug shows where."
    )


def _dtypes(own: Any) -> list[str]:
    """Return the types that a network may compute in: 32 bits, else those of its weights."""
    kept = {str(each.dtype).removeprefix("torch.") for each in own.parameters() if each.is_floating_point()}
    return [FLOAT32, *((kept & set(WEIGHTS)) - {FLOAT32} if len(kept) == 1 else [])]


def _ways(
    source: Source, dtypes: Sequence[str], layouts: Sequence[Layout], batch: int | None
) -> Iterator[tuple[Around, Reading]]:
    """Yield the ways in which pictures may go into a network, the most usual one first."""
    for dtype, (channels, is_first), is_last in product(dtypes, layouts, (True, False)):
        try:
            wrapping.check_channels(str(source.scaling), channels)
            scaling = str(source.scaling)
        except FacelimeError:  # raised where the network does read one channel
            scaling = FUNCTION_SCALING
        around = around_of(source, scaling, channels, channels_first=is_first)
        yield around, Reading(batch, dtype, channels_last=is_last)


def _answers(own: Any, around: Around, reading: Reading, pictures: NDArray[np.float32], what: str) -> Any:
    """Return what a network answers to pictures in display space, after its activation."""
    import torch

    net = torch_networks.surrounded(own, around, reading, what=what, resize_to=None, precision=FLOAT32)
    with contained(what, pictures.shape), torch.inference_mode():
        values = net.scores(torch.from_numpy(pictures).to(torch_networks.device())).cpu().numpy()
    return values if around.activation is None else ACTIVATIONS[around.activation].load()(values)
