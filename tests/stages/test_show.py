"""`show`: what it refuses."""


def test_what_cannot_be_drawn_as_asked(chain, tmp_path):
    run, file, ids = chain.facelime, tmp_path / "a.png", ",".join(chain["segment"].texts("id"))
    for stage, words, said in (
        ("evaluate", ("--images", "face-001"), "drawn as a whole"),
        ("compare", ("--images", "face-001"), "drawn as a whole"),
        ("segment", ("--images", ids), "names 3 pictures"),
        ("segment", ("--classes", "rosacea"), "not drawn by class"),
        ("finetune", ("--classes", "rosacea"), "not drawn by class"),
        ("render", ("--classes", "rosacea,normal"), "names 2 classes"),
    ):
        assert said in run.fails("show", chain.reference(stage), *words, "--png", file, code=2)
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_shown(chain, tmp_path):
    run, reference = chain.facelime, chain.reference("segment")
    (tmp_path / "there.png").write_text("mine")
    assert "exists already" in run.fails("show", reference, "--png", tmp_path / "there.png")
    assert "no folder" in run.fails("show", reference, "--png", tmp_path / "none" / "a.png")
    assert "should end in .png" in run.fails("show", reference, "--png", tmp_path / "a.jpg", code=2)
    assert "no picture 'nobody'" in run.fails("show", reference, "--images", "nobody", "--png", tmp_path / "a.png")
    assert "one of them" in run.fails("show", reference, "--format", "csv", "--png", tmp_path / "a.png", code=2)
    assert "--format" in run.fails("show", reference, "--images", "nobody", code=2)
    assert "no explanations" in run.fails("show", reference, "--format", "json")
    assert "no class 'measles'" in run.fails(
        "show", chain.reference("render"), "--format", "json", "--classes", "measles"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["there.png"]
