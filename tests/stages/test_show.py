"""`show`: what it tells of explanations, and what it refuses."""

import json

from facelime_cli.reporting.explanations import Explanations


def test_what_cannot_be_drawn_as_asked(chain, tmp_path):
    run, file, ids = chain.facelime, tmp_path / "a.png", ",".join(chain["segment"].texts("id"))
    for stage, words, said in (
        ("evaluate", ("--images", "face-001"), "drawn as a whole"),
        ("compare", ("--images", "face-001"), "drawn as a whole"),
        ("segment", ("--images", ids), "choose 3 pictures"),
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


def test_json_tells_every_picture_of_explanations(judged, chain):
    run = judged.facelime
    told = run.json("show", judged.check.reference)
    explanations = Explanations.of(judged.check)
    expected = [(row, c) for row in range(3) for c in explanations.shown(row, None)]
    assert [(each["id"], each["class"]) for each in told["pictures"]] == [
        (explanations.ids[row], explanations.names[c]) for row, c in expected
    ]
    assert told["pictures"] == [explanations.ranked_json(row, c) for row, c in expected]
    plain = run.json("show", chain.reference("gradcam"))["pictures"][0]
    assert plain["effect"] is None
    assert plain["regions"][0]["interval"] is None
    assert plain["regions"][0]["votes"] is None
    # Of other kinds it is their number.
    assert run.json("show", chain.reference("segment"))["pictures"] == 3


def test_a_check_is_shown_in_every_form(judged):
    run = judged.facelime
    told = run("show", judged.check.reference, "--format", "text").stdout
    assert "log-odds" in told
    assert "of 4" in told
    first = json.loads(run("show", judged.check.reference, "--format", "json").stdout)["pictures"][0]["explanations"][0]
    assert first["verdict"] == Explanations.of(judged.check).verdict(0, Explanations.of(judged.check).shown(0, None)[0])
    assert first["effect"] is not None
    table = run("show", judged.check.reference, "--format", "csv").stdout
    assert table == run("show", judged.consensus.reference, "--format", "csv").stdout
