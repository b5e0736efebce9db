"""Time one contender on one picture: facelime, a bare forward pass, or a peer.

This file runs in the environment of the contender. It reads a folder that `run.py` has prepared (`net.keras`,
`image.npy`, `segments.npy`, `store/`) and warms up. It prints one JSON object: evaluations per second, and what else
the contender reports. It imports a package only where it needs it. So a peer's environment needs nothing of facelime.

    python benchmarks/contenders.py lime FOLDER 1000
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

BATCH = 32
LIME_BATCH = 10
"""The default of `explain_instance`."""
WARM_UP = 2 * BATCH
PERTURBED = 0.5
MODELS = {"torch": "net-torch"}
"""Runtimes that have a network of their own in the store."""
FILL_GREY = 127


class Setup:
    """What is explained, and by which network."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.image = np.load(folder / "image.npy")
        self.segments = np.load(folder / "segments.npy").astype(np.int64)
        self.backbone = (folder / "backbone").read_text()

    def keras(self) -> Any:
        """Return the network as Keras loads it."""
        import keras

        return keras.models.load_model(self.folder / "net.keras", compile=False)


def seconds(work: Callable[[], Any]) -> float:
    """Return how long something takes."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


# facelime and the ceiling


def bare(setup: Setup, evaluations: int) -> dict[str, Any]:
    """Run the compiled forward pass of the Keras network, with pictures and answers in memory."""
    import tensorflow as tf

    net = setup.keras()
    forward = tf.function(lambda x: net(x, training=False), autograph=False)
    batch = tf.constant(np.repeat(setup.image[None].astype(np.float32), BATCH, axis=0))
    return {"rate": _calls(lambda: forward(batch).numpy(), evaluations)}


def _calls(call: Callable[[], Any], evaluations: int) -> float:
    """Return evaluations per second of a call that evaluates one batch."""
    # The first call compiles.
    call()
    calls = math.ceil(evaluations / BATCH)
    spent = seconds(lambda: [call() for _ in range(calls)])
    return calls * BATCH / spent


def bare_runtime(setup: Setup, evaluations: int, runtime: str, precision: str) -> dict[str, Any]:
    """Run the compiled forward pass of a runtime."""
    from facelime_cli.answering import runtimes
    from facelime_cli.store.references import Store

    model = Store(setup.folder / "store").resolve(MODELS.get(runtime, "net"), ("models",))
    classifier = runtimes.load(model, runtimes.How(runtime, precision))
    prepare, answer = classifier.prepare, classifier.answer
    if prepare is None or answer is None:
        batch = np.repeat(setup.image[None].astype(np.float32), BATCH, axis=0)
        return {"rate": _calls(lambda: classifier.forward(batch), evaluations)}
    # What it reads itself: bringing pictures to that is no part of the pass.
    image = setup.image.reshape(1, 1, -1, 3)
    masks, segments = np.full((BATCH, 1), 255, np.uint8), np.zeros((1, image.shape[2]), np.int32)
    composed = prepare(masks, np.zeros(BATCH, np.int32), np.concatenate([image, image], 1), segments)
    return {"rate": _calls(lambda: answer(composed), evaluations)}


class _Clock:
    """A console that says nothing and notes when evaluations were done."""

    def __init__(self) -> None:
        self.done: list[tuple[float, int]] = []

    def note(self, text: str) -> None:
        """Say nothing."""

    warn = error = note

    @contextlib.contextmanager
    def progress(self, *_: object, **__: object) -> Iterator[Callable[[int], None]]:
        """Note the time at every batch."""
        yield lambda n, **_: self.done.append((time.perf_counter(), n)) if n else None


def facelime(setup: Setup, evaluations: int, runtime: str, precision: str) -> dict[str, Any]:
    """Run `predict` on masks in a store, and time it from the end of the first batch to the end of the artifact.

    Reading, committing and writing count. Loading and tracing do not.
    """
    import dataclasses

    from facelime_cli.answering import runtimes
    from facelime_cli.console import Console
    from facelime_cli.engine import Context, execute
    from facelime_cli.stages import fit_surrogate, perturb, predict
    from facelime_cli.store.references import Store

    spent: list[tuple[float, float]] = []
    load = runtimes.load

    def timed(*arguments: Any, **named: Any) -> Any:
        classifier = load(*arguments, **named)

        def noted(call: Any) -> Any:
            def inside(*arrays: Any) -> Any:
                begun = time.perf_counter()
                answers = call(*arrays)
                spent.append((begun, time.perf_counter()))
                return answers

            return inside

        answer = classifier.answer and noted(classifier.answer)
        return dataclasses.replace(classifier, composed=noted(classifier.composed), answer=answer)

    runtimes.load = timed
    store, clock = Store(setup.folder / "store"), _Clock()
    context = Context(store, Console(quiet=True))
    segments = store.resolve("cat-segments", ("segments",))

    def masks(seed: int) -> Any:
        wanted = perturb.Params(
            segmentation=segments.id, samples=evaluations + BATCH, seed=seed, preset="lime-defaults"
        )
        return execute(perturb.STAGE, wanted, context)

    # The first call imports packages, which belongs to the start-up.
    masks(-1)
    mine = masks(time.time_ns() % 10**9)
    params = predict.Params(
        masks=mine.artifact.id,
        model=MODELS.get(runtime, "net"),
        runtime=runtime,
        precision=precision,
        batch_size=str(BATCH),
    )
    found = execute(predict.STAGE, params, Context(store, clock)).artifact  # type: ignore[arg-type]
    ended = time.perf_counter()
    began, first = clock.done[0]
    inside = sum(max(0.0, end - max(begin, began)) for begin, end in spent)
    execute(fit_surrogate.STAGE, fit_surrogate.Params(predictions=found.id), context)
    fitted = execute(fit_surrogate.STAGE, fit_surrogate.Params(predictions=found.id, kernel_width=0.24), context)
    total = sum(n for _, n in clock.done)
    # Surrogates go first, since they lie on predictions. The next run must have nothing to reuse.
    for artifact in (*store.artifacts(("surrogates",)), *store.artifacts(("predictions",))):
        store.remove(artifact)
    return {
        "rate": (total - first) / (ended - began),
        "outside_seconds_per_1000": max(0.0, ended - began - inside) / (total - first) * 1000,
        "perturb_seconds": mine.seconds,
        "fit_seconds": fitted.seconds,
    }


def composition(setup: Setup, evaluations: int) -> dict[str, Any]:
    """Run the composition alone, compiled in front of a network that only takes a mean."""
    from facelime_cli.models import backend, running

    keras = backend.keras()
    size = setup.image.shape[0]
    inputs = keras.Input((size, size, 3))
    call = running.compiled(keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(inputs)))
    pictures = backend.on_device(np.stack([setup.image // 2, setup.image])[None].reshape(1, 2, -1, 3))
    segments = backend.on_device(setup.segments.reshape(1, -1).astype(np.int32))
    n_segments = int(setup.segments.max() + 1)
    n_bytes = math.ceil(n_segments / 8)
    packed = np.random.default_rng(0).integers(0, 256, (BATCH, n_bytes), dtype=np.uint8)
    index = np.zeros(BATCH, np.int32)
    return {"rate": _calls(lambda: call(packed, index, pictures, segments), evaluations)}


# Peers


def lime(setup: Setup, evaluations: int) -> dict[str, Any]:
    """Run `lime_image` with Keras `predict`, both with their defaults."""
    net = setup.keras()
    net.predict(setup.image[None].astype(np.float32), verbose=0)
    spent = _lime_seconds(setup, evaluations, lambda x: net.predict(x.astype(np.float32), verbose=0))
    return {"rate": evaluations / spent}


def lime_without_model(setup: Setup, evaluations: int) -> dict[str, Any]:
    """Run `lime_image` with a model that takes no time, which shows its own. Its segmentation is not counted."""
    answer = np.tile([0.25, 0.75], (LIME_BATCH, 1))
    spent = _lime_seconds(setup, evaluations, lambda x: answer[: len(x)])
    return {"rate": evaluations / spent, "outside_seconds_per_1000": spent / evaluations * 1000}


def _lime_seconds(setup: Setup, evaluations: int, classify: Callable[[Any], Any]) -> float:
    from lime.lime_image import LimeImageExplainer

    def explain(samples: int) -> None:
        # Its progress bar writes to stderr.
        with contextlib.redirect_stderr(io.StringIO()):
            LimeImageExplainer(random_state=0).explain_instance(
                setup.image,
                classify,
                top_labels=1,
                num_samples=samples,
                batch_size=LIME_BATCH,
                segmentation_fn=lambda _: setup.segments,
            )

    explain(LIME_BATCH)
    return seconds(lambda: explain(evaluations))


def notebook(setup: Setup, evaluations: int) -> dict[str, Any]:
    """Run the loop of the rosacea notebook. It paints each mask segment by segment and predicts each picture alone."""
    from sklearn.linear_model import LinearRegression
    from sklearn.metrics import pairwise_distances

    net = setup.keras()
    n_segments = int(setup.segments.max()) + 1

    def explain(samples: int) -> None:
        masks = np.random.default_rng(222).binomial(1, PERTURBED, (samples, n_segments))
        answers = []
        for each in masks:
            shown = np.zeros(setup.segments.shape)
            for active in np.flatnonzero(each):
                shown[setup.segments == active] = 1
            composed = setup.image * shown[:, :, None]
            answers.append(net.predict(composed[None], verbose=0))
        distances = pairwise_distances(masks, np.ones((1, n_segments)), metric="cosine").ravel()
        weights = np.sqrt(np.exp(-(distances**2) / 0.25**2))
        LinearRegression().fit(masks, np.concatenate(answers)[:, 1], sample_weight=weights)

    explain(2)
    return {"rate": evaluations / seconds(lambda: explain(evaluations))}


def _torch(setup: Setup) -> tuple[Any, Any, Any]:
    """Return PyTorch's network of the same architecture (random weights), the picture and its segments."""
    import torch
    import torch_networks

    if not hasattr(torch_networks, setup.backbone):
        raise NotImplementedError(f"there is no {setup.backbone} in torch_networks.py")
    net = getattr(torch_networks, setup.backbone)()
    image = torch.from_numpy(setup.image).permute(2, 0, 1)[None].float() / 127.5 - 1
    return net, image, torch.from_numpy(setup.segments)[None, None]


