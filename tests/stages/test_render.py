"""`render`: what it reads and what it refuses."""

import pytest
from PIL import Image

from facelime_cli.core.faces import draw


@pytest.mark.parametrize(("option", "value"), [("--figures", "gif"), ("--style", "lime")])
def test_what_is_no_figure(chain, option, value):
    assert "--figures" in chain.facelime.fails("render", chain["fit-surrogate"].id, option, value, code=2)


def test_who_says_nothing_at_all_is_refused(chain):
    before = len(chain.facelime.json("status")["artifacts"])
    said = chain.facelime.fails("render", chain["fit-surrogate"].id, "--beside", chain["contrast"].id)
    assert f"surrogates/{chain['contrast'].id} explains none" in said
    assert len(chain.facelime.json("status")["artifacts"]) == before


def test_the_same_twice_and_other_pictures_are_refused(chain, tmp_path):
    first = chain["fit-surrogate"]
    assert "name each explanation once" in chain.facelime.fails("render", first.id, "--beside", first.id, code=2)
    for number in range(6):
        Image.fromarray(draw(number, number, 48, flushed=number % 2 == 0).image).save(tmp_path / f"{number}.png")
    run = chain.facelime
    segments = run.artifact("segment", run.artifact("preprocess", tmp_path, "--size", 48).id, "--method", "grid")
    strange = run.artifact("occlusion", segments.id, "--model", "small")
    assert "another dataset" in chain.facelime.fails("render", first.id, "--beside", strange.id)


def test_a_check_stands_for_what_it_checked(judged):
    run = judged.facelime
    report = run.artifact("render", "-", stdin=f"{judged.check.reference}\n")
    assert report.inputs["surrogates"]["id"] == judged.check.id
    assert report.texts("id") == judged.consensus.texts("id")
    beside = run.artifact("render", judged.check.reference, "--beside", judged.views[0].reference)
    assert beside.inputs["beside_0"]["id"] == judged.views[0].id
    said = run.fails("render", judged.check.reference, "--beside", judged.consensus.reference, code=2)
    assert "name each explanation once" in said


def test_stand_ins_are_left_out_only_when_asked(judged):
    run = judged.facelime
    usual = run.artifact("render", judged.check.reference)
    without = run.artifact("render", judged.check.reference, "--no-stand-ins")
    assert "no_stand_ins" not in usual.parameters
    assert without.parameters["no_stand_ins"] is True
    assert without.id != usual.id
    assert f"facelime render checks/{judged.check.id} --top 10 --no-stand-ins" in (
        without.path / "index.html"
    ).read_text(encoding="utf-8")
    drawn = [len(list((report.path / "stand-ins").iterdir())) for report in (usual, without)]
    assert drawn == [3 * 5, 3 * 3]
    verified = run.json("verify", without.reference)
    assert verified
