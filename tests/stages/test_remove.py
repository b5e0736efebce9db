"""Remove: it asks first, and keeps what others need."""


def test_remove_asks_and_keeps_what_others_need(facelime, faces):
    data = facelime.artifact("preprocess", faces / "normal", "--size", 24)
    segments = facelime.artifact("segment", data.id, "--method", "slic", "--first", 1)
    assert segments.id in facelime.fails("remove", data.id, "--yes")
    assert "kept" in facelime.fails("remove", segments.id, stdin="y\n")
    assert facelime.json("remove", segments.id, "--yes")["removed"] == segments.id
    assert not segments.path.exists()
    assert facelime.json("remove", data.id, "--yes")["removed"] == data.id
