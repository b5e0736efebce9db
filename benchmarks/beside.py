"""What composing costs OpenVINO and ONNX Runtime: their bare pass and facelime's pipeline in turns, in one process.

Run `python benchmarks/beside.py`; it needs the extras `onnx` and `openvino`.
Random weights, one picture, batches of 32.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
from conversion import FORMS, NETWORKS

if TYPE_CHECKING:
    from collections.abc import Callable

BATCH, AHEAD, SEGMENTS = 32, 2, 50
CASES = [("onnx", "float32"), ("openvino", "float32"), ("openvino", "bfloat16")]


def classifier_of(path: Path, size: int, runtime: str, precision: str) -> Any:
    """Return a converted network as `predict` has it."""
    from facelime_cli.answering import onnx_files, openvino_networks, whole_pictures
    from facelime_cli.answering.runtimes import How

    if runtime == "onnx":
        run = onnx_files.run_of(onnx_files.session_of(path), None)
    else:
        run = openvino_networks.Network(path, precision)
    model: Any = SimpleNamespace(id="net", facts={"size": size, "format": "keras"})
    return whole_pictures.whole_pictures(model, How(runtime, precision), run, {})


def in_turns(classifier: Any, size: int, calls: int, rounds: int) -> tuple[float, float]:
    """Return the bare pass's evaluations per second, and the share of them that the pipeline reaches."""
    from facelime_cli.predicting.device import Device

    draw = np.random.default_rng(0)
    rows, columns = np.indices((size, size)) * 7 // size
    segments = (rows * 7 + columns).reshape(1, -1).astype(np.int32)
    pictures = draw.integers(0, 256, (1, 2, size * size, 3), dtype=np.uint8)
    packed, index = draw.integers(0, 256, (BATCH, 16), dtype=np.uint8), np.zeros(BATCH, np.int32)
    prepared = classifier.prepare(packed, index, pictures, segments).copy()
    device = Device()

    def bare() -> None:
        for _ in range(calls):
            classifier.answer(prepared)

    def pipeline() -> None:
        pending: list[Any] = []
        for _ in range(calls):
            composing = device.beside(lambda: classifier.prepare(packed, index, pictures, segments))
            pending.append(device.submit(lambda own: classifier.answer(own.result()), composing))
            if len(pending) >= AHEAD:
                device.wait(pending.pop(0))
        for each in pending:
            device.wait(each)

    bare(), pipeline()
    pairs = [(_seconds(bare), _seconds(pipeline)) for _ in range(rounds)]
    rate = statistics.median(calls * BATCH / one for one, _ in pairs)
    return rate, statistics.median(one / other for one, other in pairs)


def _seconds(call: Callable[[], None]) -> float:
    begun = time.perf_counter()
    call()
    return time.perf_counter() - begun


def main() -> None:
    """Measure every network with every runtime."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS))
    parser.add_argument("--calls", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--write", nargs=3, metavar=("NETWORK", "FORM", "FILE"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.write:
        _write(*given.write)
        return
    print("| network | runtime | precision | bare pass, evaluations/s | ÷ its bare pass |")
    print("| --- | --- | --- | --- | --- |")
    for network in given.networks:
        with tempfile.TemporaryDirectory() as folder:
            for form, name in FORMS.items():
                words = [sys.executable, __file__, "--write", network, form, str(Path(folder) / name)]
                subprocess.run(words, check=True)
            for runtime, precision in CASES:
                size = NETWORKS[network]
                classifier = classifier_of(Path(folder) / FORMS[runtime], size, runtime, precision)
                rate, ratio = in_turns(classifier, size, given.calls, given.rounds)
                print(f"| {network} | {runtime} | {precision} | {rate:.1f} | {ratio:.3f} |", flush=True)


def _write(network: str, form: str, path: str) -> None:
    """Convert one network with random weights, in a process of its own."""
    from conversion import wrapped

    from facelime_cli.models import exporting

    exporting.export(exporting.reading_planes(wrapped(network)), Path(path), form)


if __name__ == "__main__":
    main()
