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
from facelime_cli.core import shapes
from facelime_cli.core.layers import TOKENS, Attended, Layer, Places, named, places_of
from facelime_cli.errors import FacelimeError, NotFoundError
from facelime_cli.models.wrapping import BOTH_SIDES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from facelime_cli.core.shapes import Sides
    from facelime_cli.store.artifacts import Artifact

PASSED_OVER = ("Pool", "Dropout", "DropPath", "Pad", "Reshape", "Flatten", "Identity", "Permute", "Softmax")
"""How modules without parts are named whose answer is no new map.

A normalisation counts here, other than in Keras: the activation behind it is often a function that no hook sees.
"""
NORMALIZATION = "Norm"
TOLD_APART = 2
"""Pictures in the call that shows the shapes: windows and heads that lie where pictures do are more than these."""
ENDS = ("Softmax", "LogSoftmax", "Sigmoid")
"""How PyTorch begins the names of the steps that make a network's answer of its scores."""
HANDED_ON = ("Alias", "Clone", "Reshape", "Select", "Slice", "Squeeze", "ToCopy", "Unsafe", "Unsqueeze", "View")
"""How it begins those of steps that hand values on as they are."""


@dataclass
class Seen:
    """What one module was seen to answer in a call of the network.

    Attributes
    ----------
    name, kind : str
    is_leaf : bool
        Whether it has no modules within.
    shape : tuple of int
        Of its last answer, without the batch.
    places : Places or None
    handed_on : Seen or None
        The module that ended just before, where this one answers with the same tensor.
    calls : int
    is_convolved : bool
        Whether a convolution came before.
    """

    name: str
    kind: str
    is_leaf: bool
    shape: tuple[int, ...] = ()
    places: Places | None = None
    handed_on: Seen | None = None
    calls: int = 0
    is_convolved: bool = False

    @property
    def is_tokens(self) -> bool:
        """Whether its places are tokens."""
        return self.places is not None and self.places.form == TOKENS

    @property
    def is_passed_over(self) -> bool:
        """Whether it makes no new map: by its kind, or since it hands on what such a module answers."""
        if self.is_leaf:
            return any(word in self.kind for word in PASSED_OVER)
        return self.handed_on is not None and self.handed_on.is_passed_over

    @property
    def is_named_within(self) -> bool:
        """Whether a module within stands for its answer. One that is called several times stands for none."""
        return not self.is_leaf and self.handed_on is not None and self.handed_on.calls == 1


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
        return [_as_layer(each) for each in self.seen()]

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
            watched = _Watched(self.size, self.kinds)
            black = self._black()
            with self._running(black), _hooked(watched.hooks(self.own)):
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
        found, tokens = _last_of(self.seen())
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
                with self._running(some), _kept(self.own.get_submodule(seen.name)) as kept:
                    self.scores(self._on_device(some))
                parts.append(_as_maps(kept["answer"], seen.places)[: len(some)])
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
        _, normalised = _last_of(self.seen())
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

        with self._running(images), torch.enable_grad(), _kept(self.own.get_submodule(seen.name), apart=True) as kept:
            total = _score_of(_before_ending(self.scores(self._on_device(images))), classes, self.n_classes)
            answer = kept["answer"]
            (gradients,) = torch.autograd.grad(total, answer, allow_unused=True) if total.requires_grad else (None,)
        if gradients is None:
            raise FacelimeError(
                f"--layer {seen.name} does not lead to the scores of the classes; choose another that "
                "`facelime activations` lists."
            )
        n = len(images)
        return _as_maps(answer, seen.places)[:n], _as_maps(gradients, seen.places)[:n]

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


# Which module


