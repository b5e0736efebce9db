"""Verify: every file and array of a store against its digest."""

import json

from tests.support import words_of


def test_verify_everything(chain):
    answer = chain.facelime.json("verify")
    assert answer["faults"] == []
    assert answer["verified"] >= 7


def test_verify_notices_a_changed_file(chain, tmp_path):
    run, model = chain.copy(tmp_path / "store"), chain["finetune"].id
    (run.store / "models" / model / "history.csv").write_text("epoch\n")
    assert "history.csv differs" in run("verify", model).stderr


def test_the_command_of_an_artifact_that_lost_its_manifest_says_how_it_is_mended(chain, faces, tmp_path):
    run = chain.copy(tmp_path / "store")
    words, reference = words_of("segment", chain, faces), chain.reference("segment")
    manifest = run.store / reference / "manifest.json"
    before = json.loads(manifest.read_text())["content"]
    manifest.unlink()
    assert f"facelime repair {reference}" in run.fails(*words)
    run.json("repair", reference)
    assert run.artifact(*words).content == before
