"""Stores of earlier days, which `tests/data/make.py` made with the code of those days, are read or refused."""

import json
import re
import shutil
import tarfile
from pathlib import Path

import pytest

from facelime_cli.engine import refuse_newer
from facelime_cli.store import digests
from facelime_cli.store.forms import ID_DIGITS
from facelime_cli.store.kinds import KINDS
from facelime_cli.store.manifests import LAYOUT, MANIFEST, SCHEMA, Identity
from facelime_cli.store.references import Store
from tests.support import Facelime

DATA = Path(__file__).with_name("data")
REFUSED = ("2026-11-21-first",)
"""Before the first release was tagged, a layout said nothing of how the work was begun."""
STORES = sorted(path.name.removesuffix(".tar.xz") for path in DATA.glob("*.tar.xz"))
READ = [name for name in STORES if name not in REFUSED]
NEWEST = STORES[-1]
LARGEST = 300_000
OF_A_MACHINE = re.compile(rb"/(?:home|tmp|Users|var|mnt|opt)/|\.local\b|[\w.+-]+@[\w-]+\.[a-z]{2,}")


@pytest.fixture
def aged(tmp_path):
    """Unpack a store of another day."""

    def unpack(name):
        with tarfile.open(DATA / f"{name}.tar.xz") as packed:
            packed.extractall(tmp_path / "store", filter="data")
        return Facelime(tmp_path / "store")

    return unpack


def everything(run):
    return Store(run.store).artifacts()


