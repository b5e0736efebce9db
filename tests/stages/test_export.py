"""Export: what is written, and what is refused."""

import csv
import json
import shutil

import h5py
import numpy as np
import pytest

from facelime_cli.store.references import Store
from tests.scanning import secrets_in
from tests.support import write_faces


def test_csv_of_surrogates(chain, tmp_path):
    chain.facelime.json("export", chain.reference("fit-surrogate"), "--to", tmp_path / "out.csv")
    rows = list(csv.DictReader((tmp_path / "out.csv").open()))
    coefficients, counts = chain["fit-surrogate"].read("coefficients"), chain["segment"].read("n_segments")
    assert len(rows) == int(counts.sum()) * 2
    classes, ids = chain["fit-surrogate"].facts["classes"], chain["fit-surrogate"].texts("id")
    for row in rows:
        assert (
            float(row["coefficient"])
            == coefficients[ids.index(row["id"]), classes.index(row["class"]), int(row["segment"])]
        )


def test_export_refuses_what_it_cannot_do(chain, tmp_path):
    (tmp_path / "there.h5").write_text("mine")
    assert "exists already" in chain.facelime.fails("export", chain.reference("predict"), "--to", tmp_path / "there.h5")
    assert (tmp_path / "there.h5").read_text() == "mine"
    chain.facelime.fails("export", chain.reference("predict"), "--to", tmp_path / "x.mat", code=2)
    assert "only surrogates" in chain.facelime.fails("export", chain.reference("predict"), "--to", tmp_path / "x.csv")
    assert "no folder" in chain.facelime.fails("export", chain.reference("predict"), "--to", tmp_path / "none" / "x.h5")
    assert [path.name for path in tmp_path.iterdir()] == ["there.h5"]


# What goes out

SCHEMES = ("preprocess", "segment", "perturb", "predict", "fit-surrogate", "evaluate", "gradcam", "consensus", "check")


@pytest.fixture
def visits(facelime, tmp_path):
    """A dataset with groups in two splits, equal pictures, a broken file and a table of patients."""
    folder = write_faces(tmp_path / "visits" / "train", 8, 24)
    (folder.parent / "test" / "normal").mkdir(parents=True)
    shutil.copy(folder / "normal" / "face-000.png", folder.parent / "test" / "normal" / "face-000-again.png")
    (folder / "normal" / "face-broken.png").write_bytes(b"\x89PNG")
    words = ("--size", 24, "--group-pattern", r"face-00(\d)", "--name", "visits", "--workers", 1)
    facelime.json("preprocess", folder.parent, *words)
    return facelime


def exported(run, reference, file, *words):
    """Return the manifest and the names of what is in an exported file, after its answer."""
    answer = run.json("export", reference, "--to", file, "--force", *words)
    with h5py.File(file) as out:
        return answer, json.loads(out["manifest"][()]), set(out)


def test_groups_stay_unless_they_are_asked_for(visits, tmp_path):
    answer, manifest, names = exported(visits, "visits", tmp_path / "out.h5")
    assert answer["left_out"] == manifest["left_out"] == ["group (--with-groups)"]
    assert "group" not in names
    assert "group" not in manifest["arrays"]
    assert manifest["facts"]["leakage"]["exact"]["across_parts"] == 1
    assert "groups_across_parts" not in str(manifest)
    assert "such as" not in str(manifest)
    answer, manifest, names = exported(visits, "visits", tmp_path / "out.h5", "--with-groups")
    assert answer["left_out"] == []
    assert "group" in names
    assert manifest["facts"]["leakage"]["groups_across_parts"] == ["0"]
    assert manifest == Store(visits.store).resolve("visits").manifest


def test_columns_of_the_table_stay_unless_they_are_asked_for(facelime, tmp_path):
    folder = write_faces(tmp_path / "some", 4, 24)
    lines = [f"{path.stem},MRN-{n}" for n, path in enumerate(sorted(folder.rglob("*.png")))]
    (tmp_path / "table.csv").write_text("\n".join(["image_id,number", *lines]))
    facelime.json("preprocess", folder, "--size", 24, "--table", tmp_path / "table.csv", "--name", "x", "--workers", 1)
    page = facelime.json("describe", "x")["artifact"]
    out = tmp_path / "out"
    out.mkdir()
    answer = facelime.json("export", "x", "--to", out / "x.h5")
    assert answer["left_out"] == ["group (--with-groups)", "table/number (--with-table)"]
    assert "columns.csv" in facelime.json("export", page, "--to", out / "page.h5")["left_out"]
    assert secrets_in(out, {"number": "MRN-"}) == {}
    facelime.json("export", "x", "--to", out / "x.h5", "--with-table", "--force")
    facelime.json("export", page, "--to", out / "page.h5", "--with-table", "--force")
    assert {place.split(":")[0] for place in secrets_in(out, {"number": "MRN-"})["number"]} == {"x.h5", "page.h5"}


