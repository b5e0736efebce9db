"""Train by every recipe in five folds, by patient or lesion, and measure the pictures of the fold that is left out.

    python benchmarks/training.py --store DIR [--data xray2,xray3,skin] [--folds 0,1,2,3,4]
        [--contenders none,probe,auto] [--threads N] [--json FILE] [--pictures DIR] [--more "--epochs 1"]
    python benchmarks/training.py --store DIR --ablation [--data …] [--folds …] [--parts smoothing,averaging]
    python benchmarks/training.py --store DIR --kills N [--data …] [--folds …]
    python benchmarks/training.py --store DIR --unlike [--folds …]

Every training is `facelime finetune … --fold I` in a process of its own, and its figures are those of
`evaluate --json`. DIR keeps the store, the seconds so far and FILE, which has a line for each fold that is done.
A run that was stopped goes on with the same command: lines that are there are not made again.

--ablation switches off one part of the recipe `auto` after the other (`PARTS` in facelime_cli/training/recipes.py).
--kills trains the same twice, once undisturbed and once killed N times at random moments, and compares both.
--unlike tells pictures that the network never learned: frozen features as in unlike.py, and the networks trained here.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np

from facelime_cli.training import recipes

# What is trained, and how: change it here

WEIGHTS = "weights/mobilenet_v2_1.0_224_imagenet.weights.h5"
BACKBONE = ("--backbone", "mobilenetv2", "--weights", "{pictures}/" + WEIGHTS)
"""Of every training; `{pictures}` is the folder of --pictures."""
FOLDS = 5
CHOSEN_ON = (0, 1)
"""The folds on which the recipe's numbers were chosen, as --fold counts them. The others are reported apart."""


@dataclass(frozen=True)
class Task:
    """A data set: how it is called, what `preprocess` takes, and what `finetune` is told of it."""

    words: str
    preprocess: tuple[str, ...]
    kind: str
    finetune: tuple[str, ...] = ()


TASKS = {
    "xray2": Task("X-ray, 2 classes", ("{pictures}/xray", "--group-pattern", "kermany"), "xray"),
    "xray3": Task(
        "X-ray, 3 classes",
        ("{pictures}/xray", "--label-pattern", "kermany", "--group-pattern", "kermany"),
        "xray",
    ),
    "skin": Task(
        "skin, 7 classes",
        (
            *("{pictures}/skin/images", "--table", "{pictures}/skin/metadata.csv", "--label-column", "dx"),
            *("--group-column", "lesion_id", "--one-per-group"),
        ),
        "skin",
    ),
}
CONTENDERS: dict[str, tuple[str, ...]] = {
    "none": ("--recipe", "none"),
    "probe": ("--recipe", "auto", "--kind", "{kind}", "--freeze", "all"),
    "auto": ("--recipe", "auto", "--kind", "{kind}"),
}
"""What each adds; `{kind}` is that of the data set. With --freeze all the recipe has nothing to train but its probe."""
WHOLE, BASE = "auto", "probe"
"""The recipe that parts are taken from, and the one that the others are compared with."""
OFF: dict[str, Any] = {
    "mirrored": False,
    "strengths": (1e-2,),
    "probe": False,
    "augmented": False,
    "freeze": "none",
    "epochs": 0,
    "weight_decay": 0.0,
    "warm_up": 0.0,
    "schedule": "constant",
    "averaging": 0.0,
    "smoothing": 0.0,
    "dropout": (),
}
"""The value that switches a part of `PARTS` off."""
NUMBERS = ("batch_size", "optimizer", "learning_rate")
"""Parts that are a number or a name, and cannot be switched off."""
HIGHER = ("accuracy", "balanced_accuracy", "auc")
"""Figures of which more is better."""
FIGURES = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced",
    "auc": "AUC",
    "log_loss": "log-loss",
    "ece_before": "ECE before",
    "ece_after": "ECE after",
    "unlike": "unlike",
    "seconds": "s",
}

