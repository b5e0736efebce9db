"""Modules of a PyTorch network: what each answers, and how a class's score changes with it. Hooks read them."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from facelime_cli.answering import programs, torch_attention, torch_networks
from facelime_cli.answering.around import Around, check_range, contained
from facelime_cli.answering.runtimes import TORCH_EXPORT, format_of, usual
from facelime_cli.answering.torch_networks import Reading
from facelime_cli.answering.torch_watching import Seen, Watched, as_layer, as_maps, hooked, kept_of, last_of
from facelime_cli.core import shapes
from facelime_cli.core.layers import Attended, Layer, named
from facelime_cli.errors import FacelimeError, NotFoundError
from facelime_cli.models.wrapping import BOTH_SIDES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from facelime_cli.core.shapes import Sides
    from facelime_cli.store.artifacts import Artifact

TOLD_APART = 2
"""Pictures in the call that shows the shapes: windows and heads that lie where pictures do are more than these."""
ENDS = ("Softmax", "LogSoftmax", "Sigmoid")
"""How PyTorch begins the names of the steps that make a network's answer of its scores."""
HANDED_ON = ("Alias", "Clone", "Reshape", "Select", "Slice", "Squeeze", "ToCopy", "Unsafe", "Unsqueeze", "View")
"""How it begins those of steps that hand values on as they are."""


def of(model: Artifact) -> TorchLayers:
    """Return a model's network with its modules.

    Parameters
    ----------
    model : Artifact
        Of the format `torch-module` or `torch-export`.

    Returns
    -------
    TorchLayers

    Raises
    ------
    FacelimeError
        Where it cannot be loaded.
    """
    own, kinds = _own_of(model)
    around, reading, what = Around.read(model.facts), Reading.read(model), f"models/{model.id}"
    net = torch_networks.surrounded(own, around, reading, what=what, resize_to=None, precision=usual(model).precision)
    return TorchLayers(
        what,
        net.own,
        net.scores,
        net,
        around.classes,
        shapes.sides(model.facts["size"]),
        torch_networks.device(),
        reading.batch,
        kinds,
        values=around.values,
    )


def _own_of(model: Artifact) -> tuple[Any, dict[str, str]]:
    """Return the user's module with modules that hooks can watch, and their classes where they have forgotten them."""
    if format_of(model) != TORCH_EXPORT:
        return torch_networks.own_of(model), {}
    import torch

    with programs.opened(model) as (path, _):
        program = torch_networks.placed(torch_networks.program_in(path, model.reference))
    # An exported program is one flat list of steps. Each step still says which module it came from.
    return torch.export.unflatten(program), _kinds_in(program)


def _kinds_in(program: Any) -> dict[str, str]:
    """Return the class of every module that an exported program was made of, by its path."""
    found: dict[str, str] = {}
    for node in program.graph.nodes:
        for path, kind in node.meta.get("nn_module_stack", {}).values():
            found[path] = str(kind).rpartition(".")[2]
    return found