def test_the_lineage_names_no_picture_and_no_patient(visits, tmp_path):
    (tmp_path / "out").mkdir()
    segments = visits.artifact("segment", "visits", "--images", "test/normal/face-000-again", "--workers", 1)
    masks = visits.artifact("perturb", segments.id, "--samples", 20, "--workers", 1)
    visits.json("export", masks.reference, "--to", tmp_path / "out" / "x.h5")
    own = set(secrets_in(tmp_path / "out", {"own": "face-000-again", "other": "face-001", "broken": "face-broken"}))
    assert own == {"own"}
    # The same scanner finds them in the store.
    assert {"other", "broken"} <= set(secrets_in(visits.store, {"other": "face-001", "broken": "face-broken"}))
    with h5py.File(tmp_path / "out" / "x.h5") as out:
        dataset = next(each for each in json.loads(out["lineage"][()]) if each["stage"] == "preprocess")
    assert dataset["facts"]["counts"]["normal"] == {"train": 4, "validation": 0, "test": 1}
    assert not {"unreadable", "leakage", "faces_not_found"} & set(dataset["facts"])


@pytest.mark.parametrize("stage", SCHEMES)
def test_one_picture_goes_out_alone(chain, tmp_path, stage):
    artifact = chain[stage]
    chosen, *others = artifact.texts("id")[::-1]
    _, manifest, names = exported(chain.facelime, artifact.reference, tmp_path / "one.h5", "--picture", chosen)
    with h5py.File(tmp_path / "one.h5") as out:
        assert out["id"].asstr()[:].tolist() == [chosen]
        assert not [name for name in names if name in artifact.arrays and len(out[name]) != 1]
        for name in artifact.arrays:
            if name in names and artifact.spec(name).dtype != "string":
                assert np.array_equal(out[name][0], artifact.read(name)[-1], equal_nan=True)
    assert "files" not in names
    assert secrets_in(tmp_path, {other: other for other in others}) == {}
    if stage != "preprocess":
        assert manifest["content"] == artifact.content


def test_pictures_are_chosen_for_a_table_too(chain, tmp_path):
    ids = chain["fit-surrogate"].texts("id")
    words = ("--picture", ids[2], "--picture", ids[0])
    chain.facelime.json("export", chain.reference("fit-surrogate"), "--to", tmp_path / "out.csv", *words)
    rows = list(csv.DictReader((tmp_path / "out.csv").open()))
    assert list(dict.fromkeys(row["id"] for row in rows)) == [ids[2], ids[0]]
    (tmp_path / "two.txt").write_text(f"{ids[2]}\n\n{ids[0]}\n")
    listed = ("--from", tmp_path / "two.txt")
    chain.facelime.json("export", chain.reference("fit-surrogate"), "--to", tmp_path / "listed.csv", *listed)
    assert (tmp_path / "listed.csv").read_bytes() == (tmp_path / "out.csv").read_bytes()
    fails = chain.facelime.fails
    table = ("export", chain.reference("fit-surrogate"), "--to", tmp_path / "y.csv")
    assert "--with-stand-ins" in fails(*table, "--with-stand-ins", code=2)
    assert "no picture" in fails("export", chain.reference("predict"), "--to", tmp_path / "x.h5", "--picture", "nobody")
    assert "as a whole" in fails("export", "models/small", "--to", tmp_path / "x.h5", "--picture", ids[0], code=2)
    assert "both name" in fails(*table, *listed, "--picture", ids[0], code=2)
    assert {path.name for path in tmp_path.iterdir()} == {"out.csv", "listed.csv", "two.txt"}


def test_people_who_stood_in_stay_unless_they_are_asked_for(chain, tmp_path):
    for stage in ("perturb", "check"):
        _, manifest, names = exported(chain.facelime, chain.reference(stage), tmp_path / "out.h5")
        assert not {"fill", "fill_row"} & (names | set(manifest["arrays"]))
        _, manifest, names = exported(chain.facelime, chain.reference(stage), tmp_path / "out.h5", "--with-stand-ins")
        assert {"fill", "fill_row"} <= names & set(manifest["arrays"])
    every = Store(chain.facelime.store).artifacts(("masks",))
    blurred = next(each for each in every if each.parameters["fill"] == "blur")
    _, _, names = exported(chain.facelime, blurred.reference, tmp_path / "out.h5")
    assert "fill" in names


def test_pages_with_other_people_are_refused(chain, tmp_path):
    report, words = chain.reference("render"), ("--to", tmp_path / "page.h5")
    assert "--no-stand-ins" in chain.facelime.fails("export", report, *words)
    assert not (tmp_path / "page.h5").exists()
    alone = chain.facelime.artifact("render", chain["fit-surrogate"].id, "--no-stand-ins", "--workers", 1)
    assert chain.facelime.json("export", alone.reference, *words)["left_out"] == []


def test_a_table_of_predictions_names_groups(chain, tmp_path):
    answer, _, _ = exported(chain.facelime, chain.reference("evaluate"), tmp_path / "out.h5")
    assert answer["left_out"] == ["group (--with-groups)", "predictions.csv"]
    answer, _, _ = exported(chain.facelime, chain.reference("evaluate"), tmp_path / "out.h5", "--with-groups")
    assert answer["left_out"] == []
