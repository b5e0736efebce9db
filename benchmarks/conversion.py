"""Peak memory and time of converting Keras networks for other runtimes, each in a process of its own.

Run `python benchmarks/conversion.py`; it needs the extras `onnx` and `openvino`.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

NETWORKS = {"MobileNetV2": 224, "InceptionV3": 299}
FORMS = {"onnx": "net.onnx", "openvino": "net.xml"}


def wrapped(network: str) -> Any:
    """Return a network with random weights that reads display space."""
    from facelime_cli.models import wrapping
    from facelime_cli.models.backend import keras

    size = NETWORKS[network]
    bare = getattr(keras().applications, network)(weights=None, classes=2, input_shape=(size, size, 3))
    return wrapping.with_scaling(bare, scaling="-1..1", size=size, n_classes=2, activation=None)


def one(network: str, form: str) -> None:
    """Convert one network with random weights, and print its time in seconds and its peak memory in MB."""
    from facelime_cli.models import exporting

    net = wrapped(network)
    before = _peak()
    begun = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        exporting.export(exporting.reading_planes(net), Path(folder) / FORMS[form], form)
    print(f"| {network} | {form} | {time.perf_counter() - begun:.1f} | {before} | {_peak()} |")


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def main() -> None:
    """Convert every network for every runtime."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--one", nargs=2, metavar=("NETWORK", "FORM"))
    given = parser.parse_args()
    if given.one:
        one(*given.one)
        return
    print("| network | for | s | MB before | MB at most |\n| --- | --- | --- | --- | --- |", flush=True)
    for network in NETWORKS:
        for form in FORMS:
            subprocess.run([sys.executable, __file__, "--one", network, form], check=True)


if __name__ == "__main__":
    main()
