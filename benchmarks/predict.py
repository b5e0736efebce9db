"""Time `facelime predict` against a bare compiled forward pass of the same network, and against the `lime` package with Keras `predict`.

All are measured in alternation in one run, on the same picture, and compared round by round, since machines are noisy. Start-up (loading the model, tracing)
is taken out of facelime's time by running it twice, with few and with many samples. Random weights: speed does not depend on them.

    python benchmarks/predict.py [--networks mobilenetv2 inceptionv3] [--evaluations 1000] [--rounds 3]
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import skimage.data
import skimage.io
from lime.lime_image import LimeImageExplainer

from facelime_cli import machine, network
from facelime_cli.backbones import BACKBONES
from facelime_cli.core.images import decode
from facelime_cli.core.operations import Operations, prepare
from facelime_cli.stages.predict import PROCESSOR_BATCH

FEW = 64
LIME_BATCH = 10
"""The default of `explain_instance`."""


def facelime(store: Path, *words: object) -> dict:
    """Return the JSON answer of one command."""
    done = subprocess.run([sys.executable, "-m", "facelime_cli", *map(str, words), "--store", str(store), "--json", "--quiet"], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def rate_of_facelime(store: Path, segments: str, evaluations: int, seed: int) -> float:
    """Return evaluations per second of `predict`, start-up taken out by the difference of two runs."""
    seconds = []
    for samples in (FEW, FEW + evaluations):
        masks = facelime(store, "perturb", segments, "--samples", samples, "--seed", seed)["artifact"]
        seconds.append(facelime(store, "predict", masks, "--model", "net", "--batch-size", PROCESSOR_BATCH)["seconds"])
    return evaluations / (seconds[1] - seconds[0])


def rate_of_bare_pass(net: object, size: int, evaluations: int) -> float:
    """Return pictures per second of one compiled forward pass, pictures and answers in memory."""
    import tensorflow as tf

    forward = tf.function(lambda x: net(x, training=False), autograph=False)
    batch = tf.constant(np.random.default_rng(0).integers(0, 256, (PROCESSOR_BATCH, size, size, 3)).astype(np.float32))
    forward(batch).numpy()
    n_batches = -(-evaluations // PROCESSOR_BATCH)
    begun = time.perf_counter()
    for _ in range(n_batches):
        forward(batch).numpy()
    return n_batches * PROCESSOR_BATCH / (time.perf_counter() - begun)


def rate_of_lime(net: object, image: np.ndarray, evaluations: int) -> float:
    """Return evaluations per second of `lime_image` with Keras `predict`, both with their defaults."""
    net.predict(image[None].astype(np.float32), verbose=0)
    begun = time.perf_counter()
    explainer = LimeImageExplainer(random_state=0)
    with contextlib.redirect_stderr(io.StringIO()):  # its progress bar
        explainer.explain_instance(image, lambda x: net.predict(x.astype(np.float32), verbose=0), top_labels=1, num_samples=evaluations, batch_size=LIME_BATCH)
    return evaluations / (time.perf_counter() - begun)


def measure(backbone: str, evaluations: int, rounds: int) -> dict[str, list[float]]:
    """Return the rates of every contender, round by round."""
    size = BACKBONES[backbone].size
    rates: dict[str, list[float]] = {"facelime": [], "bare": [], "lime": []}
    with tempfile.TemporaryDirectory() as folder:
        store, picture = Path(folder) / "store", Path(folder) / "cat.png"
        skimage.io.imsave(picture, skimage.data.chelsea())
        net = network.build(backbone, size, 2, "none", "all")
        network.save(net, Path(folder) / "net.keras")
        facelime(store, "import-model", Path(folder) / "net.keras", "--classes", "a,b", "--scaling", "0..255", "--name", "net")
        dataset = facelime(store, "preprocess", picture, "--size", size)["artifact"]
        segments = facelime(store, "segment", dataset, "--method", "quickshift")["artifact"]
        for seed in range(rounds):
            rates["bare"].append(rate_of_bare_pass(net, size, evaluations))
            rates["facelime"].append(rate_of_facelime(store, segments, evaluations, seed))
            rates["lime"].append(rate_of_lime(net, prepare(decode(picture), Operations(size)).image, evaluations))
            print(f"{backbone}, round {seed + 1}: " + ", ".join(f"{name} {each[-1]:.1f}/s" for name, each in rates.items()), file=sys.stderr, flush=True)
    return rates


def main() -> None:
    """Measure and print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", default=["mobilenetv2", "inceptionv3"], choices=[name for name, each in BACKBONES.items() if each.application])
    parser.add_argument("--evaluations", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    about = machine.hardware()
    print(f"{about['processor']}, {about['cores']} cores; {options.evaluations} evaluations, medians of {options.rounds} rounds.\n")
    print("| network | bare forward pass | facelime predict | lime + Keras predict | facelime ÷ bare | facelime ÷ lime |")
    print("| --- | --- | --- | --- | --- | --- |")
    for backbone in options.networks:
        rates = measure(backbone, options.evaluations, options.rounds)
        to_bare, to_lime = (statistics.median(a / b for a, b in zip(rates["facelime"], rates[other], strict=True)) for other in ("bare", "lime"))
        middle = {name: statistics.median(each) for name, each in rates.items()}
        print(f"| {backbone} | {middle['bare']:.1f}/s | {middle['facelime']:.1f}/s | {middle['lime']:.1f}/s | {to_bare:.2f} | {to_lime:.2f} |", flush=True)


if __name__ == "__main__":
    main()
