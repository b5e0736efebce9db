"""Status: how far every artifact of a store is."""


def test_status_tells_how_far(chain):
    shown = chain.facelime.json("status")["artifacts"]
    assert {each["kind"] for each in shown} >= {
        "datasets",
        "models",
        "segments",
        "masks",
        "predictions",
        "surrogates",
        "reports",
    }
    one = next(each for each in shown if each["artifact"] == chain["predict"].id)
    assert (one["complete"], one["state"]) == (True, "complete")
    assert one["bytes"] > 1000
    assert chain["predict"].id in chain.facelime("status").stdout


def test_status_of_an_empty_store(facelime):
    assert "nothing in" in facelime("status").stdout
    assert facelime.json("status")["artifacts"] == []
