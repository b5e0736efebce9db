"""Verify: every file and array of a store against its digest."""


def test_verify_everything(chain):
    answer = chain.facelime.json("verify")
    assert answer["faults"] == []
    assert answer["verified"] >= 7


def test_verify_notices_a_changed_file(chain, tmp_path):
    run, model = chain.copy(tmp_path / "store"), chain["finetune"].id
    (run.store / "models" / model / "history.csv").write_text("epoch\n")
    assert "history.csv differs" in run("verify", model).stderr