class _Watched:
    """What modules answer in one call, in the order in which they end."""

    def __init__(self, size: Sides, kinds: Mapping[str, str]) -> None:
        self._size, self._kinds = size, kinds
        self._ended: dict[str, Seen] = {}
        self._last: tuple[Seen, Any] | None = None
        self._grid: Sides | None = None
        self._tokens: set[int] = set()
        self._is_convolved = False

    def hooks(self, own: Any) -> dict[Any, Any]:
        """Return a hook for every module within."""
        return {module: self._hook(name, module) for name, module in own.named_modules() if name}

    def found(self) -> list[Seen]:
        """Return what was seen."""
        return list(self._ended.values())

    def _hook(self, name: str, module: Any) -> Any:
        kind = self._kinds.get(name, type(module).__name__)
        is_leaf = not list(module.children())

        def hook(_module: Any, _inputs: Any, answer: Any) -> None:
            tensor = _tensor_in(answer)
            if tensor is None:
                return
            # One that is called again ends again.
            seen = self._ended.pop(name, Seen(name, kind, is_leaf))
            self._ended[name] = seen
            self._is_convolved |= is_leaf and "Conv" in kind
            self._keep(seen, tensor)

        return hook

    def _keep(self, seen: Seen, tensor: Any) -> None:
        seen.calls += 1
        seen.is_convolved = self._is_convolved
        seen.handed_on = self._last[0] if self._last is not None and self._last[1] is tensor else None
        self._last = seen, tensor
        seen.shape = tuple(tensor.shape[1:])
        seen.places = self._places(tuple(tensor.shape))

    def _places(self, shape: tuple[int, ...]) -> Places | None:
        is_attention = len(shape) > 1 and shape[-1] == shape[-2] and shape[-1] in self._tokens
        if is_attention:
            return None
        found = places_of(shape[1:], self._size, self._grid)
        if found is not None and found.form == TOKENS:
            self._tokens.add(shape[1])
        elif found is not None:
            self._grid = found.height, found.width
        return found


def _last_of(every: Sequence[Seen]) -> tuple[Seen | None, list[Seen]]:
    """Return the last module with maps of a convolution, and the normalisations of tokens behind it."""
    found: Seen | None = None
    tokens: list[Seen] = []
    for each in every:
        if each.places is None or each.calls > 1 or each.is_passed_over or each.is_named_within:
            continue
        if each.is_tokens:
            tokens += [each] if NORMALIZATION in each.kind else []
        elif each.is_convolved:
            found, tokens = each, []
    return found, tokens


def _as_layer(seen: Seen) -> Layer:
    if seen.places is None:
        return Layer(seen.name, seen.kind, seen.shape, has_maps=False)
    dropped = seen.places.dropped if seen.is_tokens else None
    return Layer(seen.name, seen.kind, seen.places.shape, has_maps=True, dropped=dropped)


# Hooks


def _tensor_in(answer: Any) -> Any:
    """Return the tensor that a module answers, or the first of several; None where there is none."""
    import torch

    first = answer[0] if isinstance(answer, (tuple, list)) and answer else answer
    is_numbers = isinstance(first, torch.Tensor) and first.is_floating_point() and first.ndim > 0
    return first if is_numbers else None


@contextmanager
def _hooked(hooks: Mapping[Any, Any]) -> Iterator[None]:
    """Let modules be watched, and leave them as they were."""
    handles = [module.register_forward_hook(hook) for module, hook in hooks.items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def _kept(module: Any, *, apart: bool = False) -> Iterator[dict[str, Any]]:
    """Keep a module's last answer as `answer`; `apart`, gradients begin at it."""
    kept: dict[str, Any] = {}

    def hook(_module: Any, _inputs: Any, answer: Any) -> Any:
        tensor = _tensor_in(answer)
        if tensor is None:
            return answer
        kept["answer"] = tensor.detach().clone().requires_grad_(apart)
        # What comes behind may write into its input, as activations with `inplace` do: it gets its own.
        copy = kept["answer"].clone()
        return type(answer)([copy, *answer[1:]]) if isinstance(answer, (tuple, list)) else copy

    handle = module.register_forward_hook(hook)
    try:
        yield kept
    finally:
        handle.remove()


def _as_maps(tensor: Any, places: Places | None) -> NDArray[np.float32]:
    """Return a tensor as (B, h, w, n) where it holds maps, and as it is elsewhere."""
    values = np.asarray(tensor.detach().float().cpu().numpy(), np.float32)
    return values if places is None else places.arranged(values)


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
