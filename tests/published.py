"""The tables of public data sets, headed exactly as they are published, with invented rows and drawn pictures."""

import csv
import gzip
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np

from facelime_cli import cli
from facelime_cli.console import Console
from facelime_cli.engine import Context
from facelime_cli.preparing import cataloguing
from facelime_cli.stages import INDEX
from facelime_cli.store.references import Store
from tests.support import save_picture, write_scan

SIDE = 32
TRAIN, VALIDATION, TEST, NONE = 0, 1, 2, -1

NIH_HEADING = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y],"
)
CHEXPERT = (
    "No Finding,Enlarged Cardiomediastinum,Cardiomegaly,Lung Opacity,Lung Lesion,Edema,Consolidation,Pneumonia,"
    "Atelectasis,Pneumothorax,Pleural Effusion,Pleural Other,Fracture,Support Devices"
)
CHEXPERT_HEADING = f"Path,Sex,Age,Frontal/Lateral,AP/PA,{CHEXPERT}"
MIMIC = (
    "Atelectasis,Cardiomegaly,Consolidation,Edema,Enlarged Cardiomediastinum,Fracture,Lung Lesion,Lung Opacity,"
    "No Finding,Pleural Effusion,Pleural Other,Pneumonia,Pneumothorax,Support Devices"
)
MIMIC_HEADING = f"subject_id,study_id,{MIMIC}"
MIMIC_SPLIT_HEADING = "dicom_id,study_id,subject_id,split"
VINDR_HEADING = "image_id,class_name,class_id,rad_id,x_min,y_min,x_max,y_max"
RSNA_HEADING = "patientId,x,y,width,height,Target"
RSNA_CLASSES_HEADING = "patientId,class"
ISIC2019 = "MEL,NV,BCC,AK,BKL,DF,VASC,SCC,UNK"
ISIC2019_HEADING = f"image,{ISIC2019}"
ISIC2019_META_HEADING = "image,age_approx,anatom_site_general,lesion_id,sex"
ISIC2020_HEADING = (
    "image_name,patient_id,sex,age_approx,anatom_site_general_challenge,diagnosis,benign_malignant,target"
)


@dataclass
class Published:
    """A data set in its public form.

    Attributes
    ----------
    words : list
        What `preprocess` is called with.
    names : list of str
        Classes, or findings in their order.
    said : dict
        From ids to what must come out: the class, or 1, 0 and -1 for each finding.
    splits : dict
        From ids to the published split; empty where none is.
    groups : dict
        From ids to patients or lesions; empty where none is published.
    facts : dict
        What must be counted, among other things.
    """

    words: list
    names: list[str]
    said: dict = field(default_factory=dict)
    splits: dict = field(default_factory=dict)
    groups: dict = field(default_factory=dict)
    facts: dict = field(default_factory=dict)

    @property
    def several(self) -> bool:
        """Whether there are several findings per picture."""
        return not isinstance(next(iter(self.said.values())), str)


@cache
def command():
    """Return `preprocess` and how its command line is read."""
    stage = next(each for each in INDEX if each.name == "preprocess").load()
    return stage, cli.subcommand(stage)


def params_of(words):
    """Return the parameters of `preprocess` that stand in words."""
    stage, line = command()
    given = line.make_context("preprocess", [str(word) for word in words[1:]]).params
    # Typer itself hands on None for an option that may be given several times and is not.
    return cli.params_from(stage.params, {name: None if value in ((), []) else value for name, value in given.items()})


def catalogue(words, store: Path):
    """Return the entries that words of `preprocess` lead to, and what was decided; no picture is decoded."""
    return cataloguing.catalogue(params_of(words), Context(Store(store), Console(quiet=True)))


def drawn(rng, shown, n: int):
    """Return a grey (SIDE, SIDE) uint8 picture of noise; of n findings, each that is shown is a bright square."""
    picture = rng.integers(60, 110, (SIDE, SIDE), dtype=np.uint8)
    across = int(np.ceil(np.sqrt(n)))
    step = SIDE // across
    for number in shown:
        row, column = divmod(number, across)
        picture[row * step : row * step + step - 1, column * step : column * step + step - 1] = 230
    return picture


