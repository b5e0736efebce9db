"""Measure a whole pipeline in shards: what a shard costs, and what grows with the number of pictures.

Drawn faces of 32 pixels and a tiny network go through the steps of `facelime jobs`. Each step is laid out, asked
for what is missing, run in shards, two processes at a time, and asked again. Every process is timed by itself.

    python benchmarks/shards.py --dir DIR --pictures 20000 --shards 64           # the bounds of docs/cluster.md
    python benchmarks/shards.py --dir DIR --pictures 2000 --shards 1 2 8 64      # what dividing costs

- Memory is the largest of one process, as the system counted it (`ru_maxrss`).
- "per unit and array" is the size of the manifest, divided by units times arrays. A report has no arrays: the two
  files of a block count in their place.
- Sealing is the time from the end of the last unit to the line "sealed" of the logs.
- Each number of shards has a store of its own. What is done already is found again, not measured: give another DIR.

It exits 1 when a bound is broken.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import datetime
from itertools import repeat
from pathlib import Path
from typing import Any

from load import CLASSES, FILES_OF_BLOCK, SIDE, UNIT, write_model, write_pictures

from facelime_cli import machine

MOST_MANIFEST, MOST_OF_REPORT = 200, 250
"""Bytes for each unit and array, and for each file of a report: its digest stands in the list of files and in its unit.
"""
MOST_MISSING, MOST_SEALING = 2.0, 60.0
MOST_MEMORY = 2e9
AT_A_TIME = 2
COLUMNS = (
    *("step", "pictures", "shards", "s", "processor, s", "cheapest shard, s", "lay-out, s", "--missing, s"),
    *("sealing, s", "memory, MB", "files", "MB", "manifest, bytes per unit and array"),
)
MEGA = 1e6


@dataclass(frozen=True)
class Cost:
    """What one step cost in so many shards.

    Attributes
    ----------
    pictures, shards : int
    step : str
        The subcommand.
    seconds : float
        From the first shard's start to the last one's end.
    processor : float
        Seconds of all processors, lay-out included.
    least : float
        Seconds of the processor of the cheapest shard: little more than a start.
    lay_out : float
        Seconds by the clock.
    missing : float
        Seconds by the clock, the longest of three: before the artifact is there, laid out, and done.
    sealing : float
        Seconds.
    memory : float
        Bytes, of the largest process.
    files : int
        Of the artifact.
    size : int
        Bytes of the artifact.
    manifest : float
        Bytes for each unit and array.
    """

    pictures: int
    shards: int
    step: str
    seconds: float
    processor: float
    least: float
    lay_out: float
    missing: float
    sealing: float
    memory: float
    files: int
    size: int
    manifest: float

    def faults(self) -> list[str]:
        """Return a sentence for each bound that is broken."""
        name = f"{self.step} of {self.pictures:,} pictures in {self.shards} shards"
        bounds = [
            (
                self.manifest > (MOST_OF_REPORT if self.step == "render" else MOST_MANIFEST),
                f"has {self.manifest:.0f} bytes of manifest for each unit and array",
            ),
            (self.missing > MOST_MISSING, f"took {self.missing:.1f} s for --missing"),
            (self.sealing > MOST_SEALING, f"was sealed in {self.sealing:.0f} s"),
            (self.memory > MOST_MEMORY, f"took {self.memory / MEGA:.0f} MB"),
        ]
        return [f"{name} {what}." for broken, what in bounds if broken]


def main() -> int:
    """Run the pipeline in each number of shards, and print a table; 1 when a bound is broken."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dir", type=Path, required=True, help="pictures, store and figures stay here")
    parser.add_argument("--pictures", type=int, default=20_000)
    parser.add_argument("--shards", type=int, nargs="+", default=[64])
    parser.add_argument("--samples", type=int, default=100, help="evaluations of each picture")
    parser.add_argument("--fill", default="nearest-unlike")
    given = parser.parse_args()
    costs = []
    for shards in given.shards:
        store = given.dir / f"store-{shards}"
        prepared(given.dir, given.pictures, store)
        for words in steps(given, store, shards):
            cost = step_cost(words, store, given.pictures, shards)
            print(json.dumps(asdict(cost)), file=sys.stderr, flush=True)
            with (given.dir / "shards.jsonl").open("a") as file:
                file.write(json.dumps(asdict(cost)) + "\n")
            costs.append(cost)
    print(table(costs))
    broken = [each for cost in costs for each in cost.faults()]
    print("\n".join(broken) if broken else "Every bound holds.")
    return 1 if broken else 0


