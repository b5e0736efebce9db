"""A small store with every kind of artifact, made through the command line alone, and the table of its digests.

`python tests/store_of_every_kind.py` makes the store anew and prints what differs from `tests/digests.json`;
`--write` keeps what it finds there. `--integers` makes only what is the same on every machine: datasets, segments
and masks.

Kind, stage, version and parameters of an artifact are the same everywhere. So are ids, contents, arrays and figures
of datasets, segments and masks. What depends on a network's answers also depends on the processor: the table keeps it
per machine.
"""

import argparse
import hashlib
import json
import os
import platform
import re
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

import numpy as np

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from typer.testing import CliRunner

from facelime_cli.cli import app

TABLE = Path(__file__).with_name("digests.json")
SIDE = 56
PATIENTS = 12
MODELS = {"net": (2, "softmax"), "other": (2, "softmax"), "single": (1, "sigmoid"), "logits": (2, "linear")}
"""Outputs of each model, and what they go through."""
INTEGER_KINDS = ("datasets", "segments", "masks")
INTEGER_STAGES = ("describe", "finetune")
"""Stages whose ids are the same everywhere when their input is, though what they write is not."""
WITH_WORKERS = ("preprocess", "segment", "perturb", "fit-surrogate", "check", "render", "explain")
"""Commands that start processes, which takes longer than these small pictures."""
UNREPEATABLE_STAGES = ("finetune",)
"""Stages that answer otherwise each time, even on one machine."""
PACKAGES = ("numpy", "scipy", "scikit-image", "scikit-learn", "pillow", "tensorflow", "keras")


# Pictures, label maps, a table and a network, all from fixed seeds