def write(path: Path, heading: str, rows) -> Path:
    """Write a table under a heading that stands as it is published."""
    with path.open("w", encoding="utf-8", newline="") as stream:
        stream.write(f"{heading}\n")
        csv.writer(stream, lineterminator="\n").writerows(rows)
    return path


def packed(path: Path) -> Path:
    """Replace a file by its .gz form."""
    target = path.with_name(f"{path.name}.gz")
    target.write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()
    return target


def nih(folder: Path, patients: int = 30) -> Published:
    """ChestX-ray14: findings with | between them in one cell, ids with suffix, and two lists of ids."""
    rng = np.random.default_rng(14)
    names = ["Atelectasis", "Cardiomegaly", "Effusion", "Infiltration"]
    rows, lists = [], {"train_val_list.txt": [], "test_list.txt": []}
    words = ["preprocess", folder / "images", "--table", folder / "Data_Entry_2017.csv", "--id-column", "Image Index"]
    words += ["--label-column", "Finding Labels", "--group-column", "Patient ID"]
    words += ["--split-file", f"test={folder / 'test_list.txt'}"]
    found = Published(words, names)
    for patient in range(1, patients + 1):
        for visit in range(2):
            name = f"{patient:08d}_{visit:03d}"
            shown = np.flatnonzero(rng.random(len(names)) < 0.35).tolist()
            cell = "|".join(names[each] for each in shown) or "No Finding"
            rows.append([f"{name}.png", cell, visit, f"{patient:08d}", "058Y", "M", "PA", 2682, 2749, 0.143, 0.143, ""])
            save_picture(folder / "images" / f"{name}.png", drawn(rng, shown, len(names)))
            lists["test_list.txt" if patient % 5 == 0 else "train_val_list.txt"].append(f"{name}.png")
            found.said[name] = [int(each in shown) for each in range(len(names))]
            found.groups[name] = f"{patient:08d}"
            found.splits[name] = TEST if patient % 5 == 0 else NONE
    write(folder / "Data_Entry_2017.csv", NIH_HEADING, rows)
    for name, ids in lists.items():
        (folder / name).write_text("\n".join(ids))
    found.facts = {"separator": "|", "no_finding": "No Finding"}
    return found


def chexpert(folder: Path, patients: int = 30) -> Published:
    """CheXpert: paths that begin above the folder, pictures that are all called alike, 1.0, 0.0, -1.0 and blanks."""
    rng = np.random.default_rng(5)
    names = CHEXPERT.split(",")
    tables = {"train": [], "valid": []}
    words = ["preprocess", folder / "chexpert", "--id-column", "Path", "--label-columns", "No Finding..Support Devices"]
    words += ["--blank", "negative", "--group-pattern", r"(patient\d+)"]
    for split in tables:
        words += ["--table", folder / f"{split}.csv", "--split-file", f"{split}={folder / f'{split}.csv'}"]
    found = Published(words, names)
    uncertain = blank = 0
    for patient in range(1, patients + 1):
        split = "valid" if patient % 5 == 0 else "train"
        for view in ("view1_frontal", "view2_lateral"):
            below = f"{split}/patient{patient:05d}/study1/{view}"
            values = rng.choice([1, 0, -1, -2], len(names), p=[0.25, 0.25, 0.1, 0.4]).tolist()
            cells = ["" if value == -2 else f"{value:.1f}" for value in values]
            front = view.endswith("frontal")
            row = [f"CheXpert-v1.0-small/{below}.jpg", "Female", 68, *(("Frontal", "AP") if front else ("Lateral", ""))]
            tables[split].append([*row, *cells])
            shown = [number for number, value in enumerate(values) if value == 1]
            save_picture(folder / "chexpert" / f"{below}.jpg", drawn(rng, shown, len(names)))
            name = f"CheXpert-v1.0-small/{below}"
            found.said[name] = [0 if value == -2 else value for value in values]
            found.splits[name] = TRAIN if split == "train" else VALIDATION
            found.groups[name] = f"patient{patient:05d}"
            uncertain += values.count(-1)
            blank += values.count(-2)
    for split, rows in tables.items():
        write(folder / f"{split}.csv", CHEXPERT_HEADING, rows)
    found.facts = {"uncertain": {"unknown": uncertain}, "blank": {"negative": blank}}
    return found


