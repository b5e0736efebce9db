"""Measure memory, files and time of every stage as the number of pictures grows 4 and 16 times.

Drawn faces of 32 pixels go through `preprocess` and `segment`: 1,250, 5,000 and 20,000. Of them 63, 252 and 1,008 go
through the other stages with a tiny network, with 1,000 evaluations each. Every command runs in a process of its own,
one after the other, as a person would run it.

- Memory is the largest sum of the private memory of all processes of a command, and once what the largest of them maps
  of files, such as libraries. It is sampled every 0.1 s. Linux alone tells it.
- Files are those of the artifact that the command made. The promise is one per 32 pictures and array, and a constant. A
  report has a page and a strip of thumbnails for 32 pictures; one of few pictures has files for each of them.
- Time is judged by the processor's: other programs on a machine change the clock's. "× time" divides it by that of the
  smallest run. Linear work has at most the ratio of the pictures, since starting costs the same for few and many.

    python benchmarks/load.py [--times 1 4 16] [--pictures 1250] [--evaluated 63] [--samples 1000] [--dir DIR]

It exits 1 when a promise is broken. DIR, which needs about 2 GB, is kept; else a temporary folder is removed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from itertools import repeat
from pathlib import Path

from PIL import Image

from facelime_cli import machine
from facelime_cli.core.faces import draw

SIDE = 32
CLASSES = ("normal", "rosacea")
UNIT = 32
"""Pictures whose part of an array is one file."""
MOST_MEMORY = 2e9
MOST_OTHER_FILES = 48
"""Files of an artifact beside its units': manifest, layout, logs, the descriptions of arrays, a page and its tables."""
MOST_ON_A_PAGE, MOST_REPORT_FILES = 48, 16
"""Files of each picture of a report up to this size: picture, thumbnail, stand-ins, and examples of two classes."""
FILES_OF_BLOCK = 2
"""Of a larger report: a page, and a strip of thumbnails."""
MOST_MORE_TIME = 1.25
"""How much longer than linear a command may take: machines are noisy, and n log n is allowed."""
SAMPLED_EVERY = 0.1
MEGA = 1e6