WITH_PARTS = "--with-parts"
SAVED_EVERY = 5.0
"""Seconds after which the time of a training is written down."""
LOOKED_EVERY = 0.1
WATCHED = ("features-*.npy", "probe.npz")
"""Files of an unfinished training that must have the same bytes whenever they are computed."""
Row = dict[str, Any]


class Bench:
    """The folder of one benchmark: the store, the times and the lines of what is done."""

    def __init__(self, given: argparse.Namespace) -> None:
        self.given = given
        self.folder: Path = given.store
        self.folder.mkdir(parents=True, exist_ok=True)
        self.lines: Path = given.json or self.folder / "training.jsonl"
        self.more = tuple(shlex.split(given.more))
        self.datasets: dict[tuple[str, Path], str] = {}
        self.started: list[subprocess.Popen[str]] = []

    @property
    def store(self) -> Path:
        """Where facelime's artifacts are."""
        return self.folder / "artifacts"

    def words(self, task: Task, words: Sequence[str]) -> list[str]:
        """Return words of a command line with what stands in braces filled in."""
        return [each.format(pictures=self.given.pictures, kind=task.kind) for each in words]

    def dataset(self, name: str, store: Path) -> str:
        """Return the reference of a data set, which is prepared once."""
        if (name, store) not in self.datasets:
            words = self.words(TASKS[name], TASKS[name].preprocess)
            answer = self.run(["preprocess", *words, "--size", "224", "--folds", str(FOLDS), "--name", name], store)
            self.datasets[name, store] = f"datasets/{answer['artifact']}"
        return self.datasets[name, store]

    def training(self, dataset: str, name: str, contender: str, fold: int) -> list[str]:
        """Return the command of a training."""
        task = TASKS[name]
        words = self.words(task, (*BACKBONE, *CONTENDERS[contender], *task.finetune, *self.more))
        return ["finetune", dataset, *words, "--fold", str(fold), "--name", f"{name}-{contender}-{fold}"]

    def run(self, words: Sequence[str], store: Path, parts: Mapping[str, Any] | None = None) -> Row:
        """Run a command of facelime, and return its answer. `seconds` counts the runs that were stopped, too."""
        kept = self.folder / "seconds" / _key([*words, str(store), dict(parts or {})])
        kept.parent.mkdir(exist_ok=True)
        before = float(kept.read_text()) if kept.exists() else 0.0
        begun = time.monotonic()
        with (self.folder / "log.txt").open("a") as log:
            process = self.start(words, store, log, parts)
            try:
                while (text := _within(process, SAVED_EVERY)) is None:
                    kept.write_text(f"{before + time.monotonic() - begun:.1f}")
            except KeyboardInterrupt:
                process.terminate()
                process.wait()
                kept.write_text(f"{before + time.monotonic() - begun:.1f}")
                raise
        if process.returncode:
            last = (self.folder / "log.txt").read_text().splitlines()[-3:]
            sys.exit("\n".join([f"`facelime {shlex.join(words)}` ended with {process.returncode}:", *last]))
        answer: Row = json.loads(text)
        # What is found again took as long as it took.
        took = before if answer["reused"] and before else before + time.monotonic() - begun
        kept.write_text(f"{took:.1f}")
        return {**answer, "seconds": took}

    def start(
        self, words: Sequence[str], store: Path, log: Any, parts: Mapping[str, Any] | None = None
    ) -> subprocess.Popen[str]:
        """Start a command of facelime in a process of its own."""
        own = ["-m", "facelime_cli"] if parts is None else [__file__, WITH_PARTS, json.dumps(parts)]
        limits = {}
        if self.given.threads:
            names = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
            limits = dict.fromkeys(names, str(self.given.threads))
        command = [sys.executable, *own, *words, "--store", str(store), "--json"]
        log.write(f"$ facelime {shlex.join(words)}{' with ' + json.dumps(parts) if parts else ''}\n")
        log.flush()
        environment = {**os.environ, **limits}
        self.started.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, env=environment))
        return self.started[-1]

    def end(self) -> None:
        """End what still runs: it keeps its step."""
        for process in self.started:
            if process.poll() is None:
                process.terminate()
                process.wait()

    def row(self, name: str, contender: str, fold: int, part: str | None = None) -> Row:
        """Return the figures of one training, from the file of lines where they are there."""
        dataset = self.dataset(name, self.store)
        words = self.training(dataset, name, contender, fold)
        parts = None if part is None else {part: OFF[part]}
        by_recipe = [asdict(recipes.PARTS), dict(recipes.KINDS[TASKS[name].kind].augment)]
        key = _key([*words, by_recipe if contender != "none" else "", parts or {}])
        for line in self.known():
            if line["key"] == key:
                return line
        trained = self.run(words, self.store, parts)
        what = {"data": name, "contender": contender, "fold": fold, "part": part, "key": key}
        found = {**what, **self.measured(trained, self.store), "seconds": trained["seconds"]}
        self.keep(found)
        return found

    def measured(self, trained: Row, store: Path) -> Row:
        """Return the figures of the fold that a network was not trained on."""
        model = f"models/{trained['artifact']}"
        answer = self.run(["evaluate", model, "--bootstrap", "100"], store)
        with (Path(answer["path"]) / "predictions.csv").open() as stream:
            rows = list(csv.DictReader(stream))
        own = np.array([float(row[row["label"]]) for row in rows])
        calibration = answer["calibration_figures"]
        after = calibration["expected_calibration_error"] if "before" in calibration else None
        return {
            "model": model,
            "pictures": len(rows),
            "kept_epoch": trained["facts"].get("kept", {}).get("epochs"),
            **{figure: answer[figure] for figure in HIGHER},
            "log_loss": float(-np.log(np.maximum(own, 1e-15)).mean()),
            "ece_before": calibration.get("before", calibration)["expected_calibration_error"],
            "ece_after": after,
            "unlike": answer.get("unlike", {}).get("share"),
        }

    def known(self) -> list[Row]:
        """Return the lines of what is done."""
        return [json.loads(line) for line in self.lines.read_text().splitlines()] if self.lines.exists() else []

    def keep(self, row: Row) -> None:
        """Append a line."""
        with self.lines.open("a") as stream:
            stream.write(json.dumps(row) + "\n")