def files_of(run):
    return {path: path.read_bytes() for path in run.store.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", STORES)
def test_test_data_are_small_and_name_no_machine(name):
    assert (DATA / f"{name}.tar.xz").stat().st_size <= LARGEST
    with tarfile.open(DATA / f"{name}.tar.xz") as packed:
        for member in packed:
            assert (member.uid, member.gid, member.uname, member.gname, member.mtime) == (0, 0, "", "", 0)
            content = packed.extractfile(member).read() if member.isfile() else b""
            assert not OF_A_MACHINE.search(content), member.name


@pytest.mark.parametrize("name", READ)
def test_a_store_of_another_day_is_complete_and_sound(aged, name):
    run = aged(name)
    listed = run.json("status")["artifacts"]
    assert len(listed) == len(everything(run)) >= 9
    assert all(each["complete"] for each in listed)
    assert run.json("verify") == {"verified": len(listed), "unfinished": 0, "faults": []}


@pytest.mark.parametrize("name", READ)
def test_every_artifact_of_another_day_is_shown(aged, name):
    run = aged(name)
    for artifact in everything(run):
        assert run.json("show", artifact.reference)["artifact"] == artifact.id


@pytest.mark.long
@pytest.mark.parametrize("name", READ)
def test_work_goes_on_from_every_step_of_another_day(aged, name, tmp_path):
    """Each command reads what was stored and makes something new of it."""
    run = aged(name)
    for words in (
        ("segment", "drawn", "--split", "test", "--segments", 5),
        ("perturb", "parts", "--samples", 30, "--fill", "grey"),
        ("predict", "masks", "--model", "tiny", "--batch-size", 4),
        ("fit-surrogate", "answers", "--stable-top", 3),
        ("evaluate", "tiny", "--dataset", "drawn", "--split", "all", "--bootstrap", 110),
        ("consensus", "surrogates/one", "surrogates/two"),
        ("check", "surrogates/one", "--sets", 19),
        ("render", "surrogates/one", "--top", 3),
        ("describe", "drawn", "--seed", 5),
        ("gradcam", "parts", "--model", "tiny", "--variant", "eigencam"),
        ("occlusion", "masks", "--model", "tiny", "--batch-size", 4),
        ("contrast", "surrogates/one", "--class", "plain", "--versus", "spotted"),
        ("compare", "surrogates/one", "surrogates/two", "--top", 2),
    ):
        assert run.artifact(*words).complete, words
    for words in (("stability", "surrogates/one", "--stored", 2), ("export", "answers", "--to", tmp_path / "out.h5")):
        run.json(*words)
    assert run.json("verify")["faults"] == []


@pytest.mark.parametrize("name", REFUSED)
def test_a_store_that_is_too_old_is_refused_and_can_be_removed(aged, name):
    run = aged(name)
    before = files_of(run)
    assert not any(each["complete"] for each in run.json("status")["artifacts"])
    for words in (("render", "surrogates/one"), ("fit-surrogate", "answers"), ("show", "datasets/drawn")):
        error = run.fails(*words)
        assert "lacks execution; remove it (`facelime remove " in error
    assert run("verify").exit_code == 1
    assert files_of(run) == before
    for artifact in reversed(everything(run)):
        run.json("remove", artifact.reference, "--yes")
    assert everything(run) == []


def sealed_again(run, reference, **changes):
    """Change what is written of an artifact, and its id, as another facelime would have written it."""
    artifact = Store(run.store).resolve(reference)
    layout = json.loads((artifact.path / LAYOUT).read_text()) | changes
    inputs = {name: each["digest"] for name, each in layout["inputs"].items()}
    made = Identity(layout["stage"], layout["stage_version"], layout["parameters"], inputs).fingerprint
    changes |= {"fingerprint": made, "id": f"{artifact.name}-{made[:ID_DIGITS]}"}
    artifact.path.rename(artifact.path.with_name(changes["id"]))
    for folder in (path.parent for path in run.store.glob(f"*/*/{LAYOUT}")):
        its = changes if folder.name == changes["id"] else {}
        ids = (artifact.id, changes["id"])
        layout = _digested(folder / LAYOUT, ids, its, always=False)
        _digested(folder / MANIFEST, ids, its | {"layout": digests.of_value(layout)}, always=True)


def _digested(path, ids, changes, *, always):
    """Write a file of an artifact with other values and its digest, where it has one."""
    value = json.loads(path.read_text().replace(*ids)) | changes
    if always or "digest" in value:
        value["digest"] = digests.of_value({name: each for name, each in value.items() if name != "digest"})
    path.write_text(json.dumps(value))
    return value


class TestNewer:
    def changed(self, aged, reference, **changes):
        run = aged(NEWEST)
        sealed_again(run, reference, **changes)
        return run, files_of(run)

    def test_the_helper_changes_nothing_else(self, aged):
        run, _ = self.changed(aged, "predictions/answers", stage_version=1)
        assert run.json("verify")["faults"] == []
        assert run.artifact("fit-surrogate", "answers", "--stable-top", 2).complete

    def test_a_newer_form_of_the_store(self, aged):
        run, before = self.changed(aged, "predictions/answers", schema=SCHEMA + 1)
        for words in (("show", "predictions/answers"), ("fit-surrogate", "answers", "--stable-top", 2)):
            error = run.fails(*words)
            assert f"was made by a newer facelime (form {SCHEMA + 1}; this one reads up to {SCHEMA})" in error
            assert "use that facelime, or make it again" in error
        assert files_of(run) == before
        states = {each["artifact"]: each["complete"] for each in run.json("status")["artifacts"]}
        assert sum(not complete for complete in states.values()) == 1

    @pytest.mark.parametrize("reference", ["predictions/answers", "masks/masks", "segments/parts", "datasets/drawn"])
    def test_a_newer_version_of_a_stage_wherever_it_is_in_the_lineage(self, aged, reference):
        run, before = self.changed(aged, reference, stage_version=99)
        # What was made from it still names it, as a newer facelime would have left it.
        error = run.fails("fit-surrogate", "answers", "--stable-top", 2)
        assert f"error: {Store(run.store).resolve(reference).reference} was made by version 99 of `" in error
        assert "use the newer facelime that made it, or make it again with this one" in error
        assert files_of(run) == before

    def test_what_is_damaged_or_gone_below_is_for_its_readers_to_say(self, aged):
        run = aged(NEWEST)
        store = Store(run.store)
        (store.resolve("masks/masks").path / LAYOUT).write_text("{")
        refuse_newer(Store(run.store).resolve("surrogates/one"))
        shutil.rmtree(store.resolve("segments/parts").path)
        refuse_newer(Store(run.store).resolve("masks/masks-black"))
        assert "is gone" in run.fails("render", "surrogates/two", "--top", 2)

    def test_a_newer_version_among_several_inputs(self, aged):
        run, before = self.changed(aged, "surrogates/two", stage_version=99)
        for words in (
            ("consensus", "surrogates/one", "surrogates/two", "--stable-top", 2),
            ("compare", "surrogates/one", "surrogates/two", "--top", 2),
            ("render", "surrogates/one", "--beside", "surrogates/two"),
            ("show", "surrogates/two", "--format", "csv"),
        ):
            assert "was made by version 99 of `fit-surrogate`" in run.fails(*words), words
        assert files_of(run) == before

    def test_a_stage_that_this_facelime_does_not_have(self, aged):
        run, before = self.changed(aged, "predictions/answers", stage="dream")
        error = run.fails("fit-surrogate", "answers", "--stable-top", 2)
        assert "this facelime has no stage 'dream'; use the newer facelime that made what names it" in error
        assert files_of(run) == before

    def test_a_kind_that_this_facelime_does_not_have(self, aged):
        run = aged(NEWEST)
        assert "dreams" not in KINDS
        masks = Store(run.store).resolve("masks/masks")
        (run.store / "dreams").mkdir()
        masks.path.rename(run.store / "dreams" / masks.id)
        before = files_of(run)
        assert "nothing called 'dreams/masks'" in run.fails("show", "dreams/masks")
        assert f"masks/{masks.id} is gone" in run.fails("fit-surrogate", "answers", "--stable-top", 2)
        assert files_of(run) == before
