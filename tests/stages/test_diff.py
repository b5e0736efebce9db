"""Diff: the cause is named wherever it lies, and results are compared picture by picture."""

from facelime_cli.reporting import differences
from facelime_cli.store.references import Store
from tests.store.making import complete, made_from
from tests.support import Facelime


def test_the_cause_is_found_among_the_inputs(chain):
    """The consensus' second view has other masks: another fill and fewer samples."""
    first, second = (each["id"] for name, each in chain["consensus"].inputs.items() if name.startswith("surrogates"))
    told = chain.facelime.json("diff", f"surrogates/{first}", f"surrogates/{second}")
    assert {(each["stage"], each["name"]): (each["first"], each["second"]) for each in told["parameters"]}[
        ("perturb", "samples")
    ] == (90, 60)
    assert [each["name"] for each in told["inputs"]] == ["predictions", "masks"]
    assert told["same_content"] is False
    arrays = {each["array"]: each for each in told["arrays"]}
    assert arrays["id"]["same"]
    assert arrays["coefficients"]["differing"] == arrays["coefficients"]["pictures"] == 3
    assert arrays["coefficients"]["largest"] > 0
    shown = chain.facelime("diff", first, second).stdout
    assert "3 of 3 pictures differ, by up to" in shown
    assert "samples" in shown


def test_an_artifact_is_the_same_as_itself(chain):
    for stage in ("finetune", "segment", "evaluate", "render"):
        told = chain.facelime.json("diff", chain.reference(stage), chain.reference(stage))
        for name in ("parameters", "inputs", "versions", "facts", "cost"):
            assert told[name] == [], (stage, name)
        assert told["same_content"]
        assert all(each["same"] for each in told["arrays"])


def test_other_sizes_and_what_is_gone(tmp_path):
    store = Store(tmp_path / "store")
    parts = complete(store, "parts", kind="segments")
    long = complete(store, "long", 1, inputs=made_from(parts))
    short = complete(store, "short", 2, n=40)
    store.remove(parts)
    told = Facelime(store.root).json("diff", long.id, short.id)
    assert told["inputs"] == [{"of": "predictions", "name": "segments", "first": parts.reference, "second": None}]
    assert told["parameters"] == [{"stage": "predict", "name": "seed", "first": 1, "second": 2}]
    values = next(each for each in told["arrays"] if each["array"] == "values")
    assert (values["pictures"], values["differing"], values["largest"]) == (40, 0, 0.0)


def test_values_inside_of_tables_are_compared_one_by_one():
    found = differences.of_values({"a": {"b": {"c": 1}, "d": []}, "e": 0.5}, {"a": {"b": {"c": 2}, "d": []}, "e": 0.5})
    assert found == [{"name": "a.b.c", "first": 1, "second": 2}]
