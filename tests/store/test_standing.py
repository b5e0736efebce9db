"""How artifacts stand: complete, unfinished or broken, and none hides another."""

from facelime_cli.store.artifacts import standing
from facelime_cli.store.verifying import faults


def test_a_complete_artifact(chain):
    state = standing(chain["predict"])
    assert (state["complete"], state["state"], state["stage"]) == (True, "complete", "predict")
    assert state["bytes"] == chain["predict"].n_bytes > 1000
    assert faults(chain["predict"]) == []


def test_a_broken_manifest_is_a_state_and_a_fault(facelime, faces):
    data = facelime.artifact("preprocess", faces / "normal", "--size", 16)
    (data.path / "manifest.json").write_text("{}")
    (broken,) = facelime.json("status")["artifacts"]
    assert broken["complete"] is False
    assert broken["state"].startswith("damaged: ")
    answer = facelime("verify", data.id, "--json")
    assert answer.exit_code == 1
    assert data.id in answer.stdout
