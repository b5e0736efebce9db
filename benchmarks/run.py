"""Measure `predict` against the machine's ceiling and against every peer, and print the tables of docs/benchmarks.md.

Every contender explains the same picture with the same segments and the same network. Captum and
`torch` take a network of the same architecture in PyTorch (`torch_networks.py`, MobileNetV2 alone). Weights are random,
since speed does not depend on them. Each contender runs in a process of its own. Each peer has an environment of its
own, which is made on first use.

Machines are noisy. So all contenders are measured in turns. A ratio is the median of the ratios of single rounds. Leave
the machine alone while it measures.

    python benchmarks/run.py [--networks inceptionv3 mobilenetv2] [--evaluations 1000] [--rounds 3]
        [--parts rates startup explain] [--only NAME …]
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import skimage.data
import skimage.io
from environments import Environments, cache_folder

from facelime_cli import machine
from facelime_cli.models import building, wrapping
from facelime_cli.models.backbones import BACKBONES
from facelime_cli.stages import INDEX
from facelime_cli.store.references import Store

HERE = Path(__file__).parent
RUNTIMES = (
    "keras:float32",
    "keras:bfloat16",
    "onnx:float32",
    "openvino:float32",
    "openvino:bfloat16",
    "torch:float32",
    "torch:bfloat16",
)
CONTENDERS = (
    "bare",
    "facelime:keras:float32",
    "lime",
    *(f"{kind}:{how}" for how in RUNTIMES[1:] for kind in ("bare", "facelime")),
    "notebook",
    "torch_bare",
    "captum_lime",
    "captum_kernel_shap",
    "xplique",
    "shap",
    "composition",
    "lime_without_model",
)
NAMES = {
    "bare": "bare forward pass, compiled, Keras float32",
    "lime": "lime 0.2.0.1 with Keras predict",
    "notebook": "the rosacea notebook's loop",
    "torch_bare": "bare forward pass, torch, channels last",
    "captum_lime": "Captum Lime, 32 a call",
    "captum_kernel_shap": "Captum KernelShap, 32 a call",
    "xplique": "Xplique Lime, 32 a call",
    "shap": "shap partition, 32 a call",
    "composition": "facelime's composition alone",
    "lime_without_model": "lime without a model",
}
BARE = {
    "facelime:keras:float32": "bare",
    "captum_lime": "torch_bare",
    "captum_kernel_shap": "torch_bare",
    "lime": "bare",
    "notebook": "bare",
    "xplique": "bare",
    "shap": "bare",
}
"""The bare pass of the network that a contender runs."""
STAGES = ("segment", "perturb", "fit-surrogate", "render")
LIBRARIES = "import skimage.segmentation, skimage.color, sklearn.linear_model"
IN_PYTORCH = ("mobilenetv2",)
"""Networks that `torch_networks.py` has."""
HELP_ROUNDS, COLD_ROUNDS = 5, 5
MEGABYTE = 1 << 20


@dataclass
class Measured:
    """What the contenders reported of one network.

    Attributes
    ----------
    network : str
        A key of `BACKBONES`.
    said : dict
        From a contender to its reports, round by round. None where it failed.
    errors : dict
        From a contender that failed to the reason.
    """

    network: str
    said: dict[str, list[dict[str, Any] | None]] = field(default_factory=lambda: defaultdict(list))
    errors: dict[str, str] = field(default_factory=dict)

    def median(self, name: str, figure: str = "rate") -> float | None:
        """Return the median of one figure."""
        reports = [each for each in self.said.get(name, []) if each is not None]
        known = [each[figure] for each in reports if each.get(figure) is not None]
        return statistics.median(known) if known else None

    def ratio(self, name: str, other: str, figure: str = "rate") -> float | None:
        """Return the median of the rounds' own ratios."""
        pairs = zip(self.said.get(name, []), self.said.get(other, []), strict=False)
        known = [a[figure] / b[figure] for a, b in pairs if a is not None and b is not None]
        return statistics.median(known) if known else None


def facelime(store: Path, *words: object) -> dict[str, Any]:
    """Return the JSON answer of one command."""
    done = subprocess.run(
        [sys.executable, "-m", "facelime_cli", *map(str, words), "--store", str(store), "--json", "--quiet"],
        capture_output=True,
        text=True,
        check=False,
        cwd=HERE,
    )
    if done.returncode:
        raise RuntimeError(f"facelime {' '.join(map(str, words))}: {done.stderr.strip()}")
    return dict(json.loads(done.stdout))


