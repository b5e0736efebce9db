"""Done means sealed: between the last record and the manifest there is work left, and everything says so."""

import pytest

from facelime_cli.store.manifests import MANIFEST
from facelime_cli.store.references import Store
from facelime_cli.store.verifying import reopen
from tests.scene import CASES, Case
from tests.support import SHARDED, STAGES, words_of, write_maps

SHARDED_KINDS = {stage: STAGES[stage].writes for stage in SHARDED}
NEXT = {
    "finetune": ["evaluate"],
    "segment": ["perturb"],
    "perturb": ["predict", "--model", "small"],
    "predict": ["fit-surrogate"],
    "fit-surrogate": ["render"],
    "gradcam": ["render"],
    "occlusion": ["render"],
    "contrast": ["render"],
    "consensus": ["check"],
    "import-maps": ["check"],
    "check": ["render"],
    "render": ["export", "--to", "x.csv"],
}
"""A command that reads what each sharded stage makes, without the reference that comes behind its name."""


QUICK = {"finetune", "segment", "perturb", "predict", "fit-surrogate"}
EVERY = [stage if stage in QUICK else pytest.param(stage, marks=pytest.mark.long) for stage in SHARDED]


@pytest.fixture(scope="module")
def opened(chain, tmp_path_factory):
    """A copy of the chain whose manifests these tests take away, and the function that does it."""
    run = chain.copy(tmp_path_factory.mktemp("opened") / "store")

    def unsealed(stage):
        artifact = Store(run.store).stored(chain[stage].kind, chain[stage].id)
        reopen(artifact, frozenset())
        assert not artifact.complete
        return artifact

    return run, unsealed


def test_every_sharded_stage_has_a_reader_here():
    assert set(NEXT) == set(SHARDED)


@pytest.mark.parametrize("stage", EVERY)
def test_what_is_done_and_not_sealed_is_work_that_is_left(opened, chain, faces, stage):
    run, unsealed = opened
    artifact = unsealed(stage)
    words = words_of(stage, chain, faces)
    told = run.json(*words, "--missing", 4)
    assert (told["missing"], told["complete"]) == ([4], False)
    states = {each["artifact"]: each["state"] for each in run.json("status")["artifacts"]}
    assert states[artifact.id].endswith("done, not sealed")
    reader, *more = NEXT[stage]
    assert f"`facelime seal {artifact.reference}`" in run.fails(reader, artifact.reference, *more)
    # The shard that --missing names does it.
    again = run.json(*words, "--shard", "4/4")
    assert (again["complete"], again["reused"]) == (True, False)
    assert Store(run.store).stored(artifact.kind, artifact.id).content == chain[stage].content
    assert run.json(*words, "--missing", 4)["missing"] == []


@pytest.mark.parametrize("stage", EVERY)
def test_seal_completes_what_is_done(opened, chain, stage):
    run, unsealed = opened
    artifact = unsealed(stage)
    told = run.json("seal", artifact.reference)
    assert (told["complete"], told["reused"], told["artifact"]) == (True, False, artifact.id)
    sealed = Store(run.store).stored(artifact.kind, artifact.id)
    assert (sealed.content, sealed.facts) == (chain[stage].content, chain[stage].facts)
    assert run("seal", artifact.reference).stdout == f"{artifact.id}\n"


def test_a_stage_that_reads_files_and_says_nothing_of_them_seals_itself(opened, chain):
    """The files of `preprocess` are known by a digest alone; whoever repeats the command names them."""
    run, unsealed = opened
    manifest = Store(run.store).stored("datasets", chain["preprocess"].id).path / MANIFEST
    kept = manifest.read_bytes()
    artifact = unsealed("preprocess")
    said = run.fails("seal", artifact.reference)
    assert "reads source from outside the store; repeat the `preprocess` command" in said
    manifest.write_bytes(kept)


def test_seal_names_what_is_missing(many):
    many.json("perturb", "parts", "--samples", 10, "--seed", 31, "--name", "half-sealed")
    words = ["predict", "half-sealed", "--model", "small", "--unit", 8]
    begun = many.json(*words, "--shard", "2/3")
    assert begun["units_done"] == 2
    for command in ("seal", "fit-surrogate"):
        said = many.fails(command, f"predictions/{begun['artifact']}")
        assert "units 0, 3 to 4 are missing, of shards 1, 3 of 3" in said
    assert many(*words, "--missing", 3).stdout == "1,3\n"


def test_a_damaged_record_of_another_shard_is_found_when_sealing(many):
    many.json("perturb", "parts", "--samples", 10, "--seed", 32, "--name", "damaged-record")
    words = ["predict", "damaged-record", "--model", "small"]
    begun = many.json(*words, "--shard", "1/2")
    record = Store(many.store).stored("predictions", begun["artifact"]).path / "units" / "00000.json"
    record.write_text("{")
    second = many(*words, "--shard", "2/2")
    assert second.exit_code == 0
    assert "unit 0 is missing, of shard 1 of 2" in second.stderr
    assert many(*words, "--missing", 2).stdout == "1\n"
    assert many.json(*words, "--shard", "1/2")["complete"]


GAPS = {
    **{stage: CASES[stage].words for stage in SHARDED if stage in CASES},
    "gradcam": "gradcam few --model net --name killed",
    "occlusion": "occlusion meant --model net --name killed",
    "contrast": "contrast first --class rosacea --versus normal --name killed",
    "import-maps": "import-maps few --model net --maps {maps} --name killed",
}
"""A run of each sharded stage in the scene's store, from nothing."""


@pytest.mark.long
@pytest.mark.parametrize("stage", SHARDED)
def test_a_kill_between_the_last_record_and_sealing(scene, stage, tmp_path):
    """Nothing of the work is lost, and all who ask are told what is left: `--missing`, a repeated shard, `seal`."""
    maps = write_maps(scene.folder / "faces", tmp_path / "maps") if stage == "import-maps" else ""
    words = GAPS[stage].replace("{maps}", str(maps))
    straight = scene.copy("straight", Case("", 0))
    scene.must(words, straight)
    kind = SHARDED_KINDS[stage]
    expected = Store(straight / "store").resolve(f"{kind}/killed")
    for how in ("seal", "shard"):
        place = scene.copy("killed", Case("", 0))
        assert scene.run(words, place, kill_in="facelime_cli.engine:_seal")["code"] == -9
        left = Store(place / "store").resolve(f"{kind}/killed")
        assert (left.complete, left.n_done) == (False, expected.n_units)
        assert scene.must(f"{words} --missing 4", place)["out"] == "4\n"
        units = {path.name for path in (left.path / "units").iterdir()}
        scene.must(f"seal {kind}/killed" if how == "seal" else f"{words} --shard 4/4", place)
        assert len(units) == expected.n_units
        if stage != "finetune":  # no training is reproducible to the bit
            assert Store(place / "store").resolve(f"{kind}/killed").content == expected.content
        assert scene.must(f"{words} --missing 4", place)["out"] == "\n"
        assert scene.run("verify", place)["code"] == 0
        assert scene.must("clean", place)["out"].startswith("nothing")