def prepared(folder: Path, pictures: int, store: Path) -> None:
    """Draw the pictures, and put dataset and model into the store; what is there stays."""
    folder.mkdir(parents=True, exist_ok=True)
    write_pictures(folder / f"{pictures}", pictures)
    write_model(folder / "tiny.keras")
    run(["preprocess", str(folder / f"{pictures}"), "--size", str(SIDE), "--name", f"faces-{pictures}"], store)
    model = ["import-model", str(folder / "tiny.keras"), "--classes", ",".join(CLASSES), "--scaling", "0..1"]
    run([*model, "--name", "tiny"], store)


def steps(given: argparse.Namespace, store: Path, shards: int) -> list[list[str]]:
    """Return the words of each step of the pipeline, as `facelime jobs` fixes them."""
    to = given.dir / f"jobs-{given.pictures}-{shards}"
    words = ["jobs", "slurm", "--dataset", f"faces-{given.pictures}", "--model", "tiny"]
    words += ["--samples", str(given.samples), "--fill", given.fill, "--segments", "16"]
    run([*words, "--shards", str(shards), "--to", str(to), "--force"], store)
    written = json.loads((to / "pipeline.json").read_text())
    return [each["words"] for each in written["pipeline"]["steps"]]


def step_cost(words: list[str], store: Path, pictures: int, shards: int) -> Cost:
    """Lay one step out, run its shards, and return what it cost."""
    missing = [run([*words, "--missing", str(shards)], store).seconds]
    laid = run([*words, "--lay-out"], store)
    missing.append(run([*words, "--missing", str(shards)], store).seconds)
    begun = time.monotonic()
    each_shard = [[*words, "--shard", f"{shard}/{shards}"] for shard in range(1, shards + 1)]
    with ThreadPoolExecutor(AT_A_TIME) as threads:
        ran = list(threads.map(run, each_shard, repeat(store)))
    seconds = time.monotonic() - begun
    missing.append(run([*words, "--missing", str(shards)], store).seconds)
    path = Path(ran[-1].answer["path"])
    files = [each for each in path.rglob("*") if each.is_file()]
    arrays = len(list((path / "arrays.zarr").rglob("zarr.json"))) - 1 or FILES_OF_BLOCK
    units = -(-pictures // UNIT)
    return Cost(
        pictures=pictures,
        shards=shards,
        step=words[0],
        seconds=seconds,
        processor=laid.processor + sum(each.processor for each in ran),
        least=min(each.processor for each in ran),
        lay_out=laid.seconds,
        missing=max(missing),
        sealing=sealing(path),
        memory=max(each.memory for each in [laid, *ran]),
        files=len(files),
        size=sum(each.stat().st_size for each in files),
        manifest=(path / "manifest.json").stat().st_size / (units * arrays),
    )


@dataclass(frozen=True)
class Ran:
    """One process: its answer, seconds by the clock and of processors, and its memory in bytes."""

    answer: Any
    seconds: float
    processor: float
    memory: float


def run(words: list[str], store: Path) -> Ran:
    """Run one command, and return what it answered and cost."""
    begun = time.monotonic()
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        command = [sys.executable, "-m", "facelime_cli", *words, "--store", str(store), "--json"]
        process = subprocess.Popen(command, stdout=out, stderr=err)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.monotonic() - begun
        process.returncode = os.waitstatus_to_exitcode(status)
        for stream in (out, err):
            stream.seek(0)
        if process.returncode:
            raise SystemExit(f"{' '.join(words)}: {err.read()}")
        answer = json.loads(out.read())
    return Ran(answer, seconds, usage.ru_utime + usage.ru_stime, 1024.0 * usage.ru_maxrss)


def sealing(path: Path) -> float:
    """Return the seconds between the end of the last unit and the seal, by the artifact's logs."""
    lines = [json.loads(line) for file in (path / "logs").glob("*.jsonl") for line in file.read_text().splitlines()]
    ends = {
        each["event"]: datetime.fromisoformat(each["time"]) for each in sorted(lines, key=lambda line: line["time"])
    }
    return (ends["sealed"] - ends["unit"]).total_seconds() if {"sealed", "unit"} <= ends.keys() else 0.0


def table(costs: list[Cost]) -> str:
    """Return all costs as a table in Markdown."""
    lines = [
        f"{os.cpu_count()} cores; {', '.join(f'{name} {number}' for name, number in machine.software().items())}",
        "",
        f"| {' | '.join(COLUMNS)} |",
        f"| --- |{' --- |' * (len(COLUMNS) - 1)}",
    ]
    for each in costs:
        times = (each.seconds, each.processor, each.least, each.lay_out, each.missing, each.sealing)
        told = [f"{each.pictures:,}", str(each.shards), *(f"{time:.1f}" for time in times)]
        told += [f"{each.memory / MEGA:.0f}", str(each.files), f"{each.size / MEGA:.1f}", f"{each.manifest:.0f}"]
        lines.append(f"| {each.step} | {' | '.join(told)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