@dataclass(frozen=True)
class Cost:
    """What one command cost.

    Attributes
    ----------
    times : int
        Which of the sizes.
    command : str
    pictures : int
    seconds : float
        By the clock.
    processor : float
        Seconds of all processors, in all processes of the command.
    memory : float
        Bytes.
    files : int
        Of the artifact that it made.
    arrays : int
    """

    times: int
    command: str
    pictures: int
    seconds: float
    processor: float
    memory: float
    files: int
    arrays: int

    @property
    def most_files(self) -> int:
        """How many files the promise allows."""
        units, pages = -(-self.pictures // UNIT), 0
        if self.command == "render":
            few = self.pictures <= MOST_ON_A_PAGE
            pages = MOST_REPORT_FILES * self.pictures if few else FILES_OF_BLOCK * units
        return self.arrays * units + MOST_OTHER_FILES + pages


def main() -> int:
    """Run every command at every size, and print a table; 1 when a promise is broken."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", nargs="+", type=int, default=[1, 4, 16], help="sizes, as multiples")
    parser.add_argument("--pictures", type=int, default=1250, help="pictures at 1×")
    parser.add_argument("--evaluated", type=int, default=63, help="pictures at 1× that a network evaluates")
    parser.add_argument("--samples", type=int, default=1000, help="evaluations of each")
    parser.add_argument("--dir", type=Path, help="keep pictures and stores here")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="facelime-load-") as temporary:
        folder = given.dir or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        costs: list[Cost] = []
        for times in given.times:
            place = folder / f"{times}x"
            write_pictures(place / "pictures", given.pictures * times)
            write_model(place / "tiny.keras")
            commands = commands_of(place, given.evaluated * times, given.samples)
            for command, words, pictures in commands:
                cost = measured(times, command, [*words, "--store", str(place / "store")], pictures or count(place))
                print(json.dumps(asdict(cost)), file=sys.stderr, flush=True)
                costs.append(cost)
    print(table(costs))
    broken = faults(costs)
    print("\n".join(broken) if broken else "Every promise holds.")
    return 1 if broken else 0


def count(place: Path) -> int:
    """Return how many pictures were drawn."""
    return sum(1 for _ in (place / "pictures").rglob("*.png"))


def write_pictures(folder: Path, number: int) -> None:
    """Draw faces, half of each class; those that are there already stay."""
    for name in CLASSES:
        (folder / name).mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor() as processes:
        list(processes.map(write_picture, repeat(folder), range(number), chunksize=250))


def write_picture(folder: Path, number: int) -> None:
    """Draw one face, unless it is there."""
    path = folder / CLASSES[number % 2] / f"{number:06d}.png"
    if not path.exists():
        Image.fromarray(draw(0, number, SIDE, flushed=number % 2 == 1).image).save(path)


def write_model(path: Path) -> None:
    """Write a network of two layers whose weights are random."""
    if path.exists():
        return
    # In a process of its own, since this one stays small.
    code = (
        "import keras, sys; keras.utils.set_random_seed(0); L = keras.layers;"
        f"keras.Sequential([keras.Input(({SIDE}, {SIDE}, 3)), L.Conv2D(4, 5, strides=4, activation='relu'),"
        "L.GlobalAveragePooling2D(), L.Dense(2, activation='softmax')]).save(sys.argv[1])"
    )
    subprocess.run([sys.executable, "-c", code, path], check=True, capture_output=True)


def commands_of(place: Path, evaluated: int, samples: int) -> list[tuple[str, list[str], int]]:
    """Return name, words and number of pictures of each command; 0 pictures for all that there are."""
    some = ["--first", str(evaluated)]
    model = ["import-model", str(place / "tiny.keras"), "--classes", ",".join(CLASSES), "--scaling", "0..1"]
    sampled = ["--samples", str(samples)]
    view = ["--fill", "blur"]
    return [
        ("preprocess", ["preprocess", str(place / "pictures"), "--size", str(SIDE), "--name", "all"], 0),
        ("segment", ["segment", "all", "--segments", "16", "--name", "all-parts"], 0),
        ("import-model", [*model, "--name", "tiny"], 1),
        ("segment (some)", ["segment", "all", "--segments", "16", *some, "--name", "parts"], evaluated),
        ("perturb", ["perturb", "parts", *sampled, "--name", "masks"], evaluated),
        ("predict", ["predict", "masks", "--model", "tiny", "--name", "answers"], evaluated),
        ("fit-surrogate", ["fit-surrogate", "answers", "--name", "one"], evaluated),
        ("perturb (blur)", ["perturb", "parts", *sampled, *view, "--name", "masks-2"], evaluated),
        ("predict (blur)", ["predict", "masks-2", "--model", "tiny", "--name", "answers-2"], evaluated),
        ("fit-surrogate (blur)", ["fit-surrogate", "answers-2", "--name", "two"], evaluated),
        ("consensus", ["consensus", "surrogates/one", "surrogates/two", "--name", "both"], evaluated),
        ("check", ["check", "surrogates/both", "--name", "checked"], evaluated),
        ("render", ["render", "checks/checked", "--name", "page"], evaluated),
        ("status", ["status"], 0),
        ("verify", ["verify"], 0),
    ]


# Measuring


def measured(times: int, command: str, words: list[str], pictures: int) -> Cost:
    """Run one command and return what it cost."""
    begun = time.monotonic()
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        process = subprocess.Popen([sys.executable, "-m", "facelime_cli", *words, "--json"], stdout=out, stderr=err)
        memory = Memory(process.pid)
        memory.start()
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.monotonic() - begun
        memory.ended.set()
        memory.join()
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        if process.returncode:
            raise SystemExit(f"{' '.join(words)}: {err.read()}")
        answer = json.loads(out.read())
    path = Path(answer["path"]) if isinstance(answer, dict) and "path" in answer else None
    n_files = sum(each.is_file() for each in path.rglob("*")) if path else 0
    n_arrays = len(list((path / "arrays.zarr").rglob("zarr.json"))) - 1 if path else 0
    processor = usage.ru_utime + usage.ru_stime
    return Cost(times, command, pictures, seconds, processor, memory.most, n_files, max(n_arrays, 0))


class Memory(threading.Thread):
    """Watches the memory of a process and of all that it started.

    Parameters
    ----------
    pid : int

    Attributes
    ----------
    most : float
        Bytes, the largest sum that was seen.
    ended : threading.Event
        Set it to end the watch.
    """

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.pid, self.most, self.ended = pid, 0.0, threading.Event()

    def run(self) -> None:
        """Sample until the end."""
        while not self.ended.wait(SAMPLED_EVERY):
            self.most = max(self.most, memory_of(family(self.pid)))


def family(pid: int) -> list[int]:
    """Return a process and all its descendants."""
    found, waiting = [], [pid]
    while waiting:
        each = waiting.pop()
        found.append(each)
        try:
            for task in Path(f"/proc/{each}/task").iterdir():
                waiting += map(int, (task / "children").read_text().split())
        except OSError:
            continue  # it has ended
    return found


def memory_of(pids: list[int]) -> float:
    """Return the bytes of some processes: what is private to each, and once what the largest maps of files."""
    own, shared = 0.0, 0.0
    for pid in pids:
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
        except OSError:
            continue  # it has ended
        kilobytes = {name: float(value.split()[0]) for name, _, value in (line.partition(":") for line in lines)}
        own += 1024 * kilobytes["Anonymous"]
        shared = max(shared, 1024 * (kilobytes["Rss"] - kilobytes["Anonymous"]))
    return own + shared


# Judging


def table(costs: list[Cost]) -> str:
    """Return all costs as a table in Markdown."""
    first: dict[str, Cost] = {}
    for each in costs:
        first.setdefault(each.command, each)
    lines = [
        f"{os.cpu_count()} cores; {', '.join(f'{name} {number}' for name, number in machine.software().items())}",
        "",
        "| command | pictures | × pictures | s | processor, s | × time | memory, MB | files | arrays | files allowed |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for each in sorted(costs, key=lambda cost: list(first).index(cost.command)):
        base = first[each.command]
        more = f"{each.pictures / base.pictures:.0f} | {each.seconds:.1f}"
        more += f" | {each.processor:.1f} | {each.processor / base.processor:.1f}"
        files = f"{each.files} | {each.arrays} | {each.most_files}" if each.files else "– | – | –"
        lines.append(f"| {each.command} | {each.pictures:,} | {more} | {each.memory / MEGA:.0f} | {files} |")
    return "\n".join(lines)


def faults(costs: list[Cost]) -> list[str]:
    """Return a sentence for each promise that is broken."""
    found = []
    before: dict[str, Cost] = {}
    for each in costs:
        name = f"{each.command} of {each.pictures:,} pictures"
        if each.memory > MOST_MEMORY:
            found.append(f"{name} took {each.memory / MEGA:.0f} MB.")
        if each.files > each.most_files:
            found.append(f"{name} wrote {each.files} files; {each.most_files} are allowed.")
        smaller = before.get(each.command)
        if smaller and each.pictures > smaller.pictures:
            linear = smaller.processor * each.pictures / smaller.pictures
            if each.processor > MOST_MORE_TIME * linear:
                found.append(f"{name} took {each.processor:.1f} s of processors; linear is {linear:.1f} s.")
        before[each.command] = each
    return found


if __name__ == "__main__":
    sys.exit(main())