def prepare(folder: Path, backbone: str) -> None:
    """Write what every contender reads."""
    size = BACKBONES[backbone].size
    store = folder / "store"
    skimage.io.imsave(folder / "cat.png", skimage.data.chelsea())
    net = building.build(building.Architecture(backbone, size, 2, freeze="all")).whole
    wrapping.save(net, folder / "net.keras")
    facelime(store, "import-model", folder / "net.keras", "--classes", "a,b", "--scaling", "0..255", "--name", "net")
    if backbone in IN_PYTORCH and find_spec("torch") is not None:
        words = (f"torch_networks:{backbone}", "--classes", "a,b", "--scaling", "-1..1", "--size", size)
        facelime(store, "import-model", *words, "--name", "net-torch")
    facelime(store, "preprocess", folder / "cat.png", "--size", size, "--name", "cat")
    facelime(store, "segment", "cat", "--method", "quickshift", "--name", "cat-segments")
    segments = Store(store).resolve("cat-segments", ("segments",))
    np.save(folder / "segments.npy", segments.read("segments")[0])
    np.save(folder / "image.npy", segments.input("datasets").read("images")[0])
    (folder / "backbone").write_text(backbone)


def measure_once(name: str, interpreter: str, folder: Path, evaluations: int) -> dict[str, Any]:
    """Return what a contender reports, or an `error`."""
    process = subprocess.Popen(
        [interpreter, HERE / "contenders.py", name, folder, str(evaluations)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    out, errors = process.communicate()
    lines = [line for line in errors.strip().splitlines() if line.strip()]
    if process.returncode or not out.strip():
        return {"error": lines[-1] if lines else f"exit code {process.returncode}"}
    return {**json.loads(out.strip().splitlines()[-1])}


def with_peak(name: str, interpreter: str, folder: Path, evaluations: int) -> dict[str, Any]:
    """Return what a contender reports, with its peak memory, in bytes."""
    # The system tells only the peak of all children. So a process of its own has the contender as its only child.
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        found = measure_once(name, interpreter, folder, evaluations)
        found["peak_bytes"] = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
        os.write(writer, json.dumps(found).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as said:
        text = said.read()
    os.waitpid(child, 0)
    return dict(json.loads(text))


def rates(backbone: str, options: argparse.Namespace, environments: Environments) -> Measured:
    """Run every contender once a round."""
    measured = Measured(backbone)
    names = [name for name in CONTENDERS if not options.only or any(name.startswith(each) for each in options.only)]
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        prepare(folder, backbone)
        for number in range(options.rounds):
            for name in names:
                if number and any(name.startswith(each) for each in options.once):
                    measured.said[name].append(None)
                    continue
                interpreter = environments.interpreter(name)
                if interpreter is None:
                    found = {"error": environments.failed[name]}
                else:
                    found = with_peak(name, interpreter, folder, options.evaluations)
                if "error" in found:
                    measured.errors[name] = found["error"]
                    measured.said[name].append(None)
                    outcome = found["error"]
                else:
                    measured.said[name].append(found)
                    outcome = f"{found['rate']:.1f}/s"
                print(f"{backbone}, round {number + 1}, {name}: {outcome}", file=sys.stderr, flush=True)
    return measured


def shown(value: float | None, form: str = ".2f") -> str:
    """Return a number for a table, or a dash where there is none."""
    return "–" if value is None else format(value, form)


def name_of(contender: str) -> str:
    """Return a contender's name for people."""
    if contender in NAMES:
        return NAMES[contender]
    kind, _, how = contender.partition(":")
    what = "facelime" if kind == "facelime" else "bare forward pass"
    return f"{what}, {how.replace(':', ' ')}"


def tables(measured: Measured, options: argparse.Namespace) -> str:
    """Return one network's tables in Markdown."""
    size = BACKBONES[measured.network].size
    to_lime = {name: measured.ratio(name, "lime") for name in measured.said}
    lines = [
        f"### {measured.network}, {size} px, {options.evaluations} evaluations",
        "",
        "| contender | evaluations/s | ÷ its bare pass | ÷ lime | s to the same quality | peak memory, MB |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name in measured.said:
        if name in {"composition", "lime_without_model"}:
            continue
        rate = measured.median(name)
        needed = options.same_quality if name.startswith("facelime") else options.evaluations
        span = None if rate is None or "bare" in name or name in {"shap", "captum_kernel_shap"} else needed / rate
        peak = measured.median(name, "peak_bytes")
        cells = (
            shown(rate, ".1f"),
            shown(measured.ratio(name, bare_of(name)) if bare_of(name) else None),
            shown(to_lime[name]),
            shown(span, ".1f"),
            shown(peak and peak / MEGABYTE, ".0f"),
        )
        lines.append(f"| {name_of(name)} | {' | '.join(cells)} |")
    lines += ["", *own_time(measured, options.evaluations), ""]
    lines += [f"- {name_of(name)} could not be measured: {error}" for name, error in measured.errors.items()]
    return "\n".join([*lines, ""])


def bare_of(name: str) -> str:
    """Return the bare pass that a contender's own calls are compared with, or an empty string."""
    if name in BARE:
        return BARE[name]
    if name.startswith("facelime:"):
        return name.replace("facelime", "bare", 1)
    return ""


def own_time(measured: Measured, evaluations: int) -> list[str]:
    """Return the time that the explainers themselves take, as sentences."""
    ours, lime, figure = "facelime:keras:float32", "lime_without_model", "outside_seconds_per_1000"
    mine = measured.median(ours, figure)
    theirs = measured.median(lime, figure)
    ratio = measured.ratio(ours, lime, figure)
    composition = measured.median("composition")
    composing = 1000 / composition if composition else None
    perturb = measured.median(ours, "perturb_seconds")
    fit = measured.median(ours, "fit_seconds")
    return [
        (
            f"- outside the compiled call, per 1,000 evaluations: facelime {shown(mine, '.3f')} s, "
            f"lime without a model {shown(theirs, '.2f')} s; ratio {shown(ratio, '.3f')}"
        ),
        f"- composition inside the call, per 1,000 evaluations: {shown(composing, '.3f')} s",
        f"- masks of {evaluations} samples: {shown(perturb)} s; their surrogate with intervals: {shown(fit)} s",
    ]


def timed(words: list[object], environment: dict[str, str]) -> float:
    """Return the seconds that a process takes."""
    begun = time.perf_counter()
    done = subprocess.run(
        [str(each) for each in words], capture_output=True, text=True, env={**os.environ, **environment}, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, words))}: {done.stderr.strip()}")
    return time.perf_counter() - begun


def startup() -> str:
    """Return how long the commands take to answer, and stages on one picture against the libraries that they import."""
    least = [sys.executable, "-c", "import typer, rich.console"]
    words = {"": [], **{each.name: [each.name] for each in INDEX}}
    # Each round times everything once, so that a slow minute of the machine falls on all.
    help_seconds: dict[str, list[float]] = defaultdict(list)
    base: list[float] = []
    for _ in range(HELP_ROUNDS):
        base.append(timed(least, {}))
        for name, own in words.items():
            help_seconds[name].append(timed([sys.executable, "-m", "facelime_cli", *own, "--help"], {}))
    imports = statistics.median(base)
    middle = {name: statistics.median(each) / imports for name, each in help_seconds.items()}
    slowest = max(middle, key=lambda name: middle[name])
    lines = [
        "### Start-up",
        "",
        (
            f"Importing Typer and Rich alone takes {imports:.2f} s. `facelime --help` takes {middle['']:.2f} times as "
            f"long, `facelime COMMAND --help` {statistics.median(middle.values()):.2f} times (median over the "
            f"commands), and at most {middle[slowest]:.2f} times (`{slowest}`); medians of {HELP_ROUNDS} rounds."
        ),
        "",
        "| one picture, from a cold start | seconds | ÷ importing scikit-image and scikit-learn |",
        "| --- | --- | --- |",
    ]
    with tempfile.TemporaryDirectory() as place:
        folder, spans = Path(place), defaultdict(list)
        prepare(folder, "mobilenetv2")
        store = folder / "store"
        for number in range(COLD_ROUNDS):
            spans["libraries"].append(timed([sys.executable, "-c", LIBRARIES], {}))
            reference = "cat"
            masks = ""
            for stage in STAGES:
                more = {"segment": ["--segments", 60 + number], "perturb": ["--samples", 1000]}.get(stage, [])
                words = [
                    sys.executable,
                    "-m",
                    "facelime_cli",
                    stage,
                    reference,
                    *more,
                    "--name",
                    f"{stage}-{number}",
                    "--store",
                    store,
                    "--quiet",
                ]
                spans[stage].append(timed(words, {}))
                reference = f"{stage}-{number}"
                if stage == "perturb":
                    masks = facelime(store, "predict", reference, "--model", "net")["artifact"]
                    reference = masks
        base = spans.pop("libraries")
        for stage, each in spans.items():
            ratio = statistics.median(a / b for a, b in zip(each, base, strict=True))
            lines.append(f"| `{stage}` | {statistics.median(each):.2f} | {ratio:.2f} |")
        lines += [f"| importing the libraries | {statistics.median(base):.2f} | 1 |", ""]
    return "\n".join(lines)


def explain(options: argparse.Namespace) -> str:
    """Return how long `explain` takes from a cold start, on one picture and on many."""
    lines = [
        "### `facelime explain`, from a cold start",
        "",
        "| network | pictures | samples each | seconds | evaluations/s, start-up included | peak memory, MB |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    backbone = "mobilenetv2"
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        prepare(folder, backbone)
        picture = skimage.data.chelsea()
        for count in options.explain_pictures:
            pictures = folder / f"pictures-{count}"
            pictures.mkdir()
            for number in range(count):
                skimage.io.imsave(
                    pictures / f"{number:04d}.png", np.roll(picture, number, axis=1), check_contrast=False
                )
            words = [
                "-m",
                "facelime_cli",
                "explain",
                pictures,
                "--model",
                "net",
                "--samples",
                options.explain_samples,
                "--store",
                folder / "store",
                "--quiet",
            ]
            begun = time.perf_counter()
            process = subprocess.Popen([sys.executable, *map(str, words)], stdout=subprocess.DEVNULL)
            _, status, used = os.wait4(process.pid, 0)
            span = time.perf_counter() - begun
            process.returncode = os.waitstatus_to_exitcode(status)
            samples = options.explain_samples
            rate, peak = count * samples / span, used.ru_maxrss / 1024
            lines.append(f"| {backbone} | {count} | {samples} | {span:.1f} | {rate:.1f} | {peak:.0f} |")
    return "\n".join([*lines, ""])


def main() -> None:
    """Measure and print in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--networks",
        nargs="+",
        default=["inceptionv3", "mobilenetv2"],
        choices=["inceptionv3", "mobilenetv2"],
        help="Measure these networks. [default: both]",
    )
    parser.add_argument("--evaluations", type=int, default=1000, help="Time so many evaluations. [default: 1000]")
    parser.add_argument("--rounds", type=int, default=3, help="Measure so many times. [default: 3]")
    parser.add_argument(
        "--parts",
        nargs="+",
        default=["rates", "startup", "explain"],
        choices=["rates", "startup", "explain"],
        help="Measure these. [default: all three]",
    )
    parser.add_argument(
        "--only", nargs="+", default=[], metavar="NAME", help="Measure contenders whose names begin so. [default: all]"
    )
    parser.add_argument(
        "--once",
        nargs="+",
        default=[],
        metavar="NAME",
        help="Run contenders whose names begin so in the first round only, to save time. [default: none]",
    )
    parser.add_argument(
        "--same-quality",
        type=int,
        default=1000,
        help="Say how many evaluations facelime's best design needs for the error of lime's --evaluations, as "
        "benchmarks/designs.py measures it. [default: 1000]",
    )
    parser.add_argument(
        "--explain-pictures",
        nargs="+",
        type=int,
        default=[1, 100],
        help="Time `explain` on so many pictures. [default: 1 100]",
    )
    parser.add_argument(
        "--explain-samples", type=int, default=1000, help="Give `explain` so many samples. [default: 1000]"
    )
    parser.add_argument(
        "--interpreter",
        nargs="+",
        default=[],
        metavar="CONTENDER=PYTHON",
        help="Use this interpreter instead of making an environment.",
    )
    parser.add_argument(
        "--cache",
        type=Path,
        default=cache_folder(),
        help="Keep environments in this folder. [default: facelime-bench in the user's cache]",
    )
    options = parser.parse_args()
    environments = Environments(options.cache, dict(each.split("=", 1) for each in options.interpreter))
    about, versions = machine.hardware(), ", ".join(f"{name} {number}" for name, number in machine.software().items())
    print(
        f"{about['processor']}, {about['cores']} cores; {versions}. "
        f"Medians of {options.rounds} rounds; ratios are medians of the rounds' own.\n"
    )
    if "rates" in options.parts:
        for backbone in options.networks:
            print(tables(rates(backbone, options, environments), options), flush=True)
    if "startup" in options.parts:
        print(startup(), flush=True)
    if "explain" in options.parts:
        print(explain(options), flush=True)


if __name__ == "__main__":
    main()