def _captum(setup: Setup, evaluations: int, make: Callable[[Any], Any], per_call: int) -> dict[str, Any]:
    import torch

    net, image, segments = _torch(setup)
    method = make(net)

    def explain(samples: int) -> None:
        with torch.inference_mode():
            method.attribute(image, target=1, feature_mask=segments, n_samples=samples, perturbations_per_eval=per_call)

    explain(max(WARM_UP, int(segments.max()) + 2))
    return {"rate": evaluations / seconds(lambda: explain(evaluations))}


def captum_lime(setup: Setup, evaluations: int) -> dict[str, Any]:
    """Run Captum's Lime in batches. That is faster than its default of one sample per call."""
    from captum.attr import Lime

    return _captum(setup, evaluations, Lime, BATCH)


def captum_kernel_shap(setup: Setup, evaluations: int) -> dict[str, Any]:
    """Run Captum's KernelShap in batches, as its Lime."""
    from captum.attr import KernelShap

    return _captum(setup, evaluations, KernelShap, BATCH)


def torch_bare(setup: Setup, evaluations: int) -> dict[str, Any]:
    """Run the forward pass that Captum calls."""
    import torch

    net, image, _ = _torch(setup)
    # As Captum's own batches are, and faster than channels first.
    batch = image.repeat(BATCH, 1, 1, 1).contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        return {"rate": _calls(lambda: net(batch).numpy(), evaluations)}


