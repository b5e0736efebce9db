"""Shards of every stage: a job that only lays out, units of another size, shards that have nothing to do."""

import os
import shutil
import subprocess

import pytest

from facelime_cli.store import temporary
from facelime_cli.store.references import Store
from tests.scene import Case
from tests.support import SHARDED, words_of
from tests.test_planning import words_of as new_words

QUICK = {"segment", "perturb"}
EVERY = [stage if stage in QUICK else pytest.param(stage, marks=pytest.mark.long) for stage in SHARDED]
IN_PICTURES = [each for each, stage in zip(EVERY, SHARDED, strict=True) if stage != "finetune"]


@pytest.fixture(scope="module")
def begun(chain, tmp_path_factory):
    """A copy of the chain in which these tests begin artifacts, with masks that nothing was predicted on."""
    run = chain.copy(tmp_path_factory.mktemp("begun") / "store")
    return run, run.artifact("perturb", chain["segment"].id, "--samples", 40, "--seed", 9)


@pytest.mark.parametrize("stage", EVERY)
def test_laying_out_begins_the_artifact_and_does_no_unit(begun, chain, stage):
    run, masks = begun
    words = [stage, *new_words(chain, stage, **{"new masks": masks})]
    first = run.json(*words, "--lay-out")
    artifact = Store(run.store).stored(first["kind"], first["artifact"])
    assert (first["complete"], first["units_done"], artifact.n_done) == (False, 0, 0)
    assert run(*words, "--lay-out").stdout == f"{artifact.id}\n"
    assert run.json(*words, "--missing", 2)["missing"] == ([2] if artifact.n_units == 1 else [1, 2])
    assert not any((artifact.path / "claims").iterdir())


def test_every_option_beside_lay_out_would_mean_nothing(chain):
    words = ["predict", chain["perturb"].id, "--model", "small", "--lay-out"]
    for more in (["--shard", "1/2"], ["--missing", 2], ["--dry-run"]):
        assert more[0] in chain.facelime.fails(*words, *more, code=2)


def test_shards_do_what_was_laid_out(begun, chain):
    run, _ = begun
    words = ["perturb", chain["segment"].id, "--samples", 77]
    laid_out = run.json(*words, "--lay-out", "--unit", 1, "--name", "laid-out")
    assert laid_out["units"] == 3
    assert [run.json(*words, "--shard", f"{i}/2")["complete"] for i in (1, 2)] == [False, True]
    assert run.json("show", "masks/laid-out")["artifact"] == laid_out["artifact"]


@pytest.mark.parametrize("stage", IN_PICTURES)
def test_units_of_another_size_make_the_same_artifact(chain, faces, tmp_path, stage):
    run, words = chain.copy(tmp_path / "store"), words_of(stage, chain, faces)
    made = Store(run.store).stored(chain[stage].kind, chain[stage].id)
    assert made.n_units == 1
    shutil.rmtree(made.path)
    again = run.artifact(*words, "--unit", 1)
    assert (again.id, again.n_units) == (made.id, 3)
    assert again.content == chain[stage].content


def test_a_unit_of_another_size_comes_too_late(begun, chain):
    run, _ = begun
    words = ["perturb", chain["segment"].id, "--samples", 78, "--lay-out"]
    assert run.json(*words, "--unit", 2)["units"] == 2
    again = run(*words, "--unit", 1)
    assert "--unit 1 changes nothing" in again.stderr
    assert "units of 2 pictures" in again.stderr
    assert "--unit" not in run(*words, "--unit", 2).stderr


def test_folds_have_no_units_of_pictures(chain, faces):
    assert "No such option" in chain.facelime(*words_of("finetune", chain, faces), "--unit", 2).stderr


def test_shards_that_have_nothing_to_do_are_counted(begun, chain):
    run, _ = begun
    words = ["perturb", chain["segment"].id, "--samples", 79, "--unit", 1]
    told = run(*words, "--shard", "1/64")
    assert "61 of 64 shards have nothing to do, since there are 3 units of up to 1 pictures; shard 1" in told.stderr
    missing = run(*words, "--missing", 64)
    assert "61 of 64 shards have nothing to do" in missing.stderr
    assert missing.stdout == "22,43,64\n"
    answer = run.json(*words, "--missing", 64)
    assert answer["missing"] == [22, 43, 64]
    assert (answer["shards"], answer["idle"], answer["units"], answer["units_done"]) == (64, 61, 3, 0)


def debris(store):
    """Return what shards have left: temporary files, claims, records, second artifacts."""
    found = [path for path in store.rglob("*") if temporary.is_temporary(path.name)]
    return found + [path for name in ("claims", "units", "begun") for path in store.glob(f"*/*/{name}/*")]


def test_shards_that_start_at_once_on_nothing_make_one_artifact(many, command):
    words = [*command, "perturb", "parts", "--samples", "12", "--fill", "mean", "--unit", "8", "--quiet"]
    environment = {**os.environ, "FACELIME_STORE": str(many.store)}
    shards = [
        subprocess.Popen([*words, "--shard", f"{i}/3"], env=environment, stdout=subprocess.PIPE, text=True)
        for i in (1, 2, 3)
    ]
    printed = {each.communicate()[0] for each in shards}
    assert [each.returncode for each in shards] == [0, 0, 0]
    assert len(printed) == 1
    artifact = Store(many.store).resolve(f"masks/{printed.pop().strip()}")
    assert (artifact.complete, artifact.n_units) == (True, 5)
    assert [path for path in debris(many.store) if artifact.path in path.parents] == []


RACES = {
    "segment": "segment data --method grid --segments 9 --name raced --workers 1",
    "perturb": "perturb segments --samples 14 --fill mean --name raced --workers 1",
    "fit-surrogate": "fit-surrogate answers --name raced --workers 1",
}


@pytest.mark.long
@pytest.mark.parametrize("stage", RACES)
def test_eight_shards_at_once_on_nothing_fifty_times(scene, stage):
    """Fifty times for all stages together: whoever is first in the race for the layout differs from time to time."""
    straight = scene.copy("straight", Case("", 0))
    scene.must(RACES[stage], straight)
    expected = Store(straight / "store").resolve("raced")
    for _ in range(-(-50 // len(RACES))):
        place = scene.copy("raced", Case("", 0))
        words = [*scene.words(RACES[stage], place), "--unit", "4"]
        told = scene.forks.race([[*words, "--shard", f"{i}/8"] for i in range(1, 9)], place / "store")
        assert [each["code"] for each in told] == [0] * 8, told
        made = [each for each in Store(place / "store").artifacts((expected.kind,)) if "raced" in each.names]
        assert [each.content for each in made] == [expected.content]
        assert debris(place / "store") == []
