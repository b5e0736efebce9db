"""What tests share beside fixtures: drawn faces, the command line in this process, a chain of artifacts."""

import gc
import json
import shutil
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid
from typer.testing import CliRunner

from facelime_cli.cli import app
from facelime_cli.core.faces import draw
from facelime_cli.engine import Stage, find, identity
from facelime_cli.models import running
from facelime_cli.predicting import predictor
from facelime_cli.stages import INDEX
from facelime_cli.store.artifacts import Artifact
from facelime_cli.store.references import Store

SIZE = 48
FACES = 60
STAGES = {each.name: each for each in (listed.load() for listed in INDEX) if isinstance(each, Stage)}
CHAIN = [name for name in STAGES if name not in {"import-model", "take-output"}]
SHARDED = [name for name in CHAIN if STAGES[name].sharded]
ROUNDS = 200
"""Bootstrap rounds of an evaluation; the default of a thousand costs seconds."""


def fingerprint(stage, params, context):
    """Return the fingerprint of the artifact that an invocation makes, without making it."""
    return identity(stage, find(stage, params, context).plan).fingerprint


@contextmanager
def breaking(monkeypatch, calls, error):
    """Let every network break down after some calls, each of which is committed."""
    compiled, left = running.compiled, iter(range(calls))

    def broken(net):
        call = compiled(net)

        def run_or_break(*arrays):
            if next(left, None) is None:
                raise error
            return call(*arrays)

        return run_or_break

    with monkeypatch.context() as patch:
        patch.setattr(running, "compiled", broken)
        patch.setattr(predictor, "COMMIT_SECONDS", 0.0)
        yield
    error.__traceback__ = None
    gc.collect()  # the claim ends with its process, or with the traceback that holds it


@dataclass
class Facelime:
    """Runs commands on one store, in this process."""

    store: Path

    def __call__(self, *words, stdin=None):
        return CliRunner().invoke(app, [*map(str, words), "--store", str(self.store)], input=stdin)

    def json(self, *words, stdin=None):
        result = self(*words, "--json", stdin=stdin)
        assert result.exit_code == 0, result.stderr
        return json.loads(result.stdout)

    def artifact(self, *words, stdin=None) -> Artifact:
        answer = self.json(*words, stdin=stdin)
        return Store(self.store).stored(answer["kind"], answer["artifact"])

    def fails(self, *words, code=1, stdin=None):
        """Run a command that must fail in one sentence: nothing on stdout, no traceback."""
        result = self(*words, stdin=stdin)
        assert result.exit_code == code, (result.stdout, result.stderr)
        assert result.stdout == ""
        assert "Traceback" not in result.stderr
        errors = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
        assert len(errors) == 1, result.stderr
        assert "unexpected" not in errors[0]
        return errors[0]


class FewRounds(Facelime):
    """Evaluates with few rounds of the bootstrap."""

    def __call__(self, *words, stdin=None):
        rounds = ("--bootstrap", ROUNDS) if words[0] in {"evaluate", "compare-models"} else ()
        return super().__call__(*words, *rounds, stdin=stdin)


def predictions(run, reference):
    """Return the predictions in the store of a command line."""
    return Store(run.store).resolve(reference, ("predictions",))


def write_faces(folder: Path, count: int = FACES, size: int = SIZE, truth: Path | None = None) -> Path:
    for number in range(count):
        label = ("normal", "rosacea")[number % 2]
        face = draw(0, number, size, flushed=label == "rosacea")
        for place, array in ((folder, face.image), (truth, face.truth * 255)):
            if place is not None:
                (place / label).mkdir(parents=True, exist_ok=True)
                Image.fromarray(array).save(place / label / f"face-{number:03d}.png")
    return folder


MARKS = ((255, 40, 40, 6, 6), (40, 255, 40, 6, 30), (40, 40, 255, 30, 18))
"""The drawn findings: red, green and blue, then row and column where a mark of `MARK` pixels begins."""
MARK = 10


