"""Verify: every file and array of a store against its digest."""


def test_verify_everything(chain):
    answer = chain.facelime.json("verify")
    assert answer["faults"] == []
    assert answer["verified"] >= 7


def test_verify_notices_a_changed_file(facelime, faces):
    data = facelime.artifact("preprocess", faces, "--size", 24)
    model = facelime.artifact("finetune", data.id, "--backbone", "cnn-small", "--epochs", 1)
    (model.path / "history.csv").write_text("epoch\n")
    assert "history.csv differs" in facelime("verify", model.id).stderr