def xplique(setup: Setup, evaluations: int) -> dict[str, Any]:
    """Run Xplique's Lime in batches."""
    import tensorflow as tf
    from xplique.attributions import Lime

    net = setup.keras()
    image, target = setup.image[None].astype(np.float32), np.array([[0.0, 1.0]], np.float32)

    def explain(samples: int) -> None:
        Lime(
            net,
            batch_size=BATCH,
            map_to_interpret_space=lambda _: tf.constant(setup.segments, tf.int32),
            nb_samples=samples,
        ).explain(image, target)

    explain(WARM_UP)
    return {"rate": evaluations / seconds(lambda: explain(evaluations))}


def shap(setup: Setup, evaluations: int) -> dict[str, Any]:
    """Run shap's partition explainer. It divides the picture itself, and its background is grey."""
    import shap as package

    net = setup.keras()
    masker = package.maskers.Image(np.full(setup.image.shape, FILL_GREY, np.uint8), setup.image.shape)
    explainer = package.Explainer(
        lambda x: net.predict(np.asarray(x, np.float32), verbose=0), masker, algorithm="partition"
    )

    def explain(samples: int) -> None:
        with contextlib.redirect_stderr(io.StringIO()):
            explainer(setup.image[None], max_evals=samples, batch_size=BATCH, outputs=[1], silent=True)

    explain(WARM_UP)
    return {"rate": evaluations / seconds(lambda: explain(evaluations))}


CONTENDERS: dict[str, Callable[..., dict[str, Any]]] = {
    each.__name__: each
    for each in (
        bare,
        composition,
        lime,
        lime_without_model,
        notebook,
        captum_lime,
        captum_kernel_shap,
        torch_bare,
        xplique,
        shap,
    )
}
"""`main` knows `facelime:RUNTIME:PRECISION` and `bare:RUNTIME:PRECISION` too."""


def main() -> None:
    """Run one contender, and print what it reports as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    known = ", ".join(("facelime:RUNTIME:PRECISION", "bare:RUNTIME:PRECISION", *CONTENDERS))
    parser.add_argument("name", help=f"Run this contender: {known}.")
    parser.add_argument("folder", type=Path, help="Read the network and the picture in this folder, made by run.py.")
    parser.add_argument("evaluations", type=int, help="Time so many evaluations.")
    options = parser.parse_args()
    setup = Setup(options.folder)
    kind, _, how = options.name.partition(":")
    if how:
        work = {"facelime": facelime, "bare": bare_runtime}[kind]
        found = work(setup, options.evaluations, *how.split(":"))
    else:
        found = CONTENDERS[options.name](setup, options.evaluations)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