def mimic(folder: Path, patients: int = 20) -> Published:
    """MIMIC-CXR-JPG: packed tables of pictures and of studies, a published split, folders of patients and studies."""
    rng = np.random.default_rng(7)
    names = MIMIC.split(",")
    splits = ("train", "train", "train", "validate", "test")
    words = ["preprocess", folder / "files", "--table", folder / "mimic-cxr-2.0.0-split.csv.gz"]
    words += ["--join", folder / "mimic-cxr-2.0.0-chexpert.csv.gz", "--id-column", "dicom_id"]
    words += ["--label-columns", "Atelectasis..Support Devices", "--group-column", "subject_id"]
    words += ["--split-column", "split"]
    found = Published(words, names)
    pictures, studies = [], []
    for patient in range(10000032, 10000032 + patients):
        study = patient + 40414235
        values = rng.choice([1, 0, -1, -2], len(names), p=[0.3, 0.4, 0.1, 0.2]).tolist()
        studies.append([patient, study, *("" if value == -2 else f"{value:.1f}" for value in values)])
        for _ in range(2):
            name = "-".join(f"{each:08x}" for each in rng.integers(2**32, size=5))
            split = splits[patient % len(splits)]
            pictures.append([name, study, patient, split])
            shown = [number for number, value in enumerate(values) if value == 1]
            path = folder / "files" / f"p{str(patient)[:2]}" / f"p{patient}" / f"s{study}" / f"{name}.jpg"
            save_picture(path, drawn(rng, shown, len(names)))
            found.said[name] = [max(value, -1) for value in values]
            found.splits[name] = {"train": TRAIN, "validate": VALIDATION, "test": TEST}[split]
            found.groups[name] = str(patient)
    packed(write(folder / "mimic-cxr-2.0.0-split.csv", MIMIC_SPLIT_HEADING, pictures))
    packed(write(folder / "mimic-cxr-2.0.0-chexpert.csv", MIMIC_HEADING, studies))
    counts = {
        name: list(found.splits.values()).count(place) for place, name in enumerate(("train", "validation", "test"))
    }
    found.facts = {"published_split": counts | {"none": 0}}
    return found


def vindr(folder: Path, pictures: int = 45) -> Published:
    """VinDr-CXR: DICOM files, three readers of each picture, a row for each box of each reader."""
    rng = np.random.default_rng(18)
    names = ["Aortic enlargement", "Cardiomegaly", "Nodule/Mass", "Pleural effusion"]
    words = ["preprocess", folder / "train", "--table", folder / "train.csv", "--label-column", "class_name"]
    words += ["--rows", "majority", "--reader-column", "rad_id"]
    found = Published(words, names)
    rows = []
    for _ in range(pictures):
        name = rng.bytes(16).hex()
        votes = np.zeros(len(names), int)
        shown = np.flatnonzero(rng.random(len(names)) < 0.4).tolist()
        for reader in ("R8", "R9", "R10"):
            seen = [each for each in range(len(names)) if (each in shown) != (rng.random() < 0.15)]
            votes[seen] += 1
            for each in seen:
                # Several boxes of one reader are one opinion.
                boxes = np.round(rng.random((int(rng.integers(1, 3)), 4)) * 2000, 2)
                rows += [[name, names[each], each, reader, *box] for box in boxes]
            if not seen:
                rows.append([name, "No finding", 14, reader, "", "", "", ""])
        picture = drawn(rng, shown, len(names)).astype(np.uint16) * 16
        # Who publishes these files takes the patients out of them.
        write_scan(folder / "train" / f"{name}.dicom", picture, PatientID="", PatientName="")
        found.said[name] = [int(2 * n > 3) for n in votes]
    order = rng.permutation(len(rows))
    write(folder / "train.csv", VINDR_HEADING, [rows[each] for each in order])
    found.facts = {"no_finding": "No finding"}
    return found


