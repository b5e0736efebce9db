"""Measure what start-up consists of, step by step, and how long a whole `explain` takes from a cold start.

The steps of a network are taken one after the other in a fresh process: what is imported, built, traced and compiled
before the first answers. They are taken once more as a later command takes them, with the graph that is kept beside
the model. `explain --views single --no-check` runs in a process of its own too, on a store with the
model alone, which has been converted and compared before. The bare rate of the same runtime is measured in the same
round. A ratio is the median of the ratios of single rounds.

Seconds of the processor stand beside seconds of the clock. On a machine that others use, the first can be compared.
They count every core, so that evaluations on two cores take twice as many of them.

    python benchmarks/startup.py [--networks mobilenetv2 inceptionv3] [--runtimes keras openvino] [--samples 300]
        [--rounds 3] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import math
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

BATCH = 32
CALLS = 3
"""Later calls, of which the fastest counts."""
TENSORFLOW = "import tensorflow, alone"
AGAIN = "later command: "
EXPLAIN = ("--views", "single", "--no-check", "--quiet")
Seconds = tuple[float, float]
"""By the clock, and of the processor."""


class Clock:
    """Seconds by the clock and of the processor since the last lap."""

    def __init__(self) -> None:
        self.laps: dict[str, Seconds] = {}
        self.begin()

    def begin(self) -> None:
        """Begin a lap."""
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def lap(self, name: str) -> None:
        """Note a lap, and begin the next one."""
        self.laps[name] = (time.perf_counter() - self._wall, time.process_time() - self._cpu)
        self.begin()


# What runs in fresh processes; each answers with its laps


def tensorflow_alone() -> Clock:
    """Import TensorFlow as a script does that knows nothing of facelime."""
    clock = Clock()
    __import__("tensorflow")
    clock.lap(TENSORFLOW)
    return clock


def steps(file: str, size: str) -> Clock:
    """Do what `predict` does with Keras on TensorFlow, a step at a time."""
    clock = Clock()
    import numpy as np

    clock.lap("import numpy")
    __import__("zarr")
    clock.lap("import zarr")
    from facelime_cli.models import backend, graphs, running, wrapping

    backend.keras()
    clock.lap("import keras and tensorflow, as facelime does")
    net = wrapping.load(Path(file))
    clock.lap("build the network from its file")
    graph = graphs.of(net)
    clock.lap("make the graph that is kept")
    import tensorflow as tf

    pictures = _arrays(int(size))
    _first_call_in_steps(tf, clock)
    call = running.compiled(graph or net)
    clock.begin()
    call(*pictures)
    for _ in range(CALLS):
        clock.begin()
        call(*pictures)
        clock.lap("a later call")
    composition = tf.function(running.composer((int(size), int(size))), autograph=False, jit_compile=True)
    tensors = [tf.convert_to_tensor(array) for array in pictures]
    clock.begin()
    np.asarray(composition(*tensors))
    clock.lap("of the first call: compile the composition")
    return clock


def again(store: str, size: str) -> Clock:
    """Do what a later `predict` does with Keras on TensorFlow."""
    clock = Clock()
    from facelime_cli.answering import kept_graphs, runtimes
    from facelime_cli.models import backend, running
    from facelime_cli.store.references import Store

    model = Store(Path(store)).resolve("net", ("models",))
    clock.begin()
    tf = backend.tensorflow()
    clock.lap(f"{AGAIN}import tensorflow, as facelime does")
    graph = kept_graphs.kept(model, runtimes.How("keras", "float32"))
    clock.lap(f"{AGAIN}read and check the graph")
    if graph is None:
        raise RuntimeError("no graph is kept")
    pictures = _arrays(int(size))
    _first_call_in_steps(tf, clock, AGAIN)
    running.compiled(graph)(*pictures)
    return clock


def _first_call_in_steps(tf: Any, clock: Clock, name: str = "") -> None:
    """Let the graph of the whole call be traced on its own, before it is called for the first time."""
    make = tf.function

    def stepwise(function: Any = None, **how: Any) -> Any:
        made = make(function, **how)
        # Keras makes functions of its own too, and those that are parts of the call.
        if "input_signature" not in how:
            return made

        traced: list[bool] = []

        def call(*tensors: Any) -> Any:
            if traced:
                return made(*tensors)
            traced.append(True)
            clock.begin()
            made.get_concrete_function()
            clock.lap(f"{name}trace")
            found = made(*tensors)
            clock.lap(f"{name}the first call")
            return found

        return call

    tf.function = stepwise


def _arrays(size: int) -> list[Any]:
    """Return what a compiled call reads: a batch of masks of one picture."""
    import numpy as np

    rng = np.random.default_rng(0)
    masks = rng.integers(0, 256, (BATCH, 16), dtype=np.uint8)
    pictures = rng.integers(0, 256, (1, 2, size * size, 3), dtype=np.uint8)
    segments = rng.integers(0, 100, (1, size * size), dtype=np.int32)
    return [masks, np.zeros(BATCH, np.int32), pictures, segments]


def bare(store: str, runtime: str, samples: str) -> Clock:
    """Answer as many pictures as there are samples, with nothing around the network."""
    import numpy as np

    from facelime_cli.answering import runtimes
    from facelime_cli.core import shapes
    from facelime_cli.store.references import Store

    model = Store(Path(store)).resolve("net", ("models",))
    classifier = runtimes.load(model, runtimes.How(runtime, "float32"))
    values = np.random.default_rng(0).random((BATCH, *shapes.sides(model.facts["size"]), 3), np.float32) * 255
    for _ in range(2):
        classifier.forward(values)
    clock = Clock()
    for _ in range(math.ceil(int(samples) / BATCH)):
        classifier.forward(values)
    clock.lap("bare")
    return clock


PARTS = {each.__name__: each for each in (tensorflow_alone, steps, again, bare)}


# What starts them


def environment(folder: Path) -> dict[str, str]:
    """Return the environment of a user: modules are compiled once, and what is trusted is kept."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    here = str(Path(__file__).parent.parent)
    own = {"PYTHONPYCACHEPREFIX": str(folder / "compiled"), "XDG_STATE_HOME": str(folder / "state")}
    return {**kept, **own, "PYTHONPATH": here, "TF_CPP_MIN_LOG_LEVEL": "3"}


