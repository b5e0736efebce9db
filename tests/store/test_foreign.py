"""A store that somebody else wrote: whatever stands in it, one sentence names it, and nothing outside is touched."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from facelime_cli.errors import BrokenError, FacelimeError
from facelime_cli.store import digests, forms
from facelime_cli.store.arrays import ArraySpec
from facelime_cli.store.artifacts import FOLDERS, Artifact, lineage, standing
from facelime_cli.store.manifests import Identity, content_of
from facelime_cli.store.references import Store
from facelime_cli.store.verifying import faults
from tests.store.making import N, complete, create, fill, finish
from tests.support import Facelime


def rewrite(artifact, file, change):
    """Change a JSON file of an artifact as somebody does who knows how its digest is made."""
    path = artifact.path / file
    value = json.loads(path.read_text())
    change(value)
    value.pop("digest", None)
    value["digest"] = digests.of_value(value)
    path.write_text(json.dumps(value))
    return artifact.store.stored(artifact.kind, artifact.id)


def nested(depth):
    value = 1
    for _ in range(depth):
        value = [value]
    return value


LAYOUTS = {
    "a word for a number": {"n": "x"},
    "too many pictures": {"n": 10**12},
    "no number": {"n": None},
    "half a picture": {"n": 70.5},
    "yes for a number": {"n": True},
    "units of nothing": {"unit_pictures": 0},
    "a name that leads out": {"name": "../../away"},
    "an id that leads out": {"id": "../../away"},
    "an input that leads out": {"inputs": {"model": {"kind": "models", "id": "../../../away", "digest": "0"}}},
    "an input of a kind that leads out": {"inputs": {"model": {"kind": "..", "id": "a-00000000", "digest": "0"}}},
    "inputs that are a list": {"inputs": ["a"]},
    "an array that leads out": {"arrays": {"../x": {"dtype": "uint8", "shape": [70], "dimensions": ["a"], "unit": ""}}},
    "an array of objects": {"arrays": {"x": {"dtype": "object", "shape": [70], "dimensions": ["a"], "unit": ""}}},
    "a shape below zero": {"arrays": {"x": {"dtype": "uint8", "shape": [-1], "dimensions": ["a"], "unit": ""}}},
    "a shape of other pictures": {"arrays": {"x": {"dtype": "uint8", "shape": [7], "dimensions": ["a"], "unit": ""}}},
    "deep parameters": {"parameters": {"a": nested(100)}},
    "another fingerprint": {"fingerprint": "0" * 64},
    "other parameters": {"parameters": {"seed": 5}},
    "a stage that is no name": {"stage": "../x"},
    "a later schema": {"schema": 99},
}


@pytest.mark.parametrize("change", LAYOUTS.values(), ids=LAYOUTS)
def test_a_malformed_layout_is_damage_of_its_artifact_alone(store, change):
    sound, harmed = complete(store, "sound"), create(store, "harmed", 1)
    harmed = rewrite(harmed, "layout.json", lambda layout: layout.update(change))
    with pytest.raises(BrokenError):
        _ = harmed.layout
    run = Facelime(store.root)
    listed = {each["artifact"]: each["state"] for each in run.json("status")["artifacts"]}
    assert listed[sound.id] == "complete"
    assert listed[harmed.id].startswith("damaged: ")
    verified = run("verify", "--json")
    assert verified.exit_code == 1
    assert {fault["artifact"] for fault in json.loads(verified.stdout)["faults"]} == {harmed.reference}
    assert "Traceback" not in verified.stderr
    run.fails("repair", harmed.reference)
    run.json("remove", harmed.reference, "--yes")
    assert [each["state"] for each in run.json("status")["artifacts"]] == ["complete"]


TEXTS = {
    "NaN": '{"n": NaN}',
    "infinite": '{"n": 1e999}',
    "deep": "[" * 100_000,
    "a list": "[]",
    "no text": "\udcff",
    "many digits": '{"n": ' + "9" * 10_000 + "}",
}


@pytest.mark.parametrize("file", ["layout.json", "manifest.json"])
@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_what_is_no_json_is_damage(store, artifact, file, text):
    (artifact.path / file).write_bytes(text.encode(errors="surrogateescape"))
    assert standing(store.stored(artifact.kind, artifact.id))["state"].startswith("damaged: ")
    assert len(faults(store.stored(artifact.kind, artifact.id))) == 1


@pytest.mark.parametrize("file", ["layout.json", "manifest.json"])
@pytest.mark.parametrize("what", ["pipe", "folder", "huge", "link"])
def test_what_is_no_file_is_damage_and_waits_for_nobody(store, artifact, file, what, tmp_path):
    path = artifact.path / file
    kept = path.read_bytes()
    path.unlink()
    if what == "pipe":
        os.mkfifo(path)
    elif what == "folder":
        path.mkdir()
    elif what == "huge":
        with path.open("wb") as stream:
            stream.truncate(1 << 40)
    else:
        (tmp_path / "elsewhere.json").write_bytes(kept)
        path.symlink_to(tmp_path / "elsewhere.json")
    assert standing(store.stored(artifact.kind, artifact.id))["state"].startswith("damaged: ")
    store.remove(store.stored(artifact.kind, artifact.id))
    assert store.artifacts() == []
    if what == "link":
        assert (tmp_path / "elsewhere.json").exists()


def test_an_artifact_that_is_its_own_input(store):
    itself = create(store)

    def loop(layout):
        layout["inputs"] = {"masks": {"kind": "predictions", "id": "loop-00000000", "digest": "1"}}
        layout["fingerprint"] = Identity("predict", 1, layout["parameters"], {"masks": "1"}).fingerprint

    looped = rewrite(itself, "layout.json", loop)
    name = f"loop-{json.loads((looped.path / 'layout.json').read_text())['fingerprint'][:8]}"
    looped.path.rename(looped.path.with_name(name))
    own = {"masks": {"kind": "predictions", "id": name, "digest": "1"}}
    looped = rewrite(store.stored("predictions", name), "layout.json", lambda layout: layout.update(inputs=own))
    assert [each.id for each in looped.parents()] == [name]
    with pytest.raises(FacelimeError):
        looped.input("datasets")
    assert len(lineage(looped)) <= 1
    run = Facelime(store.root)
    assert run("show", name).exit_code in {0, 1}
    run.json("remove", name, "--yes")


@pytest.mark.parametrize("name", ["../../secret", "/etc/hostname", "a/../../b", "", "a//b", "a\0b", "."])
def test_a_file_of_a_manifest_stays_inside(store, artifact, name, tmp_path):
    artifact = rewrite(artifact, "manifest.json", lambda manifest: manifest.update(files={name: "0" * 64}))
    error = Facelime(store.root).fails("export", artifact.id, "--to", tmp_path / "out.h5")
    assert "manifest" in error
    assert not (tmp_path / "out.h5").exists()
    with pytest.raises(BrokenError):
        artifact.file(name)


def test_a_linked_file_is_not_handed_out(store, tmp_path):
    (tmp_path / "secret").write_text("of the reader")
    artifact = create(store)
    fill(artifact)
    artifact.file("figure.png").write_text("of the artifact")
    artifact.seal({}, ["figure.png"])
    assert Facelime(store.root)("export", artifact.id, "--to", tmp_path / "sound.h5").exit_code == 0
    (artifact.path / "figure.png").unlink()
    (artifact.path / "figure.png").symlink_to(tmp_path / "secret")
    error = Facelime(store.root).fails("export", artifact.id, "--to", tmp_path / "out.h5")
    assert "figure.png is a link" in error
    assert not (tmp_path / "out.h5").exists()


@pytest.mark.parametrize("name", FOLDERS)
def test_a_linked_folder_is_refused_and_nothing_is_written_there(store, name, tmp_path):
    artifact = create(store)
    away = tmp_path / "away"
    folder = artifact.path / name
    if folder.is_dir():
        folder.rename(away)
    else:
        away.mkdir()
    folder.symlink_to(away)
    before = sorted(away.rglob("*"))
    again = store.stored(artifact.kind, artifact.id)
    with pytest.raises(BrokenError, match="is a link"):
        fill(again)
    assert sorted(away.rglob("*")) == before
    assert "is a link" in standing(store.stored(artifact.kind, artifact.id))["state"]


def test_a_linked_artifact_or_kind_is_refused(store, artifact, tmp_path):
    away = tmp_path / "away"
    artifact.path.rename(away)
    artifact.path.symlink_to(away)
    assert "is a link" in standing(store.stored(artifact.kind, artifact.id))["state"]
    artifact.path.unlink()
    away.rename(artifact.path)
    assert standing(store.stored(artifact.kind, artifact.id))["state"] == "complete"
    place = artifact.path.parent
    place.rename(away)
    place.symlink_to(away)
    assert "is a link" in standing(store.stored(artifact.kind, artifact.id))["state"]
    before = sorted(away.rglob("*"))
    with pytest.raises(FacelimeError, match="link"):
        create(store, "other", 9)
    assert sorted(away.rglob("*")) == before


def test_a_linked_chunk_is_neither_read_nor_written_through(store, tmp_path):
    artifact = create(store)
    away = tmp_path / "away"
    away.write_text("of the reader")
    chunk = artifact.path / "arrays.zarr" / "values" / "c.1.0.0"
    chunk.symlink_to(away)
    fill(artifact)
    artifact.seal({})
    assert away.read_text() == "of the reader"
    assert not chunk.is_symlink()
    chunk.rename(away)
    chunk.symlink_to(away)
    with pytest.raises(BrokenError):
        store.stored(artifact.kind, artifact.id).read("values")


@pytest.mark.parametrize("text", ["../../away", "other-12345678", "", "\udcff", "x" * 5000])
def test_an_agreed_id_that_leads_elsewhere_is_passed_over(store, artifact, text):
    agreed = artifact.path.parent / ".ids" / artifact.fingerprint
    assert agreed.read_text() == artifact.id
    agreed.write_bytes(text.encode(errors="surrogateescape"))
    assert store.find(artifact.kind, artifact.fingerprint).id == artifact.id
    assert create(store).id == artifact.id
    assert agreed.read_text() == artifact.id


def test_an_agreed_id_of_another_artifact_gives_nothing_of_it(store, artifact):
    other = complete(store, "other", 5)
    (artifact.path.parent / ".ids" / artifact.fingerprint).write_text(other.id)
    assert store.find(artifact.kind, artifact.fingerprint).id == artifact.id


def test_names_that_are_none_are_passed_over_named_and_mended(store, artifact):
    (artifact.path / "names" / "two words\x1b[31m").touch()
    (artifact.path / "names" / "also").mkdir()
    run = Facelime(store.root)
    verified = json.loads(run("verify", artifact.id, "--json").stdout)["faults"]
    assert [fault["what"].endswith("is no name") for fault in verified] == [True, True]
    run.json("repair", artifact.id)
    assert run.json("verify", artifact.id)["faults"] == []
    assert store.stored(artifact.kind, artifact.id).names == ["thing"]


def test_every_form_has_a_check_that_can_fail():
    for form in (forms.LAYOUT, forms.MANIFEST, forms.RECORD, forms.CLAIM, forms.UNIT, forms.ARRAY):
        with pytest.raises(forms.FormError):
            form({}, "")
        with pytest.raises(forms.FormError):
            form([], "")


@pytest.mark.parametrize("text", ["a", "a/b.png", "saved_model/variables/variables.index", "ä/ö"])
def test_names_of_files_that_stay_inside(text):
    assert forms.relative_name(text)
    assert Path("x", text).resolve().is_relative_to(Path("x").resolve())


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -3e6, 4.0, -0.1])
def test_answers_that_are_missing_are_refused(store, wrong):
    spec = ArraySpec("float32", (N, 2), ("picture", "class"), float("nan"), "probability")
    artifact = create(store, kind="evaluations", probabilities=spec)
    answers = np.full((N, 2), 0.5, np.float32)
    answers[40, 1] = wrong
    finish(artifact, {"values": np.zeros((N, 5, 2), np.float32), "probabilities": answers})
    with pytest.raises(BrokenError, match="1 answers of the model are missing"):
        artifact.read("probabilities")
    assert artifact.read("probabilities", slice(0, 32)).shape == (32, 2)


def test_the_store_of_a_plain_run_is_sound(store, artifact):
    """What the tests above change makes the difference."""
    assert isinstance(store, Store)
    assert faults(artifact) == []


def test_nothing_is_removed_behind_a_linked_kind(store, artifact, tmp_path):
    away = tmp_path / "away"
    (away / "Documents").mkdir(parents=True)
    (away / "Documents" / "thesis.txt").write_text("of the reader")
    artifact.path.rename(away / artifact.id)
    shutil.rmtree(artifact.path.parent)
    artifact.path.parent.symlink_to(away)
    run = Facelime(store.root)
    listed = run("status", "--json")
    assert json.loads(listed.stdout)["artifacts"] == []
    assert "is a link and is passed over" in listed.stderr
    for reference in ("predictions/Documents", "Documents", artifact.reference):
        run.fails("remove", reference, "--yes")
    with pytest.raises(BrokenError, match="is a link"):
        store.remove(Artifact(store, artifact.path))
    assert (away / "Documents" / "thesis.txt").exists()
    assert (away / artifact.id / "layout.json").exists()


def test_nothing_is_removed_behind_linked_agreed_ids(store, artifact, tmp_path):
    away = tmp_path / artifact.fingerprint
    away.write_text("of the reader")
    ids = artifact.path.parent / ".ids"
    shutil.rmtree(ids)
    ids.symlink_to(tmp_path)
    assert "is a link" in Facelime(store.root).fails("remove", artifact.reference, "--yes")
    assert away.read_text() == "of the reader"


def swap_classes(value):
    value["facts"]["classes"].reverse()


def test_facts_that_a_later_stage_depends_on_are_part_of_the_content(artifact):
    """Somebody who writes every digest but that of the content."""
    layout = json.loads((rewrite(artifact, "layout.json", swap_classes).path / "layout.json").read_text())

    def change(manifest):
        swap_classes(manifest)
        manifest["layout"] = digests.of_value(layout)

    (fault,) = faults(rewrite(artifact, "manifest.json", change))
    assert "content digest" in fault.what


def test_the_digest_of_a_whole_array_is_compared_too(artifact):
    def change(manifest):
        manifest["arrays"]["values"]["digest"] = "0" * 64
        manifest["content"] = content_of(manifest)

    (fault,) = faults(rewrite(artifact, "manifest.json", change))
    assert fault.what == "array values differs from its digest"


def test_a_unit_without_a_digest_is_a_fault(artifact):
    def change(manifest):
        manifest["units"][1]["digests"] = {}

    assert [fault.unit for fault in faults(rewrite(artifact, "manifest.json", change))] == [1]


def test_a_chunk_that_would_unpack_to_more_than_belongs_there_is_not_unpacked(store, artifact):
    sound = complete(store, "sound", 4)
    chunk = artifact.path / "arrays.zarr" / "values" / "c.1.0.0"
    # Zeros are packed to a thirty-thousandth.
    chunk.write_bytes(b"\0" * 10_000)
    with pytest.raises(BrokenError, match="more than the"):
        store.stored(artifact.kind, artifact.id).read("values")
    assert {fault.artifact for each in (sound, artifact) for fault in faults(each)} == {artifact.reference}


def test_a_folder_whose_name_is_no_id_is_named(store, artifact):
    (artifact.path.parent / "\x1b[2Jevil-deadbeef").mkdir()
    verified = Facelime(store.root)("verify", "--json")
    assert "its name is no id; take it out of the store" in verified.stdout


def test_an_export_is_never_written_among_the_artifacts(store, artifact):
    run = Facelime(store.root)
    said = run.fails("export", artifact.id, "--to", artifact.path / "layout.h5")
    assert "lies among the artifacts" in said
