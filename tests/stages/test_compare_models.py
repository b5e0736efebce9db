"""Two models on the same pictures: differences and the exact test."""

import pytest

SIZE = 24


@pytest.fixture
def run(evaluated):
    return evaluated


class TestCompare:
    @pytest.mark.long
    def test_differences_and_the_exact_test(self, run):
        answer = run.json("compare-models", "weak", "weaker")
        first, second = (run.artifact("evaluate", name) for name in ("weak", "weaker"))
        right = [each.read("probabilities").argmax(axis=1) == each.read("labels") for each in (first, second)]
        pair = answer["pairs"][0]
        assert pair["differences"]["accuracy"]["difference"] == pytest.approx(right[1].mean() - right[0].mean())
        assert pair["mcnemar"]["only_first"] == (right[0] & ~right[1]).sum()
        assert pair["mcnemar"]["only_second"] == (~right[0] & right[1]).sum()
        low, high = pair["differences"]["accuracy"]["interval"]
        assert low <= pair["differences"]["accuracy"]["difference"] <= high
        assert "McNemar" in run("compare-models", "weak", "weaker").stdout

    def test_a_model_is_as_good_as_itself(self, run):
        pair = run.json("compare-models", "weak", "weak")["pairs"][0]
        assert all(each["difference"] == 0 and each["interval"] == [0, 0] for each in pair["differences"].values())
        assert pair["mcnemar"] == {"only_first": 0, "only_second": 0, "p": 1.0}

    def test_there_must_be_two(self, run):
        assert "two models" in run.fails("compare-models", "weak", code=2)

    @pytest.mark.long
    def test_on_the_same_pictures_only(self, run, faces):
        run.json("preprocess", faces, "--size", SIZE, "--name", "others")
        run.json("finetune", "others", "--backbone", "cnn-small", "--epochs", 1, "--name", "elsewhere")
        assert "--dataset" in run.fails("compare-models", "weak", "elsewhere")
        assert (
            run.json("compare-models", "weak", "elsewhere", "--dataset", "people")["n"]
            == run.artifact("evaluate", "weak").n
        )