@dataclass
class TorchLayers:
    """A PyTorch network whose modules are looked into.

    Attributes
    ----------
    what : str
        Its name in errors.
    own : torch.nn.Module
        The user's network, in evaluation mode.
    scores : callable
        From (B, H, W, 3) float32 display space on the device to (B, C): what `own` answers, before any activation that
        stands behind it.
    forward : callable
        From the same to (B, C) probabilities.
    n_classes : int
    size : (int, int)
        Height and width of the pictures.
    device : torch.device
    batch : int, optional
        Pictures per call, where the network takes no other number.
    kinds : mapping
        From the names of modules to their classes, where the modules themselves have forgotten them.
    values : bool
        Whether it answers with values instead of probabilities.
    """

    what: str
    own: Any
    scores: Callable[[Any], Any]
    forward: Callable[[Any], Any]
    n_classes: int
    size: Sides
    device: Any
    batch: int | None = None
    kinds: Mapping[str, str] = field(default_factory=dict)
    values: bool = False
    _seen: list[Seen] = field(default_factory=list)
    _attended: Attended | None = None

    # Modules

    def layers(self) -> list[Layer]:
        """Return every module that answers with numbers, in the order in which they answer.

        Returns
        -------
        list of Layer
        """
        return [as_layer(each) for each in self.seen()]

    def layer(self, name: str) -> Layer:
        """Return one module.

        Parameters
        ----------
        name : str
            Its path, or the end of it.

        Returns
        -------
        Layer

        Raises
        ------
        NotFoundError
            Where there is none, or more than one.
        """
        return named(name, self.layers())

    def seen(self) -> list[Seen]:
        """Return what every module was seen to answer, in the order in which they ended.

        Returns
        -------
        list of Seen
        """
        if not self._seen:
            watched = Watched(self.size, self.kinds)
            black = self._black()
            with self._running(black), hooked(watched.hooks(self.own)):
                self.scores(self._on_device(black))
            self._seen = watched.found()
        return self._seen

    def last_maps(self) -> str:
        """Return the module whose answer is what the last convolution hands on, or the last whose tokens count.

        It is behind the convolution's activation or its branches' union, and before pooling. Of a transformer it is
        the last normalisation whose tokens of places the score still depends on: behind the last attention a class
        token alone speaks.

        Returns
        -------
        str
            Its path.

        Raises
        ------
        NotFoundError
            Where there is none.
        """
        found, tokens = last_of(self.seen())
        for each in reversed(tokens):
            if self._tokens_count(each.name):
                return each.name
        if tokens:
            return tokens[-1].name
        if found is None:
            raise NotFoundError(
                "the network has no convolution and no tokens, so it has no maps of places; explain it with LIME or "
                "`facelime occlusion`."
            )
        return found.name

    def _tokens_count(self, name: str) -> bool:
        """Return whether a score depends on the tokens of places that a module answers."""
        # Noise, since a plain picture makes all tokens alike.
        noise = np.random.default_rng(0).integers(0, 256, self._black().shape, dtype=np.uint8)
        try:
            _, gradients = self.maps_and_gradients(name, noise, np.zeros(len(noise), np.int64))
        except FacelimeError:
            return False
        return bool(np.any(gradients))

    # Answers, maps and gradients

    def answers(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return probabilities.

        Parameters
        ----------
        images : (B, H, W, 3) uint8 array

        Returns
        -------
        (B, C) float32 array

        Raises
        ------
        FacelimeError
            Where the network fails, or answers with something else.
        """
        with self._running(images):
            found = np.array(self.forward(self._on_device(images)).cpu().numpy(), np.float32)
        if not self.values:
            check_range(found, self.what)
        return found

    def activations(self, images: NDArray[np.uint8], names: Sequence[str]) -> Iterator[tuple[str, NDArray[np.float32]]]:
        """Yield what each module answers to some pictures; one module's maps at a time are in memory.

        Parameters
        ----------
        images : (B, H, W, 3) uint8 array
        names : sequence of str
            Paths, or their ends.

        Yields
        ------
        (str, (B, h, w, n) float32 array)
            Of a module without maps, its own array.

        Raises
        ------
        NotFoundError
            Where there is no such module.
        """
        for name in names:
            seen = self._named(name)
            parts = []
            for some in self._calls(images):
                with self._running(some), kept_of(self.own.get_submodule(seen.name)) as kept:
                    self.scores(self._on_device(some))
                parts.append(as_maps(kept["answer"], seen.places)[: len(some)])
            yield name, np.concatenate(parts)

    def maps_and_gradients(
        self, layer: str, images: NDArray[np.uint8], classes: NDArray[np.int64]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return a module's maps, and the gradient of a class's score by them.

        The score is what goes into the final softmax or sigmoid, or the probability where a network does not end in one
        of these.

        Parameters
        ----------
        layer : str
            Its path, or the end of it.
        images : (B, H, W, 3) uint8 array
        classes : (B,) int array
            For each picture its class.

        Returns
        -------
        maps, gradients : (B, h, w, n) float32 arrays

        Raises
        ------
        NotFoundError
            Where there is no such module.
        FacelimeError
            Where no score depends on it.

        References
        ----------
        Selvaraju et al. 2017, Grad-CAM, section 3: the score y^c before the softmax, and its gradient by the maps A^k.
        """
        seen = self._named(layer)
        step = self.batch or len(images)
        found = [
            self._of_one_call(seen, some, classes[start : start + step])
            for start, some in zip(range(0, len(images), step), self._calls(images), strict=True)
        ]
        maps, gradients = zip(*found, strict=True)
        return np.concatenate(maps), np.concatenate(gradients)

    # Attention

    def attended(self) -> Attended:
        """Return how tokens attend to one another.

        Returns
        -------
        Attended

        Raises
        ------
        FacelimeError
            Where the network has no attention, or one that does not join: within windows, or of fewer and fewer tokens.
        """
        if self._attended is None:
            self._attended = self._attending()
        return self._attended

    def _attending(self) -> Attended:
        weights = self.attention(self._black()[:1])
        n_layers, n_tokens = weights.shape[1:3]
        _, normalised = last_of(self.seen())
        places = next((each.places for each in self.seen() if each.is_tokens and each.shape[0] == n_tokens), None)
        if places is None:
            raise self._not_joined()
        # Where the score depends on the last tokens of places, it is these that speak, as in a network of their mean.
        speak = bool(normalised) and self._tokens_count(normalised[-1].name)
        return Attended(places, n_layers, by_class_token=places.dropped > 0 and not speak)

    def attention(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the weights of attention, the mean of the heads.

        Parameters
        ----------
        images : (B, H, W, 3) uint8 array

        Returns
        -------
        (B, layers, T, T) float32 array

        Raises
        ------
        FacelimeError
            As `attended`.
        """
        parts = []
        for some in self._calls(images):
            with self._running(some), torch_attention.watched() as found:
                self.scores(self._on_device(some))
            weights = torch_attention.joined(found, self.batch or len(some))
            if weights is None:
                raise self._not_joined()
            parts.append(np.asarray(weights[: len(some)].cpu().numpy(), np.float32))
        return np.concatenate(parts)

    def _not_joined(self) -> FacelimeError:
        return FacelimeError(
            f"{self.what} has no layers of attention among the same tokens, which rollout joins; choose another "
            "--variant, as gradcam."
        )

    def _of_one_call(
        self, seen: Seen, images: NDArray[np.uint8], classes: NDArray[np.int64]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        import torch

        with self._running(images), torch.enable_grad(), kept_of(self.own.get_submodule(seen.name), apart=True) as kept:
            total = _score_of(_before_ending(self.scores(self._on_device(images))), classes, self.n_classes)
            answer = kept["answer"]
            (gradients,) = torch.autograd.grad(total, answer, allow_unused=True) if total.requires_grad else (None,)
        if gradients is None:
            raise FacelimeError(
                f"--layer {seen.name} does not lead to the scores of the classes; choose another that "
                "`facelime activations` lists."
            )
        n = len(images)
        return as_maps(answer, seen.places)[:n], as_maps(gradients, seen.places)[:n]

    def _named(self, name: str) -> Seen:
        whole = self.layer(name).name
        return next(each for each in self.seen() if each.name == whole)

    def _black(self) -> NDArray[np.uint8]:
        return np.zeros((self.batch or TOLD_APART, *self.size, 3), np.uint8)

    def _calls(self, images: NDArray[np.uint8]) -> Iterator[NDArray[np.uint8]]:
        """Yield pictures as the network takes them: what is read of a module is that of one call."""
        step = self.batch or len(images)
        for start in range(0, len(images), step):
            yield images[start : start + step]

    def _on_device(self, images: NDArray[np.uint8]) -> Any:
        import torch

        return torch.from_numpy(images.astype(np.float32)).to(self.device)

    @contextmanager
    def _running(self, images: NDArray[np.uint8]) -> Iterator[None]:
        """Let the network run: its errors are sentences."""
        import torch

        # Not inference mode: a network may keep what it computes once, and such a tensor never takes part in gradients.
        with contained(self.what, images.shape), torch.no_grad():
            yield


# Scores


def _before_ending(answers: Any) -> Any:
    """Return answers whose gradient is that of the scores before a final softmax or sigmoid."""
    step = answers.grad_fn
    while step is not None and step.name().startswith(HANDED_ON) and step.next_functions:
        step = step.next_functions[0][0]
    if step is not None and step.name().startswith(ENDS):
        step.register_hook(lambda _inputs, outputs: outputs)
    return answers


def _score_of(answers: Any, classes: NDArray[np.int64], n_classes: int) -> Any:
    """Return the sum of each picture's score for its class."""
    import torch

    wanted = torch.from_numpy(np.array(classes, np.int64)).to(answers.device)
    if answers.shape[1] == 1 and n_classes == BOTH_SIDES:
        # One unit speaks for the second class, and against the first.
        return (answers[:, 0] * (2 * wanted - 1)).sum()
    return answers.gather(1, wanted[:, None]).sum()