def rsna(folder: Path, pictures: int = 40) -> Published:
    """RSNA Pneumonia: DICOM files, a row for each box, a second table of classes with as many rows."""
    rng = np.random.default_rng(6)
    words = ["preprocess", folder / "stage_2_train_images", "--table", folder / "stage_2_train_labels.csv"]
    words += ["--join", folder / "stage_2_detailed_class_info.csv", "--id-column", "patientId"]
    words += ["--label-columns", "Target", "--rows", "any"]
    found = Published(words, ["no Target", "Target"])
    rows, classes = [], []
    for number in range(pictures):
        name = f"{rng.bytes(4).hex()}-36f6-443f-92f9-{rng.bytes(6).hex()}"
        boxes = number % 3
        for _ in range(boxes):
            rows.append([name, *np.round(rng.random(4) * 500, 1), 1])
            classes.append([name, "Lung Opacity"])
        if not boxes:
            rows.append([name, "", "", "", "", 0])
            classes.append([name, "Normal"])
        path = folder / "stage_2_train_images" / f"{name}.dcm"
        write_scan(path, drawn(rng, range(boxes), 4).astype(np.uint16) * 16, PatientID=name)
        found.said[name] = "Target" if boxes else "no Target"
    write(folder / "stage_2_train_labels.csv", RSNA_HEADING, rows)
    write(folder / "stage_2_detailed_class_info.csv", RSNA_CLASSES_HEADING, classes)
    left_out = ["x", "y", "width", "height"]
    several = sum(number % 3 == 2 for number in range(pictures))
    found.facts = {
        "rows": {
            "rows": len(rows),
            "pictures": pictures,
            "with_several": several,
            "joined": "any",
            "columns_left_out": left_out,
        }
    }
    return found


def isic2019(folder: Path, pictures: int = 54) -> Published:
    """ISIC 2019: a column for each class, one 1.0 in every row, lesions in a second table."""
    rng = np.random.default_rng(19)
    names = ISIC2019.split(",")
    words = ["preprocess", folder / "ISIC_2019_Training_Input"]
    words += ["--table", folder / "ISIC_2019_Training_GroundTruth.csv"]
    words += ["--join", folder / "ISIC_2019_Training_Metadata.csv", "--id-column", "image", "--label-columns", ISIC2019]
    words += ["--group-column", "lesion_id"]
    used = names[:-1]
    found = Published(words, sorted(used))
    rows, more = [], []
    for number in range(pictures):
        # No training picture is UNK; some old ones are called downsampled.
        name = f"ISIC_{number:07d}" + "_downsampled" * (number % 5 == 0)
        shown = number % len(used)
        rows.append([name, *(f"{float(each == shown):.1f}" for each in range(len(names)))])
        lesion = "" if number % 6 == 0 else f"BCN_{number // 2:07d}"
        more.append([name, 55.0, "anterior torso", lesion, "female"])
        picture = np.stack([drawn(rng, [shown], len(names))] * 3, axis=-1)
        save_picture(folder / "ISIC_2019_Training_Input" / f"{name}.jpg", picture)
        found.said[name] = names[shown]
        found.groups[name] = lesion or name
    write(folder / "ISIC_2019_Training_GroundTruth.csv", ISIC2019_HEADING, rows)
    write(folder / "ISIC_2019_Training_Metadata.csv", ISIC2019_META_HEADING, more)
    found.facts = {"one_hot": len(names), "without_group": sum(not lesion for *_, lesion, _ in more)}
    return found


def isic2020(folder: Path, pictures: int = 40) -> Published:
    """ISIC 2020: a column target of 0 and 1, several pictures of a patient."""
    rng = np.random.default_rng(20)
    words = ["preprocess", folder / "train", "--table", folder / "ISIC_2020_Training_GroundTruth.csv"]
    words += ["--id-column", "image_name", "--label-column", "benign_malignant", "--group-column", "patient_id"]
    found = Published(words, ["benign", "malignant"])
    rows = []
    for number in range(pictures):
        name, patient = f"ISIC_{2637011 + number}", f"IP_{7279968 + number // 2}"
        ill = number % 3 == 0
        word = "malignant" if ill else "benign"
        rows.append([name, patient, "male", 45.0, "head/neck", "melanoma" if ill else "unknown", word, int(ill)])
        picture = np.stack([drawn(rng, [0] if ill else [], 4)] * 3, axis=-1)
        save_picture(folder / "train" / f"{name}.jpg", picture)
        found.said[name], found.groups[name] = word, patient
    write(folder / "ISIC_2020_Training_GroundTruth.csv", ISIC2020_HEADING, rows)
    return found


BUILDERS = {
    "nih": nih,
    "chexpert": chexpert,
    "mimic": mimic,
    "vindr": vindr,
    "rsna": rsna,
    "isic2019": isic2019,
    "isic2020": isic2020,
}
