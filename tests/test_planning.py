"""Planning computes nothing: `--missing` and `--dry-run` leave the store as it is."""

import hashlib

import numpy as np
import pytest

from facelime_cli.console import Console
from facelime_cli.engine import Context, find
from facelime_cli.store.references import Store
from tests import support
from tests.support import SHARDED, STAGES

NEW = {
    "finetune": ["faces", "--backbone", "cnn-small", "--epochs", 3],
    "segment": ["faces", "--method", "grid", "--segments", 9],
    "perturb": ["{segment}", "--samples", 33, "--seed", 5],
    "predict": ["{new masks}", "--model", "small"],
    "fit-surrogate": ["{predict}", "--kernel-width", 0.7],
    "render": ["{fit-surrogate}", "--top", 7],
    "gradcam": ["faces", "--model", "small", "--first", 2],
    "occlusion": ["faces", "--model", "small", "--first", 2],
    "contrast": ["surrogates/{fit-surrogate}", "--class", 0, "--versus", 1],
    "consensus": ["{fit-surrogate}", "{witness}", "--stable-top", 3],
    "check": ["surrogates/{fit-surrogate}", "--seed", 5],
    "import-maps": ["faces", "--model", "small", "--first", 2, "--maps", "{maps}"],
}
"""A run of each sharded command that has not been made; data sets where segments or masks would come first."""


def state_of(store):
    """Return what is in a store: when every folder and file was changed, and the size and digest of every file."""
    found = {}
    for path in (store, *sorted(store.rglob("*"))):
        content = path.read_bytes() if path.is_file() else b""
        digest = hashlib.sha256(content).hexdigest()
        found[path.relative_to(store).as_posix()] = (path.is_dir(), path.stat().st_mtime_ns, len(content), digest)
    return found


@pytest.fixture(scope="module")
def planned(chain, tmp_path_factory):
    """A copy of the chain that nothing but plans have touched."""
    return chain.copy(tmp_path_factory.mktemp("planned") / "store")


@pytest.fixture(scope="module")
def new_masks(planned, chain):
    """Masks that nothing was predicted on."""
    return planned.artifact("perturb", chain["segment"].id, "--samples", 40, "--seed", 9)


def words_of(chain, command, **more):
    known = {name: each.id for name, each in {**chain.artifacts, **more}.items()}
    known |= {"witness": support.joined(chain)[1], "maps": chain.maps}
    return [str(word).format(**known) for word in NEW[command]]


def test_every_sharded_command_is_here():
    assert set(NEW) == set(SHARDED)


@pytest.mark.parametrize("command", NEW)
def test_missing_leaves_the_store_as_it_is(planned, chain, new_masks, command):
    store = planned.store
    before = state_of(store)
    answer = planned.json(command, *words_of(chain, command, **{"new masks": new_masks}), "--missing", 3)
    assert answer["missing"]
    assert state_of(store) == before


@pytest.mark.parametrize("command", SHARDED)
def test_missing_leaves_what_is_complete_as_it_is(planned, chain, faces, command):
    before = state_of(planned.store)
    answer = planned.json(*support.words_of(command, chain, faces), "--missing", 3)
    assert answer["missing"] == []
    assert state_of(planned.store) == before


@pytest.mark.parametrize("more", [[], ["--batch-size", "auto"], ["--shard", "1/2"]], ids=["plain", "auto", "shard"])
def test_a_dry_run_leaves_the_store_as_it_is(planned, new_masks, more):
    """The automatic batch size is measured and kept beside the model by a run, but not by a plan."""
    store = planned.store
    before = state_of(store)
    # As many masks again as the chain has predictions of, so that there is something left to evaluate.
    answer = planned.json("predict", new_masks.id, "--model", "small", *more, "--dry-run")
    assert answer["evaluations"] > 0
    assert answer["evaluations_per_second"] > 0
    assert state_of(store) == before


@pytest.mark.parametrize("more", [["--batch-size", 8], ["--batch-size", "auto"], ["--batch-size", 8, "--shard", "1/2"]])
def test_a_dry_run_of_a_check_leaves_the_store_as_it_is(planned, chain, more):
    """With the batch size of the chain everything that is asked would be known from its own check."""
    before = state_of(planned.store)
    answer = planned.json("check", *words_of(chain, "check"), *more, "--dry-run")
    assert answer["evaluations"] > 0
    assert state_of(planned.store) == before


@pytest.mark.parametrize("runtime", ["onnx", "openvino"])
def test_a_dry_run_keeps_no_converted_model(planned, new_masks, runtime):
    pytest.importorskip({"onnx": "onnxruntime"}.get(runtime, runtime))
    before = state_of(planned.store)
    answer = planned.json("predict", new_masks.id, "--model", "small", "--runtime", runtime, "--dry-run")
    assert answer["evaluations"] > 0
    assert state_of(planned.store) == before


def test_the_tests_above_can_fail(chain, tmp_path):
    copy = chain.copy(tmp_path / "changed")
    before = state_of(copy.store)
    copy.json("segment", *words_of(chain, "segment"))
    assert state_of(copy.store) != before


def test_nothing_is_planned_where_nothing_is(facelime):
    facelime.fails("segment", "faces", "--missing", 2)
    assert not facelime.store.exists()


def test_a_shard_does_not_make_what_all_shards_need(planned, chain):
    store = planned.store
    before = state_of(store)
    said = planned.fails("gradcam", *words_of(chain, "gradcam"), "--shard", "1/2")
    assert "facelime segment" in said
    assert state_of(store) == before


def test_a_plan_of_preprocess_begins_no_store(facelime, tmp_path):
    """The secret that patients are hashed with is drawn, but only a run keeps it."""
    support.write_scan(tmp_path / "scans" / "a.dcm", np.arange(64, dtype=np.uint16).reshape(8, 8))
    stage, store = STAGES["preprocess"], Store(facelime.store)
    console = Console(quiet=True, as_json=False)
    params = stage.params(source=[tmp_path / "scans"], size="16")
    assert find(stage, params, Context(store, console)).artifact is None
    assert not facelime.store.exists()
    made = facelime.artifact("preprocess", tmp_path / "scans", "--size", 16)
    found = find(stage, params, Context(Store(facelime.store), console)).artifact
    assert found.id == made.id