def write_findings(path: Path, counts=(90, 30, 30), unknown=0.1, seed=0) -> Path:
    """Write a .npz file of noise with several findings per picture: finding k is a coloured square at its place.

    `unknown` is the share of labels that are -1. The marks are in the pictures all the same.
    """
    rng = np.random.default_rng(seed)
    parts = {}
    for split, n in zip(("train", "val", "test"), counts, strict=True):
        pictures = rng.integers(90, 150, (n, SIZE, SIZE, 3), dtype=np.uint8)
        labels = (rng.random((n, len(MARKS))) < (0.5, 0.35, 0.25)).astype(np.int8)
        for picture, findings in zip(pictures, labels, strict=True):
            for (*colour, row, column), present in zip(MARKS, findings, strict=True):
                if present:
                    picture[row : row + MARK, column : column + MARK] = colour
        labels[rng.random(labels.shape) < unknown] = -1
        parts |= {f"{split}_images": pictures, f"{split}_labels": labels}
    np.savez_compressed(path, **parts)
    return path


def write_maps(faces: Path, folder: Path) -> Path:
    """Write a map for each drawn face: how much redder than green its pixels are."""
    for path in faces.rglob("*.png"):
        pixels = np.asarray(Image.open(path)).astype(np.int16)
        save_picture(folder / path.relative_to(faces), (pixels[..., 0] - pixels[..., 1]).clip(0, 255).astype(np.uint8))
    return folder


def save_picture(path: Path, array) -> None:
    """Write an array as a picture, with the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


def write_scan(path: Path, values, kind="MONOCHROME2", **more) -> Path:
    """Write a DICOM file of 12 stored bits; `more` are further attributes by their keywords."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    scan = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    scan.PatientID, scan.PatientName = "12345", "Doe^Jane"
    scan.StudyDate = "20200102"
    scan.Rows, scan.Columns = values.shape[-2:]
    scan.PhotometricInterpretation, scan.SamplesPerPixel, scan.PixelRepresentation = kind, 1, 0
    scan.BitsAllocated, scan.BitsStored, scan.HighBit = 16, 12, 11
    scan.PixelData = values.astype("<u2").tobytes()
    for name, value in more.items():
        setattr(scan, name, value)
    path.parent.mkdir(parents=True, exist_ok=True)
    scan.save_as(path)
    return path


@dataclass
class Chain:
    """One artifact of each stage, by the stage's name, in one store."""

    facelime: Facelime
    artifacts: dict[str, Artifact]
    made_in: Path
    """The store in which the artifacts were made; this one is a copy of it."""

    @property
    def maps(self) -> Path:
        """The folder of maps that `import-maps` has read."""
        return self.made_in.parent / "maps"

    def __getitem__(self, stage):
        return self.artifacts[stage]

    def reference(self, stage):
        return f"{self.artifacts[stage].kind}/{self.artifacts[stage].id}"

    def copy(self, store: Path) -> Facelime:
        """Return the command line on a copy of what was made at first, which a test may change."""
        shutil.copytree(self.made_in, store)
        return Facelime(store)


@dataclass
class Judged:
    """Views, their consensus and its check, in one store; read them, do not change them."""

    facelime: Facelime
    views: list[Artifact]
    consensus: Artifact
    check: Artifact


def compared(chain):
    """Return what the chain's comparison compares."""
    return [each["id"] for each in chain["compare"].inputs.values()]


def joined(chain):
    """Return what the chain's consensus joins."""
    return [each["id"] for name, each in chain["consensus"].inputs.items() if name.startswith("surrogates")]


def words_of(stage, chain, faces):
    """Return the words that made the chain's artifact of a stage."""
    return {
        "preprocess": ["preprocess", faces, "--size", SIZE],
        "finetune": ["finetune", "faces", "--backbone", "cnn-small", "--epochs", 2],
        "evaluate": ["evaluate", "small", "--bootstrap", ROUNDS],
        "describe": ["describe", "faces"],
        "segment": ["segment", "faces", "--split", "test", "--first", 3, "--method", "slic", "--segments", 12],
        "perturb": ["perturb", chain["segment"].id, "--samples", 90],
        "predict": ["predict", chain["perturb"].id, "--model", "small"],
        "fit-surrogate": ["fit-surrogate", chain["predict"].id],
        "render": ["render", chain["fit-surrogate"].id],
        "compare": ["compare", *compared(chain)],
        "gradcam": ["gradcam", chain["segment"].id, "--model", "small"],
        "occlusion": ["occlusion", chain["perturb"].id, "--model", "small"],
        "contrast": ["contrast", chain["fit-surrogate"].id, "--class", "rosacea", "--versus", "normal"],
        "consensus": ["consensus", *joined(chain)],
        "check": ["check", chain["fit-surrogate"].id],
        "import-maps": ["import-maps", chain["segment"].id, "--model", "small", "--maps", chain.maps],
    }[stage]