def started(words: list[Any], folder: Path) -> tuple[Seconds, str]:
    """Run a process to its end, and return its seconds and what it printed."""
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(
        [sys.executable, *map(str, words)], capture_output=True, text=True, check=False, env=environment(folder)
    )
    wall, after = time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, words))}: {done.stderr.strip()[-500:]}")
    return (wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime), done.stdout


def part(folder: Path, name: str, *words: Any) -> dict[str, Seconds]:
    """Return the laps of a part that runs in a fresh process."""
    _, said = started([__file__, "--part", name, *words], folder)
    return {lap: tuple(seconds) for lap, seconds in json.loads(said.splitlines()[-1]).items()}


def facelime(folder: Path, store: Path, *words: Any) -> Seconds:
    """Run a command, and return its seconds."""
    return started(["-m", "facelime_cli", *words, "--store", store], folder)[0]


def prepare(folder: Path, network: str, runtimes: list[str]) -> int:
    """Write a network, import it, and let every runtime convert it and be compared; return its size."""
    import skimage.data
    import skimage.io

    from facelime_cli.models import building, wrapping
    from facelime_cli.models.backbones import BACKBONES

    size = BACKBONES[network].size
    skimage.io.imsave(folder / "cat.png", skimage.data.chelsea())
    wrapping.save(building.build(building.Architecture(network, size, 2, freeze="all")).whole, folder / "net.keras")
    words = ("--classes", "a,b", "--scaling", "0..255", "--name", "net", "--quiet")
    facelime(folder, folder / "made", "import-model", folder / "net.keras", *words)
    for runtime in runtimes:
        explain(folder, folder / "made", runtime, 2 * BATCH)
    (folder / "store").mkdir()
    shutil.copytree(folder / "made" / "models", folder / "store" / "models")
    return size


def explain(folder: Path, store: Path, runtime: str, samples: int) -> Seconds:
    """Explain a picture, and return the seconds of the whole process."""
    words = ("--model", "net", "--runtime", runtime, "--samples", samples, *EXPLAIN)
    return facelime(folder, store, "explain", folder / "cat.png", *words)


def measure(network: str, wanted: argparse.Namespace) -> dict[str, Any]:
    """Return every figure of a network, round by round."""
    found: dict[str, list[Seconds]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        size = prepare(folder, network, wanted.runtimes)
        for number in range(wanted.rounds):
            for lap, seconds in part(folder, "tensorflow_alone").items():
                found[lap].append(seconds)
            for lap, seconds in part(folder, "steps", folder / "net.keras", size).items():
                found[lap].append(seconds)
            if "keras" in wanted.runtimes:
                for lap, seconds in part(folder, "again", folder / "store", size).items():
                    found[lap].append(seconds)
            for runtime in wanted.runtimes:
                own = folder / f"{number}-{runtime}"
                shutil.copytree(folder / "store", own)
                found[f"explain, {runtime}"].append(explain(folder, own, runtime, wanted.samples))
                bare_seconds = part(folder, "bare", folder / "store", runtime, wanted.samples)["bare"]
                found[f"bare, {runtime}"].append(bare_seconds)
                shutil.rmtree(own)
    return dict(found)


# Tables


def told(found: dict[str, list[Seconds]], runtimes: list[str]) -> list[str]:
    """Return the tables of a network."""
    lines = ["| step | s by the clock | s of the processor |", "| --- | --- | --- |"]
    for name, rounds in found.items():
        wall, cpu = (statistics.median(each[unit] for each in rounds) for unit in (0, 1))
        lines.append(f"| {name} | {wall:.2f} | {cpu:.2f} |")
    lines += ["", "| explain, cold | ÷ (import tensorflow + bare) | more than bare, s |", "| --- | --- | --- |"]
    for runtime in runtimes:
        for unit, words in enumerate(("by the clock", "of the processor")):
            rounds = zip(found[f"explain, {runtime}"], found[TENSORFLOW], found[f"bare, {runtime}"], strict=True)
            every = [(whole[unit], imported[unit], plain[unit]) for whole, imported, plain in rounds]
            ratio = statistics.median(whole / (imported + plain) for whole, imported, plain in every)
            more = statistics.median(whole - plain for whole, _, plain in every)
            lines.append(f"| {runtime}, {words} | {ratio:.2f} | {more:.2f} |")
    return lines


def main() -> None:
    """Measure, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", default=["mobilenetv2", "inceptionv3"])
    parser.add_argument("--runtimes", nargs="+", default=["keras", "openvino"])
    parser.add_argument("--samples", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, help="write every figure here too")
    parser.add_argument("--part", nargs="+", help=argparse.SUPPRESS)
    wanted = parser.parse_args()
    if wanted.part:
        name, *words = wanted.part
        print(json.dumps(PARTS[name](*words).laps))
        return
    every = {}
    for network in wanted.networks:
        every[network] = measure(network, wanted)
        print(f"\n{network}, {wanted.samples} samples, medians of {wanted.rounds} rounds:\n")
        print("\n".join(told(every[network], wanted.runtimes)), flush=True)
    if wanted.json:
        wanted.json.write_text(json.dumps(every, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
