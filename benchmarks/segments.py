"""Time `facelime segment` against scikit-image's own quickshift in one process, divided by the number of processes.

Both work on the same pictures. Machines are noisy. So they are measured in turns, and compared round by round.
facelime's time includes the start-up of the command line, reading, the statistics and writing. A third measurement
shows what the machine allows: scikit-image alone, in as many plain processes.

    python benchmarks/segments.py [--pictures 100] [--size 299] [--workers 2] [--rounds 3]
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import skimage.data
from PIL import Image
from skimage.segmentation import quickshift

from facelime_cli import machine
from facelime_cli.choices import SEGMENTERS
from facelime_cli.core.images import decode

SOURCES = ("astronaut", "chelsea", "coffee", "rocket", "immunohistochemistry", "retina")
"""Photographs that come with scikit-image. The pictures are cut from them."""
OWN = {name: SEGMENTERS["quickshift"].settings[name] for name in ("kernel_size", "max_dist", "ratio", "sigma")}


def write_pictures(folder: Path, count: int, size: int) -> None:
    """Write squares from random places of photographs, as PNG files of one size."""
    rng = np.random.default_rng(0)
    folder.mkdir()
    for number in range(count):
        source = SOURCES[number % len(SOURCES)]
        photograph = getattr(skimage.data, source)()
        height, width = photograph.shape[:2]
        side = int(min(height, width) * rng.uniform(0.6, 1))
        top = int(rng.integers(height - side + 1))
        left = int(rng.integers(width - side + 1))
        square = photograph[top : top + side, left : left + side]
        picture = Image.fromarray(square).resize((size, size))
        picture.save(folder / f"{number:04d}.png")


@dataclass(frozen=True)
class Cost:
    """What a piece of work took.

    Attributes
    ----------
    seconds : float
        By the clock.
    processor : float
        Seconds of all processors together. Other work on the machine hardly changes them.
    """

    seconds: float
    processor: float


def _processor_seconds() -> float:
    """Return the processor seconds of this process and of its finished children."""
    total = 0.0
    for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN):
        used = resource.getrusage(who)
        total += used.ru_utime + used.ru_stime
    return total


def measured(work: Callable[[], object]) -> Cost:
    """Return what a piece of work takes."""
    begun, used = time.perf_counter(), _processor_seconds()
    work()
    return Cost(time.perf_counter() - begun, _processor_seconds() - used)


def quickshift_alone(images: Sequence[np.ndarray]) -> None:
    """Segment the pictures one after the other in this process."""
    for image in images:
        quickshift(image, **OWN, rng=42)


def quickshift_in_processes(images: Sequence[np.ndarray], workers: int) -> Cost:
    """Return what the pictures take in plain processes, with their start-up. The machine allows no more."""

    def work() -> None:
        tasks = [[image] for image in images]
        # As facelime's own workers are started.
        with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
            list(pool.map(quickshift_alone, tasks))

    return measured(work)


def segment(store: Path, dataset: str, workers: int) -> Cost:
    """Return what the whole command takes. Its result is removed, so that the next round has nothing to reuse."""
    words = [
        sys.executable,
        "-m",
        "facelime_cli",
        "segment",
        dataset,
        "--method",
        "quickshift",
        "--workers",
        str(workers),
        "--store",
        str(store),
        "--quiet",
    ]
    made = []
    cost = measured(
        lambda: made.append(subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip())
    )
    subprocess.run(
        [*words[:3], "remove", f"segments/{made[0]}", "--yes", "--store", str(store)], capture_output=True, check=True
    )
    return cost


def measure(pictures: int, size: int, workers: int, rounds: int) -> list[tuple[Cost, Cost, Cost]]:
    """Return what scikit-image alone, scikit-image in processes and facelime took, round by round."""
    costs = []
    with tempfile.TemporaryDirectory() as folder:
        store, source = Path(folder) / "store", Path(folder) / "pictures"
        write_pictures(source, pictures, size)
        words = [
            sys.executable,
            "-m",
            "facelime_cli",
            "preprocess",
            str(source),
            "--size",
            str(size),
            "--store",
            str(store),
            "--quiet",
        ]
        dataset = subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()
        images = [decode(path) for path in sorted(source.iterdir())]
        for number in range(rounds):
            costs.append(
                (
                    measured(lambda: quickshift_alone(images)),
                    quickshift_in_processes(images, workers),
                    segment(store, dataset, workers),
                )
            )
            print(
                f"round {number + 1}: " + ", ".join(f"{cost.seconds:.1f} s" for cost in costs[-1]),
                file=sys.stderr,
                flush=True,
            )
    return costs


def main() -> None:
    """Measure and print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=100, help="Segment so many pictures. [default: 100]")
    parser.add_argument("--size", type=int, default=299, help="Make pictures of this side, in pixels. [default: 299]")
    parser.add_argument(
        "--workers", type=int, default=machine.cores(), help="Use so many processes. [default: the machine's cores]"
    )
    parser.add_argument("--rounds", type=int, default=3, help="Measure so many times. [default: 3]")
    options = parser.parse_args()
    costs = measure(options.pictures, options.size, options.workers, options.rounds)
    about = machine.hardware()
    print(
        f"{about['processor']}, {about['cores']} cores; {options.pictures} pictures of {options.size} px, "
        f"{options.workers} processes, medians of {options.rounds} rounds.\n"
    )
    print("| | seconds | ÷ scikit-image's seconds / processes | processor seconds | ÷ scikit-image's |")
    print("| --- | --- | --- | --- | --- |")
    names = ("scikit-image, one process", f"scikit-image, {options.workers} processes", "facelime segment")
    for column, name in enumerate(names):
        own = [row[column] for row in costs]
        alone = [row[0] for row in costs]
        pairs = list(zip(own, alone, strict=True))
        seconds = statistics.median(each.seconds for each in own)
        # Ratios are of neighbours in one round: a slow minute of the machine falls on both.
        ratio = statistics.median(each.seconds * options.workers / first.seconds for each, first in pairs)
        processor = statistics.median(each.processor for each in own)
        of_processor = statistics.median(each.processor / first.processor for each, first in pairs)
        print(f"| {name} | {seconds:.1f} | {ratio:.2f} | {processor:.1f} | {of_processor:.2f} |")


if __name__ == "__main__":
    main()
