"""Measure what share of the wall time of `explain` the model computes, and what the processor does in the rest.

The command runs as it is, in a process of its own that begins cold. Only its clocks are added: each call of the
compiled network is timed, each stage, and where the main thread spends its time. The wall time begins before Python
starts.

    python benchmarks/streaming.py MODEL FOLDER [--pictures 100] [--samples 300] [--timeline FILE] [-- OPTION …]

MODEL is a Keras file with two classes, whose pictures are scaled to -1..1. Options after `--` go to `explain`, such as
`-- --views single --no-check`. The share is that of the time in which a call runs. On a processor other threads and
other programs slow such a call down. So `share_at_undisturbed_rate` stands beside it: what the share would be if every
call took as long as the fastest ones. FILE keeps when each call and each stage ran.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SUFFIXES = {".jpg", ".jpeg", ".png"}
UNDISTURBED = 0.05
"""The share of the fastest calls whose slowest says how fast a call is that nothing disturbs."""


@dataclass
class Clocks:
    """When calls of the network and stages ran, in seconds of the system's clock."""

    calls: list[tuple[float, float, int]] = field(default_factory=list)
    stages: list[tuple[str, float, float]] = field(default_factory=list)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a part of the work."""
        begun = time.time()
        try:
            yield
        finally:
            self.stages.append((name, begun, time.time()))

    def timed(self, composed: Callable[..., Any]) -> Callable[..., Any]:
        """Return a compiled call that is timed."""

        def call(packed: Any, *rest: Any) -> Any:
            begun = time.time()
            answers = composed(packed, *rest)
            self.calls.append((begun, time.time(), len(packed)))
            return answers

        return call


def explain(words: list[str], report: Path) -> None:
    """Run `facelime explain` in this process with clocks, and write what they say."""
    clocks = Clocks()
    _add(clocks)
    sys.argv = ["facelime", "explain", *words]
    from facelime_cli.__main__ import main

    try:
        main()
    finally:
        report.write_text(json.dumps({"calls": clocks.calls, "stages": clocks.stages, "end": time.time()}))


def _add(clocks: Clocks) -> None:
    """Put clocks around the loading of models and around the work of each artifact."""
    from facelime_cli import engine
    from facelime_cli.answering import runtimes

    load, do, lay_out = runtimes.load, engine._do_shard, engine._lay_out  # noqa: SLF001 - clocks go inside

    def loading(*arguments: Any, **named: Any) -> Any:
        with clocks.stage("load"):
            classifier = load(*arguments, **named)
        return replace(classifier, composed=clocks.timed(classifier.composed))

    def working(artifact: Any, *arguments: Any, **named: Any) -> None:
        with clocks.stage(artifact.stage):
            do(artifact, *arguments, **named)

    def laying(stage: Any, *arguments: Any) -> Any:
        with clocks.stage("lay out " + stage.name):
            return lay_out(stage, *arguments)

    runtimes.load, engine._do_shard, engine._lay_out = loading, working, laying  # noqa: SLF001


def measured(words: list[str], folder: Path) -> dict[str, Any]:
    """Run `explain` cold, and return when what ran."""
    report = folder / "clocks.json"
    begun = time.time()
    done = subprocess.run(
        [sys.executable, __file__, "--child", str(report), *words], capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(done.stderr)
    return {**json.loads(report.read_text()), "begun": begun, "said": done.stderr}


def told(found: dict[str, Any]) -> dict[str, Any]:
    """Return shares and rates."""
    wall = found["end"] - found["begun"]
    calls = found["calls"]
    full = max(n for *_, n in calls)
    quick = sorted(end - begun for begun, end, n in calls if n == full)
    best = quick[int(UNDISTURBED * len(quick))]
    within = sum(end - begun for begun, end, _ in calls)
    stages: dict[str, float] = defaultdict(float)
    for name, begun, end in found["stages"]:
        stages[name] += end - begun
    first, last = calls[0][0], calls[-1][1]
    return {
        "wall_seconds": round(wall, 1),
        "calls": len(calls),
        "share": round(within / wall, 3),
        "share_at_undisturbed_rate": round(len(calls) * best / wall, 3),
        "undisturbed_call_seconds": round(best, 4),
        "before_first_call": round(first - found["begun"], 1),
        "between_calls": round(last - first - within, 1),
        "after_last_call": round(found["end"] - last, 1),
        "stages": {name: round(seconds, 1) for name, seconds in stages.items()},
    }


def main() -> None:
    """Read the command line, measure, and print one JSON object."""
    if sys.argv[1:2] == ["--child"]:
        explain(sys.argv[3:], Path(sys.argv[2]))
        return
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pictures", type=int, default=100)
    parser.add_argument("--samples", type=int, default=300)
    parser.add_argument("--timeline", type=Path)
    given = sys.argv[1:]
    cut = given.index("--") if "--" in given else len(given)
    chosen, options = parser.parse_args(given[:cut]), given[cut + 1 :]
    with tempfile.TemporaryDirectory() as scratch:
        folder, store = Path(scratch), Path(scratch, "store")
        model = _imported(chosen.model, store)
        pictures = _linked(chosen.folder, chosen.pictures, folder / "pictures")
        words = [str(pictures), "--model", model, "--samples", str(chosen.samples), "--store", str(store)]
        found = measured([*words, *options], folder)
    if chosen.timeline:
        chosen.timeline.write_text(json.dumps(found))
    print(json.dumps(told(found), indent=1))


def _imported(source: str, store: Path) -> str:
    """Import a Keras file of two classes, and return its reference."""
    words = ["import-model", source, "--classes", "no,yes", "--scaling=-1..1", "--store", str(store)]
    done = subprocess.run([sys.executable, "-m", "facelime_cli", *words], capture_output=True, text=True, check=True)
    return done.stdout.split()[-1]


def _linked(source: Path, n: int, folder: Path) -> Path:
    """Return a folder with the first pictures of another, class by class where it has folders."""
    found = sorted(path for path in source.rglob("*") if path.suffix.lower() in SUFFIXES)
    by_folder: dict[Path, list[Path]] = defaultdict(list)
    for path in found:
        by_folder[path.parent].append(path)
    each = -(-n // len(by_folder))
    for paths in by_folder.values():
        for path in paths[:each]:
            linked = folder / path.relative_to(source)
            linked.parent.mkdir(parents=True, exist_ok=True)
            linked.write_bytes(path.read_bytes())
    return folder


if __name__ == "__main__":
    main()