def _key(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def _within(process: subprocess.Popen[str], seconds: float) -> str | None:
    """Return what a process has printed where it ends within some seconds."""
    try:
        return process.communicate(timeout=seconds)[0]
    except subprocess.TimeoutExpired:
        return None


def with_other_parts(changes: Mapping[str, Any], words: Sequence[str]) -> None:
    """Be facelime with other numbers of the recipe `auto`, which no option changes."""
    # Before any module takes them from there.
    taken = {"facelime_cli.training.wanted", "facelime_cli.training.settings"} & set(sys.modules)
    assert not taken, taken
    typed = {name: tuple(value) if isinstance(value, list) else value for name, value in changes.items()}
    recipes.PARTS = replace(recipes.PARTS, **typed)
    sys.argv = ["facelime", *words]
    from facelime_cli.__main__ import main as facelime

    facelime()


# Tables


def means(rows: Sequence[Row]) -> dict[str, float | None]:
    """Return the mean of each figure over rows; None where a row lacks it."""
    found: dict[str, float | None] = {}
    for name in FIGURES:
        values = [row[name] for row in rows]
        found[name] = None if None in values else float(np.mean(values))
    return found


def _cells(found: Mapping[str, float | None]) -> str:
    digits = {"seconds": 0}
    return " | ".join(
        "–" if found[name] is None else f"{found[name]:.{digits.get(name, 4 if name == 'log_loss' else 3)}f}"
        for name in FIGURES
    )


def not_worse(rows: Sequence[Row], base: Sequence[Row], figure: str) -> str:
    """Return in how many folds a figure is as good as that of the base."""
    theirs = {row["fold"]: row[figure] for row in base}
    pairs = [(row[figure], theirs[row["fold"]]) for row in rows if row["fold"] in theirs]
    good = sum(own >= other if figure in HIGHER else own <= other for own, other in pairs)
    return f"{good} of {len(pairs)}"


def pooled(rows: Sequence[Row]) -> str:
    """Return the means of every data set and contender, of the folds that chose and of the others, as a table."""
    heads = (*FIGURES.values(), "≥ probe: accuracy", "balanced", "log-loss ≤")
    lines = [f"| data | folds | contender | {' | '.join(heads)} |", "| --- |" + " --- |" * (len(heads) + 2)]
    for name in dict.fromkeys(row["data"] for row in rows):
        own = [row for row in rows if row["data"] == name]
        parts = {
            "all": own,
            "that chose": [row for row in own if row["fold"] in CHOSEN_ON],
            "others": [row for row in own if row["fold"] not in CHOSEN_ON],
        }
        for words, part in parts.items():
            folds = sorted({row["fold"] for row in part})
            base = [row for row in part if row["contender"] == BASE]
            for contender in dict.fromkeys(row["contender"] for row in part):
                some = [row for row in part if row["contender"] == contender]
                compared = [not_worse(some, base, each) for each in ("accuracy", "balanced_accuracy", "log_loss")]
                cells = compared if contender != BASE and base else ["–"] * len(compared)
                shown = f"{words}: {', '.join(map(str, folds))}"
                lines.append(
                    f"| {TASKS[name].words} | {shown} | {contender} | {_cells(means(some))} | {' | '.join(cells)} |"
                )
    return "\n".join(lines)


def by_fold(rows: Sequence[Row]) -> str:
    """Return every fold as a row of a table."""
    lines = [
        f"| data | contender | fold | {' | '.join(FIGURES.values())} | epoch kept |",
        "| --- | --- | --- |" + " --- |" * (len(FIGURES) + 1),
    ]
    for row in rows:
        kept = "–" if row.get("kept_epoch") is None else row["kept_epoch"]
        lines.append(f"| {row['data']} | {row['contender']} | {row['fold']} | {_cells(row)} | {kept} |")
    return "\n".join(lines)


def ablated(rows: Sequence[Row]) -> str:
    """Return what each part brings: the figures without it, less those of the whole recipe in the same folds."""
    differences = ("log-loss without it, difference", "accuracy, difference", "folds in which it pays")
    heads = (*FIGURES.values(), *differences)
    lines = [f"| data | without | {' | '.join(heads)} |", "| --- | --- |" + " --- |" * len(heads)]
    for name in dict.fromkeys(row["data"] for row in rows):
        own = [row for row in rows if row["data"] == name]
        whole = {row["fold"]: row for row in own if row["part"] is None}
        for part in dict.fromkeys(row["part"] for row in own):
            some = [row for row in own if row["part"] == part]
            losses = [row["log_loss"] - whole[row["fold"]]["log_loss"] for row in some]
            accuracies = [row["accuracy"] - whole[row["fold"]]["accuracy"] for row in some]
            pays = sum(each > 0 for each in losses)
            cells = (
                f"{np.mean(losses):+.4f} | {np.mean(accuracies):+.3f} | {pays} of {len(some)}" if part else "– | – | –"
            )
            lines.append(f"| {TASKS[name].words} | {part or '(nothing)'} | {_cells(means(some))} | {cells} |")
    return "\n".join(lines)


# Kills


class Watch:
    """Looks at the files of an unfinished training as they come, and notes their digests."""

    def __init__(self, store: Path) -> None:
        self.store, self.digests, self.changed = store, dict[str, str](), list[str]()
        self._seen: dict[Path, tuple[int, int]] = {}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._ended.wait(LOOKED_EVERY):
            for pattern in WATCHED:
                for path in self.store.glob(f"models/*/**/{pattern}"):
                    self._note(path)

    def _note(self, path: Path) -> None:
        try:
            stat = path.stat()
            if self._seen.get(path) == (stat.st_ino, stat.st_mtime_ns):
                return
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
        except OSError:
            return  # training has ended, and has taken it away
        self._seen[path] = (stat.st_ino, stat.st_mtime_ns)
        if self.digests.setdefault(path.name, digest) != digest:
            self.changed.append(path.name)


def killed(bench: Bench, words: Sequence[str], store: Path, n_kills: int, seconds: float) -> tuple[Row, list[str]]:
    """Train while the process is killed at random moments, and return the answer of the run that ended."""
    drawn, told = np.random.default_rng(0), list[str]()
    with (bench.folder / "log.txt").open("a") as log:
        while True:
            # On the average, all kills together leave as much time as the training takes.
            moment = drawn.uniform(0, 2 * seconds / n_kills) if len(told) < n_kills else None
            process = bench.start(words, store, log)
            text = _within(process, moment) if moment is not None else process.communicate()[0]
            if text is not None:
                if process.returncode:
                    sys.exit(f"`facelime {shlex.join(words)}` ended with {process.returncode}; see {log.name}.")
                return json.loads(text), told
            process.kill()
            process.communicate()
            there = len(list(store.glob("models/*/**/features-*.npy")))
            epochs = any(store.glob("models/*/**/state.npz"))
            told.append(f"{moment:.1f} s ({there} files of features, {'a' if epochs else 'no'} checkpoint)")


def kills(bench: Bench, name: str, fold: int) -> str:
    """Return how a training that was killed differs from one that was not."""
    rows, watches, told = {}, {}, list[str]()
    for way in ("undisturbed", "killed"):
        folder = bench.folder / "kills" / way
        shutil.rmtree(folder, ignore_errors=True)
        bench.datasets.clear()
        dataset = bench.dataset(name, folder)
        words = bench.training(dataset, name, WHOLE, fold)
        with Watch(folder) as watches[way]:
            begun = time.monotonic()
            if way == "undisturbed":
                with (bench.folder / "log.txt").open("a") as log:
                    answer = json.loads(bench.start(words, folder, log).communicate()[0])
                undisturbed = time.monotonic() - begun
            else:
                answer, told = killed(bench, words, folder, bench.given.kills, undisturbed)
        rows[way] = {**bench.measured(answer, folder), "seconds": time.monotonic() - begun}
        rows[way] |= {"data": name, "contender": way, "fold": fold, "digests": watches[way].digests}
        rows[way]["changed"] = watches[way].changed
    bench.keep({"key": "kills", "kills": told, **rows})
    one, other = (watches[way].digests for way in ("undisturbed", "killed"))
    same = sum(other.get(each) == digest for each, digest in one.items())
    lines = [f"{name}, fold {fold}: {len(told)} kills, after {', '.join(told)}"]
    lines.append(
        f"{same} of {len(one)} files of features and probe have the same bytes as without kills; "
        f"{len(watches['killed'].changed)} had other bytes after a kill than before"
    )
    return "\n".join([*lines, by_fold(list(rows.values()))])


# Unlike pictures


def unlike_figures(bench: Bench, folds: Sequence[int]) -> str:
    """Return how well pictures that were never learned are told, by frozen features and by the trained networks."""
    import unlike

    features, labels, patients = unlike.xrays(bench.given.pictures, bench.folder / "unlike")
    name = "class means, 128 dimensions"
    halves = unlike.measured(features, labels, patients, unlike.METHODS[name], len(labels))
    rows = {f"frozen features, {half}": each for half, each in zip(("half 1", "half 2"), halves, strict=True)}
    near, far = [], dict[str, list[Any]]()
    for fold in folds:
        model = bench.row("xray2", WHOLE, fold)["model"]
        distances = _distances(bench, model, fold)
        near.append(distances.pop("xray"))
        for kind, each in distances.items():
            far.setdefault(kind, []).append(each)
    rows[f"networks trained by {WHOLE}, folds {', '.join(map(str, folds))}"] = unlike.figures(near, far)
    return unlike.table(rows)


def _distances(bench: Bench, model: str, fold: int) -> dict[str, Any]:
    """Return the distance of each kind of pictures from what a network learned; a fold's X-rays were not learned."""
    import unlike

    from facelime_cli.models import features, running, wrapping
    from facelime_cli.store import familiarity
    from facelime_cli.store.references import Store

    kept = Store(bench.store).resolve(model)
    dataset = kept.input("datasets")
    held_out = np.flatnonzero(dataset.read("fold") == fold)
    images = dataset.read("images")[held_out]
    call = running.forward(features.network_of(wrapping.load(kept.file("model.keras")), model))
    summary = familiarity.read(kept)
    found = {kind: unlike.answers(call, map(change, images)) for kind, change in unlike.CHANGES.items()}
    for kind, paths in unlike.others_in(bench.given.pictures).items():
        found[kind] = unlike.answers(call, map(unlike.picture, paths))
    return {kind: summary.distances(each) for kind, each in found.items()}


# The command


def _parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    pictures = Path(os.environ.get("FACELIME_DATA", "../shared/data"))
    parser.add_argument("--store", type=Path, required=True, metavar="DIR", help="Keep everything in this folder.")
    parser.add_argument("--pictures", type=Path, default=pictures, help="Real pictures and weights. [FACELIME_DATA]")
    parser.add_argument("--data", type=_among(TASKS), default=list(TASKS), help=",".join(TASKS))
    parser.add_argument("--folds", type=_folds, default=list(range(FOLDS)), help="Numbers from 0, such as 0,1.")
    parser.add_argument("--contenders", type=_among(CONTENDERS), default=list(CONTENDERS), help=",".join(CONTENDERS))
    parser.add_argument("--parts", type=_among(OFF), default=list(OFF), help="With --ablation: " + ",".join(OFF))
    parser.add_argument("--threads", type=int, default=0, help="Threads of a training; 0 for as many as there are.")
    parser.add_argument("--json", type=Path, metavar="FILE", help="Append a line for each fold. [DIR/training.jsonl]")
    parser.add_argument("--more", default="", metavar="OPTIONS", help="Add these options to every training.")
    modes = parser.add_mutually_exclusive_group()
    modes.add_argument("--ablation", action="store_true", help="Switch off one part after the other.")
    modes.add_argument("--kills", type=int, default=0, metavar="N", help="Kill a training so often.")
    modes.add_argument("--unlike", action="store_true", help="Tell pictures that were never learned.")
    return parser.parse_args()


def _among(table: Mapping[str, Any]) -> Callable[[str], list[str]]:
    def names(text: str) -> list[str]:
        found = text.split(",")
        if unknown := set(found) - set(table):
            raise argparse.ArgumentTypeError(f"{', '.join(sorted(unknown))}: there are {', '.join(table)}")
        return found

    return names


def _folds(text: str) -> list[int]:
    found = [int(each) for each in text.split(",")]
    if not set(found) <= set(range(FOLDS)):
        raise argparse.ArgumentTypeError(f"{text}: folds are 0 to {FOLDS - 1}")
    return found


def main() -> None:
    """Print the tables that were asked for."""
    if sys.argv[1:2] == [WITH_PARTS]:
        with_other_parts(json.loads(sys.argv[2]), sys.argv[3:])
        return
    given = _parsed()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    bench = Bench(given)
    try:
        _print(bench, given)
    finally:
        bench.end()


def _print(bench: Bench, given: argparse.Namespace) -> None:
    if given.unlike:
        print(unlike_figures(bench, given.folds))
        return
    if given.kills:
        for name in given.data:
            print("\n\n".join(kills(bench, name, fold) for fold in given.folds), flush=True)
        return
    parts = [None, *given.parts] if given.ablation else [None]
    contenders = [WHOLE] if given.ablation else given.contenders
    rows = []
    for name in given.data:
        for fold in given.folds:
            for contender in contenders:
                for part in parts:
                    rows.append(bench.row(name, contender, fold, part))
                    print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    print(ablated(rows) if given.ablation else f"{pooled(rows)}\n\n{by_fold(rows)}")


if __name__ == "__main__":
    main()