def write_sources(folder: Path) -> None:
    """Write what the commands read; every file has the same bytes on every machine."""
    rng = np.random.default_rng(13)
    lines = ["image_id,kind,patient,age,sex"]
    arrays, labels = [], []
    for patient in range(PATIENTS):
        for visit in range(2):
            label = patient % 2
            name = f"p{patient:02d}-{visit}"
            picture, truth = draw(rng, spotted=bool(label))
            class_name = ("plain", "spotted")[label]
            write_netpbm(folder / "pictures" / class_name / f"{name}.ppm", picture)
            write_netpbm(folder / "flat" / f"{name}.ppm", picture)
            write_netpbm(folder / "wide" / class_name / f"{name}.ppm", picture[: SIDE - 10])
            write_netpbm(folder / "truth" / class_name / f"{name}.pgm", truth)
            write_numpy(folder / "labels" / class_name / f"{name}.npy", blocks(patient + visit))
            lines.append(f"{name},{class_name[0]},{patient},{20 + 3 * patient},{'fm'[(patient + visit) % 2]}")
            arrays.append(picture[12:44, 12:44])
            labels.append([label])
    (folder / "table.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "classes.csv").write_text("class,name\np,plain\ns,spotted\n", encoding="utf-8")
    write_netpbm(folder / "fill.ppm", draw(rng, spotted=False)[0])
    write_medmnist(folder / "small.npz", np.array(arrays), np.array(labels, dtype=np.uint8))


def draw(rng: np.random.Generator, *, spotted: bool) -> tuple[np.ndarray, np.ndarray]:
    """Draw a noisy disc before four colours, with a red spot or without, and return where the spot is too."""
    rows, columns = np.mgrid[:SIDE, :SIDE]
    picture = np.stack([60 + 2 * rows, 80 + columns, 100 + rows // 2 + columns // 2], axis=-1)
    for quarter in (rows < SIDE // 2, columns < SIDE // 2):
        picture[quarter] += rng.integers(-60, 61, size=3)
    centre = rng.integers(23, 33, size=2)
    disc = (rows - centre[0]) ** 2 + (columns - centre[1]) ** 2 < int(rng.integers(140, 220))
    picture[disc] = rng.integers(150, 200, size=3)
    spot_at = centre + rng.integers(-6, 7, size=2)
    spot = (rows - spot_at[0]) ** 2 + (columns - spot_at[1]) ** 2 < 24
    if spotted:
        picture[spot] = [230, 50, 50]
    picture += rng.integers(-4, 5, size=picture.shape)
    truth = spot if spotted else np.zeros_like(spot)
    return picture.clip(0, 255).astype(np.uint8), truth.astype(np.uint8) * 255


def blocks(shift: int) -> np.ndarray:
    """Return a label map of rectangles, other ones for each shift, with gaps in its numbers."""
    rows, columns = np.mgrid[:SIDE, :SIDE]
    across = (columns + shift) // 20
    return ((rows // 19) * 10 + across).astype(np.int32)


def write_netpbm(path: Path, picture: np.ndarray) -> None:
    """Write a PPM or PGM file: no compression, so that its bytes depend on no library."""
    path.parent.mkdir(parents=True, exist_ok=True)
    magic = "P6" if picture.ndim == 3 else "P5"
    header = f"{magic}\n{picture.shape[1]} {picture.shape[0]}\n255\n"
    path.write_bytes(header.encode() + np.ascontiguousarray(picture).tobytes())


def write_numpy(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, array)


def write_medmnist(path: Path, images: np.ndarray, labels: np.ndarray) -> None:
    """Write arrays as MedMNIST does, in three splits."""
    parts = {"train": slice(0, 12), "val": slice(12, 18), "test": slice(18, 24)}
    arrays = {}
    for name, rows in parts.items():
        arrays[f"{name}_images"] = images[rows]
        arrays[f"{name}_labels"] = labels[rows]
    np.savez(path, **arrays)


def write_models(folder: Path) -> None:
    """Write Keras models whose weights come from whole numbers."""
    import keras

    keras.utils.clear_session()
    for seed, (name, (outputs, last)) in enumerate(MODELS.items(), start=1):
        inputs = keras.Input((SIDE, SIDE, 3), name="pictures")
        maps = keras.layers.Conv2D(4, 5, strides=2, activation="relu", name="first")(inputs)
        maps = keras.layers.Conv2D(6, 3, strides=2, activation="relu", name="second")(maps)
        features = keras.layers.GlobalAveragePooling2D(name="mean")(maps)
        answers = keras.layers.Dense(outputs, activation=last, name="answers")(features)
        model = keras.Model(inputs, answers, name=name)
        rng = np.random.default_rng(seed)
        model.set_weights([rng.integers(-16, 17, each.shape).astype(np.float32) / 32 for each in model.get_weights()])
        model.save(folder / f"{name}.keras")
        without_chance(folder / f"{name}.keras")


def without_chance(path: Path) -> None:
    """Write a .keras file again without the moment at which it was saved, and without addresses in memory."""
    with zipfile.ZipFile(path) as saved:
        parts = {name: saved.read(name) for name in sorted(saved.namelist())}
    metadata = json.loads(parts["metadata.json"])
    metadata["date_saved"] = "2000-01-01@00:00:00"
    parts["metadata.json"] = json.dumps(metadata).encode()
    parts["config.json"] = re.sub(rb', "shared_object_id": \d+', b"", parts["config.json"])
    with zipfile.ZipFile(path, "w") as out:
        for name, content in parts.items():
            out.writestr(zipfile.ZipInfo(name), content)


# The commands


@dataclass(frozen=True)
class Step:
    """One command, and the label under which what it makes stands in the table."""

    label: str
    words: tuple[str, ...]
    adaptive: bool = False
    """How many artifacts come out depends on what a network answers."""


DATASETS = """
pictures: preprocess pictures --size 56 --split 50:25:25 --group-pattern (p\\d+) --truth truth --name drawn
flat: preprocess flat --size 56 --name flat-drawn
labelled by name: preprocess flat --size 32 --label-pattern (?P<even>p\\d[02468])|(?P<odd>p\\d[13579]) --seed 3
table: preprocess flat --table table.csv --label-column kind --group-column patient --class-names classes.csv --size 32
one per group: preprocess flat --table table.csv --label-column kind --group-column patient --one-per-group --size 32
folds: preprocess pictures --size 32 --folds 4 --group-pattern (p\\d+) --seed 5 --name folds
arrays: preprocess small.npz --size 32 --name arrays
padded: preprocess wide --size 32 --fit pad --crop-border 5 --contrast 1.5
cropped: preprocess wide --size 32 --fit crop --equalize
white: preprocess pictures --size 32 --white-balance shades-of-gray
face: preprocess pictures --size 32 --crop face
one picture: preprocess fill.ppm --size 32
"""

SEGMENTS = """
slic: segment drawn --split test --segments 9 --name slic
slic, all: segment drawn --segments 12 --compactness 10 --sigma 1 --workers 2
slic, by 4: segment drawn --images p01-0,p02-1 --connectivity 4 --min-size 12
quickshift: segment drawn --split test --method quickshift --name quickshift
quickshift, counted: segment drawn --split test --method quickshift --segments 10 --ratio 0.5
quickshift, wide: segment drawn --split test --method quickshift --kernel-size 2 --max-dist 8 --sigma 0.5
felzenszwalb: segment drawn --split test --method felzenszwalb --segments 8
felzenszwalb, scaled: segment drawn --split test --method felzenszwalb --scale 40 --sigma 0.5 --min-size 20
watershed: segment drawn --split test --method watershed --segments 10
watershed, compact: segment drawn --split test --method watershed --segments 10 --compactness 0.1 --sigma 1
grid: segment drawn --split test --method grid --segments 9 --name grid
hexagons: segment drawn --split test --method grid --segments 9 --cell hexagon
file: segment drawn --split test --method file --labels labels --name file
file, by 8: segment drawn --first 2 --method file --labels labels --connectivity 8
zones of a face: segment drawn --split test --method zones --zones face
zones of lungs: segment drawn --split test --method zones --zones lungs
with zones: segment drawn --split test --segments 9 --zones face --name with-zones
four: segment drawn --split test --first 2 --method grid --segments 4 --name four
flat segments: segment flat-drawn --first 3 --segments 9 --name flat-segments
preset face: segment drawn --split test --preset face
preset xray: segment drawn --split test --preset xray
preset dermoscopy: segment drawn --split test --preset dermoscopy
preset histology: segment drawn --split test --preset histology
preset lime: segment drawn --split test --preset lime-defaults
preset rosacea: segment drawn --split test --preset rosacea
preset, changed: segment drawn --split test --preset xray --segments 8
"""

MASKS = """
masks: perturb slic --samples 80 --name masks
masks, again: perturb slic --samples 80 --seed 7 --name masks-7
masks, more: perturb slic --samples 120 --name masks-more
bernoulli: perturb slic --samples 50 --design bernoulli --probability 0.7 --fill grey
paired: perturb slic --samples 50 --design paired --fill black
balanced: perturb slic --samples 64 --design balanced --fill mean --name balanced
shapley: perturb slic --samples 60 --design shapley --fill mean --name shapley
exact: perturb four --design exact --fill mean --name exact
dataset mean: perturb slic --samples 20 --fill dataset-mean
blur: perturb slic --samples 20 --fill blur
blur, wide: perturb slic --samples 20 --fill blur --fill-sigma 6
inpaint: perturb slic --samples 20 --fill inpaint
noise: perturb slic --samples 20 --fill noise --seed 11
image: perturb slic --samples 20 --fill image:fill.ppm
unlike: perturb slic --samples 20 --fill nearest-unlike
donor: perturb slic --samples 20 --donor 2
blurred: perturb slic --samples 60 --fill blur --name blurred
without labels: perturb flat-segments --samples 20
lime masks: perturb quickshift --preset lime-defaults --samples 40
rosacea masks: perturb quickshift --preset rosacea
"""

EVALUATIONS = """
net: import-model net.keras --classes plain,spotted --scaling -1..1 --name net
other: import-model other.keras --classes plain,spotted --scaling imagenet --name other
single: import-model single.keras --classes plain,spotted --scaling 0..1 --name single
description: describe drawn --sheet 3
description of arrays: describe arrays --seed 1
description of folds: describe folds
trained: finetune drawn --backbone cnn-small --epochs 1 --name trained
trained by fold: finetune folds --backbone ann --fold 1 --epochs 1 --batch-size 8 --output sigmoid --l2 0.01 --seed 4
trained otherwise: finetune arrays --backbone cnn-small --epochs 1 --optimizer sgd --schedule cosine --oversample \
  --class-weights balanced --augment flip=horizontal,rotation=10 --head 8 --dropout 0.1 --learning-rate 0.01
trained as published: finetune drawn --recipe pneumonia --backbone ann --epochs 1 --steps-per-epoch 1
trained for skin: finetune drawn --recipe skin --backbone cnn-skin --epochs 1 --steps-per-epoch 1
logits: import-model logits.keras --classes plain,spotted --scaling caffe --activation softmax --name logits
many labels: import-model logits.keras --classes plain,spotted --scaling 0..255 \
  --activation sigmoid --multi-label --name labels
evaluation: evaluate net --dataset drawn --split test --bootstrap 100
evaluation of all: evaluate single --dataset drawn --split all --bootstrap 100 --seed 2 --mistakes 3
evaluation at a recall: evaluate other --dataset drawn --target-recall spotted=0.9 --bootstrap 100
models: compare-models net other --dataset drawn --split all --bootstrap 100
"""

EXPLANATIONS = """
predictions: predict masks --model net --name predictions
predictions, again: predict masks-7 --model net --name predictions-7
predictions, more: predict masks-more --model net --name predictions-more
predictions, other: predict masks --model other --batch-size 8 --name predictions-other
predictions, single: predict balanced --model single --name predictions-single
predictions, shapley: predict shapley --model net --name predictions-shapley
predictions, exact: predict exact --model net --name predictions-exact
predictions, logits: predict exact --model logits
ridge: fit-surrogate predictions --name ridge
ridge, again: fit-surrogate predictions-7 --name ridge-7
ridge, other: fit-surrogate predictions-other --name ridge-other
ridge, changed: fit-surrogate predictions --alpha 0.1 --kernel-width 0.5 --stable-top 3
ridge, by pixels: fit-surrogate predictions --proximity l2
ridge, single: fit-surrogate predictions-single
ridge, part: fit-surrogate predictions --part 2/2
ridge, bootstrap: fit-surrogate predictions --intervals bootstrap
linear: fit-surrogate predictions --surrogate linear --name linear
lasso: fit-surrogate predictions --surrogate lasso
highest: fit-surrogate predictions --surrogate highest --features 4
forward: fit-surrogate predictions --surrogate forward --features 4
lars: fit-surrogate predictions --surrogate lars --features 4
bayesian: fit-surrogate predictions --surrogate bayesian-ridge
lasso, bootstrap: fit-surrogate predictions --surrogate lasso --alpha 0.001 --intervals bootstrap
shapley values: fit-surrogate predictions-shapley --surrogate shapley
exact values: fit-surrogate predictions-exact --surrogate shapley
lime surrogate: fit-surrogate predictions --preset lime-defaults --alpha 2
rosacea surrogate: fit-surrogate predictions-more --preset rosacea
after: perturb slic --samples 160 --after ridge --confidence 0.999 --name after
after, predicted: predict after --model net --name predictions-after
after, fitted: fit-surrogate predictions-after
contrast: contrast ridge --class spotted --versus plain --name contrast
predictions, blurred: predict blurred --model net --name predictions-blurred
ridge, blurred: fit-surrogate predictions-blurred --name ridge-blurred
consensus: consensus ridge ridge-7 ridge-blurred --name consensus
consensus of two: consensus ridge-7 ridge-blurred --stable-top 2 --carrier slic
check: check ridge --name check
check of a consensus: check consensus --regions 1,2 --sets 19 --seed 3 --check-classes spotted --name check-consensus
check of a contrast: check contrast --name check-contrast
gradcam: gradcam ridge --name gradcam
maps: import-maps segments/slic --model net --maps labels --name maps
check of maps: check maps --batch-size 8 --name check-maps
gradcam++: gradcam segments/slic --model other --variant gradcam++ --layer first
eigencam: gradcam drawn --model net --split test --first 2 --variant eigencam
occlusion: occlusion ridge --name occlusion
occlusion, blurred: occlusion segments/slic --model net --fill blur --batch-size 5
"""

REPORTS = """
report: render ridge
report, much: render ridge --beside gradcam --beside ridge-other --top 3 --classes spotted --by-zone face --single-file
report, styled: render linear --preset rosacea --figures svg --style heatmap
report of gradcam: render gradcam
report of contrast: render contrast
report of a check: render check-consensus
report to hand over: render check --no-stand-ins
comparison: compare ridge gradcam occlusion
comparison of one: compare ridge ridge-7 --top 2 --class plain
stability: stability ridge --repeats 1
stability, stored: stability ridge --stored 2 --top 3
sensitivity: sensitivity ridge --methods grid --fills mean,black
explained: explain drawn --model net --split test --first 2 --segments 6 --samples 40 --surrogate linear
views: explain drawn --model net --split test --first 2 --segments 6 --samples 150 --views fills
explained picture: explain flat/p00-0.ppm --model single --samples 30 --preset rosacea
"""

ADAPTIVE = """
until stable: explain drawn --model net --first 2 --segments 8 --samples 40 --until-stable --max-samples 160
"""


def steps(text: str, *, adaptive: bool = False) -> list[Step]:
    """Return the steps of a text with one command a line, each with its label before a colon."""
    found = []
    for line in text.strip().splitlines():
        label, _, command = line.partition(": ")
        found.append(Step(label, tuple(command.split()), adaptive))
    return found


INTEGER_STEPS = [*steps(DATASETS), *steps(SEGMENTS), *steps(MASKS)]
STEPS = [
    *INTEGER_STEPS,
    *steps(EVALUATIONS),
    *steps(EXPLANATIONS),
    *steps(REPORTS),
    *steps(ADAPTIVE, adaptive=True),
]


# Making and reading the store


@dataclass
class Maker:
    """Runs commands on one store and notes what each of them made."""

    folder: Path
    seen: dict[str, str] = field(default_factory=dict)
    """Label of each artifact, by kind and id."""
    exact: set[str] = field(default_factory=set)
    """Kind and id of the artifacts whose content is the same on every machine."""
    found: dict[str, dict] = field(default_factory=dict)

    def run(self, step: Step) -> None:
        alone = ["--workers", "1"] if step.words[0] in WITH_WORKERS and "--workers" not in step.words else []
        words = [*step.words, *alone, "--store", "store", "--json"]
        result = CliRunner().invoke(app, words)
        if result.exit_code or "are called" in result.stderr:
            raise RuntimeError(f"{step.label}: `{' '.join(step.words)}` failed: {result.stderr.strip()}")
        answer = json.loads(result.stdout)
        made = self.new_manifests() or [Path("store", answer["kind"], answer["artifact"], "manifest.json")]
        for number, path in enumerate(made):
            label = step.label if len(made) == 1 else f"{step.label}, {number}"
            self.note(label, path, adaptive=step.adaptive)

    def new_manifests(self) -> list[Path]:
        """Return the manifests that are not yet noted: inputs first, then by kind and id.

        When they were written says nothing: `explain` makes some beside the others.
        """
        paths = [path for path in Path("store").glob("*/*/manifest.json") if reference(path) not in self.seen]
        made_of = {reference(path): inputs_of(path) for path in paths}

        def depth(name: str) -> int:
            return 1 + max((depth(each) for each in made_of[name] if each in made_of), default=0)

        return sorted(paths, key=lambda path: (depth(reference(path)), reference(path)))

    def note(self, label: str, path: Path, *, adaptive: bool) -> None:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        kind = path.parent.parent.name
        exact_inputs = all(each in self.exact for each in inputs_of(path))
        exact = exact_inputs and kind in INTEGER_KINDS
        self.seen[reference(path)] = label
        if exact:
            self.exact.add(reference(path))
        values = {"id": manifest["id"]}
        if kind != "reports" and manifest["stage"] not in UNREPEATABLE_STAGES:
            values["content"] = manifest["content"]
            values["arrays"] = {name: array["digest"] for name, array in manifest["arrays"].items()}
        if manifest["stage"] not in UNREPEATABLE_STAGES:
            values["figures"] = figures(manifest["facts"])
        self.found[label] = {
            "kind": kind,
            "stage": manifest["stage"],
            "stage_version": manifest["stage_version"],
            "parameters": manifest["parameters"],
            "inputs": sorted(manifest["inputs"]),
            "adaptive": adaptive,
            "exact": exact or (exact_inputs and manifest["stage"] in INTEGER_STAGES),
            "values": values,
        }


def figures(facts: dict) -> dict[str, str]:
    """Return a digest of the numbers in each fact that has any; its words may change, its figures may not."""
    found = {}
    for name, value in facts.items():
        leaves = list(numbers(name, value))
        if leaves:
            found[name] = hashlib.sha256("\n".join(sorted(leaves)).encode()).hexdigest()[:16]
    return found


def numbers(place: str, value: object) -> Iterator[str]:
    """Yield each number of a JSON value with its place."""
    if isinstance(value, dict):
        for name, each in value.items():
            yield from numbers(f"{place}.{name}", each)
    elif isinstance(value, list):
        for index, each in enumerate(value):
            yield from numbers(f"{place}.{index}", each)
    elif isinstance(value, (bool, int, float)):
        yield f"{place}={value!r}"


def inputs_of(manifest: Path) -> list[str]:
    """Return kind and id of what the artifact of a manifest was made from."""
    inputs = json.loads(manifest.read_text(encoding="utf-8"))["inputs"].values()
    return [f"{each['kind']}/{each['id']}" for each in inputs if "id" in each]


def reference(manifest: Path) -> str:
    """Return kind and id of the artifact of a manifest."""
    return f"{manifest.parent.parent.name}/{manifest.parent.name}"


def make(folder: Path, *, integers_only: bool = False, progress: bool = False) -> dict[str, dict]:
    """Make the store in an empty folder and return what was found of each artifact, by label."""
    write_sources(folder)
    if not integers_only:
        write_models(folder)
    maker = Maker(folder)
    before = Path.cwd()
    os.chdir(folder)
    try:
        for step in INTEGER_STEPS if integers_only else STEPS:
            maker.run(step)
            if progress:
                print(step.label, file=sys.stderr)
    finally:
        os.chdir(before)
    return maker.found


# The table


def machine() -> dict[str, str]:
    """Return what answers of a network depend on."""
    about = {"system": platform.system(), "processor": processor(), "cores": str(len(os.sched_getaffinity(0)))}
    about["backend"] = os.environ.get("KERAS_BACKEND", "tensorflow")
    return about | {package: version(package) for package in PACKAGES}


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    wanted = ("model name", "flags")
    chosen = sorted({line.partition(":")[2].strip() for line in lines if line.startswith(wanted)})
    return hashlib.sha256("\n".join(chosen).encode()).hexdigest()[:16]


def machine_key() -> str:
    """Return the digest of this machine, under which the table holds what only it answers."""
    return hashlib.sha256(json.dumps(machine(), sort_keys=True).encode()).hexdigest()[:16]


def table_of(found: dict[str, dict]) -> dict:
    """Return the table of what was found: what holds everywhere, and what holds on this machine."""
    everywhere, here = {}, {}
    for label, each in found.items():
        entry = {name: value for name, value in each.items() if name not in {"values", "adaptive"}}
        if each["exact"]:
            entry |= each["values"]
        if each["adaptive"]:
            here[label] = entry | each["values"]
        else:
            everywhere[label] = entry
            if not each["exact"]:
                here[label] = each["values"]
    return {"everywhere": everywhere, "machines": {machine_key(): {"about": machine(), "artifacts": here}}}


def kept_table() -> dict:
    return json.loads(TABLE.read_text(encoding="utf-8"))


def differences(found: dict[str, dict], kept: dict, *, integers_only: bool = False) -> list[str]:
    """Return a line for each value that is not the one in the table."""
    now = table_of(found)
    expected = kept["everywhere"]
    if integers_only:
        wanted = {step.label for step in INTEGER_STEPS}
        expected = {label: entry for label, entry in expected.items() if label in wanted}
    lines = compared("", expected, now["everywhere"])
    known = kept["machines"].get(machine_key())
    if known is not None and not integers_only:
        lines += compared("", known["artifacts"], now["machines"][machine_key()]["artifacts"])
    return lines


def compared(where: str, expected: object, found: object) -> list[str]:
    """Return a line for each leaf at which two JSON values differ."""
    if isinstance(expected, dict) and isinstance(found, dict):
        lines = []
        for name in sorted({*expected, *found}):
            place = f"{where} > {name}" if where else name
            if name not in found:
                lines.append(f"{place}: is missing")
            elif name not in expected:
                lines.append(f"{place}: is new")
            else:
                lines += compared(place, expected[name], found[name])
        return lines
    return [] if expected == found else [f"{where}: {found!r}, and should be {expected!r}"]


def write_table(found: dict[str, dict]) -> None:
    """Keep what was found; what other machines answered stays as long as the rest is the same."""
    table = table_of(found)
    if TABLE.exists() and (kept := kept_table())["everywhere"] == table["everywhere"]:
        table["machines"] = kept["machines"] | table["machines"]
    TABLE.write_text(json.dumps(table, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="keep what is found in tests/digests.json")
    parser.add_argument("--integers", action="store_true", help="make datasets, segments and masks alone")
    chosen = parser.parse_args()
    if chosen.write and chosen.integers:
        parser.error("--write keeps the whole table; leave --integers out.")
    with tempfile.TemporaryDirectory() as folder:
        found = make(Path(folder), integers_only=chosen.integers, progress=True)
        if folder in json.dumps(found):
            raise RuntimeError("the name of the temporary folder is in a parameter.")
    if chosen.write:
        write_table(found)
        return 0
    kept = kept_table()
    lines = differences(found, kept, integers_only=chosen.integers)
    for line in lines:
        print(line)
    if machine_key() not in kept["machines"]:
        print("the table knows nothing of this machine: answers of networks were not compared", file=sys.stderr)
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
