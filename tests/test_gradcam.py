"""Grad-CAM and occlusion against hand computations on small networks, and through the commands."""

import csv
import html
import json
import re
import shlex

import numpy as np
import pytest
from PIL import Image
from scipy.stats import spearmanr

from facelime_cli.core import cams
from facelime_cli.errors import NotFoundError
from facelime_cli.models import running
from facelime_cli.reporting.explanations import Explanations, labels_of

SIZE, FILTERS, HIDDEN = 12, 3, 4


def relu(values):
    return np.maximum(values, 0)


def softmax(values):
    each = np.exp(values - values.max(axis=-1, keepdims=True))
    return each / each.sum(axis=-1, keepdims=True)


@pytest.fixture(scope="module")
def small():
    """A network within a network, and its weights: convolution, means, a hidden layer, softmax."""
    from facelime_cli.models.backend import keras

    k, rng = keras(), np.random.default_rng(0)
    inner = k.Sequential(
        [
            k.Input((SIZE, SIZE, 3)),
            k.layers.Conv2D(FILTERS, 3, padding="same", activation="relu", name="maps"),
            k.layers.MaxPooling2D(2, name="pool"),
        ],
        name="inner",
    )
    inputs = k.Input((SIZE, SIZE, 3), name="display")
    x = k.layers.GlobalAveragePooling2D()(inner(k.layers.Rescaling(1 / 255, name="input_scaling")(inputs)))
    outputs = k.layers.Dense(2, activation="softmax")(k.layers.Dense(HIDDEN, activation="relu")(x))
    network = k.Model(inputs, outputs)
    network.set_weights([rng.normal(size=each.shape).astype(np.float32) for each in network.weights])
    return network


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(1).integers(0, 256, (3, SIZE, SIZE, 3), dtype=np.uint8)


def by_hand(network, image, c):
    """Return the convolution's maps and the gradient of the class's logit by them, in numpy alone."""
    kernel, bias, w1, b1, w2, _ = (np.asarray(each).astype(np.float64) for each in network.get_weights())
    padded = np.pad(image / 255.0, ((1, 1), (1, 1), (0, 0)))
    maps = relu(
        np.array(
            [[np.tensordot(padded[y : y + 3, x : x + 3], kernel, 3) + bias for x in range(SIZE)] for y in range(SIZE)]
        )
    )
    gradients = np.zeros_like(maps)
    half = SIZE // 2
    means = np.zeros(FILTERS)
    places = []
    for k in range(FILTERS):
        for y in range(half):
            for x in range(half):
                block = maps[2 * y : 2 * y + 2, 2 * x : 2 * x + 2, k]
                means[k] += block.max() / half**2
                places.append((2 * y + block.argmax() // 2, 2 * x + block.argmax() % 2, k))
    slope = ((means @ w1 + b1 > 0) * w2[:, c]) @ w1.T / half**2
    for y, x, k in places:
        gradients[y, x, k] = slope[k]
    return maps, gradients


class TestByHand:
    @pytest.mark.parametrize("c", [0, 1])
    def test_maps_and_gradients(self, small, images, c):
        from facelime_cli.models.gradients import last_maps, maps_and_gradients

        assert last_maps(small) == "inner/maps"
        maps, gradients = maps_and_gradients(small, "inner/maps", images, np.full(3, c))
        for image, a, g in zip(images, maps, gradients, strict=True):
            expected_maps, expected = by_hand(small, image, c)
            assert a == pytest.approx(expected_maps, abs=1e-5)
            assert g[expected_maps > 0] == pytest.approx(expected[expected_maps > 0], abs=1e-5)
            assert cams.gradcam(a, g) == pytest.approx(
                relu(sum(expected[..., k].mean() * expected_maps[..., k] for k in range(FILTERS))), abs=1e-4
            )

    def test_the_network_answers_as_before(self, small, images):
        from facelime_cli.models.gradients import maps_and_gradients

        before = running.forward(small)(images)
        maps_and_gradients(small, "maps", images, np.zeros(3, int))
        assert np.array_equal(running.forward(small)(images), before)
        assert before.sum(axis=1) == pytest.approx(1, abs=1e-6)

    def test_gradcam_of_a_network_that_is_linear_in_its_maps(self, images):
        """Before a mean, Grad-CAM is a class activation map divided by the number of cells.

        The class activation map is that of Zhou et al. (CVPR 2016).
        """
        from facelime_cli.models.backend import keras
        from facelime_cli.models.gradients import maps_and_gradients

        k = keras()
        network = k.Sequential(
            [
                k.Input((SIZE, SIZE, 3)),
                k.layers.Conv2D(5, 3),
                k.layers.ReLU(name="last"),
                k.layers.GlobalAveragePooling2D(),
                k.layers.Dense(3, activation="softmax"),
            ]
        )
        maps, gradients = maps_and_gradients(network, "last", images, np.array([2, 0, 1]))
        weights = network.get_weights()[-2]
        for a, g, c in zip(maps, gradients, (2, 0, 1), strict=True):
            assert cams.gradcam(a, g) == pytest.approx(relu(a @ weights[:, c]) / a[..., 0].size, abs=1e-5)

    def test_a_softmax_layer_is_a_softmax(self, images):
        from facelime_cli.models.backend import keras
        from facelime_cli.models.gradients import maps_and_gradients

        k = keras()

        def ending(*layers):
            return k.Sequential(
                [
                    k.Input((SIZE, SIZE, 3)),
                    k.layers.Conv2D(4, 3, activation="relu", name="last"),
                    k.layers.GlobalAveragePooling2D(),
                    *layers,
                ]
            )

        one, other = ending(k.layers.Dense(3, activation="softmax")), ending(k.layers.Dense(3), k.layers.Softmax())
        other.set_weights(one.get_weights())
        before = running.forward(other)(images)
        found = [maps_and_gradients(each, "last", images, np.array([2, 0, 1])) for each in (one, other)]
        assert np.abs(found[0][1]).max() > 1e-4
        assert np.array_equal(found[0][0], found[1][0])
        assert np.array_equal(found[0][1], found[1][1])
        assert np.array_equal(running.forward(other)(images), before)
        assert before == pytest.approx(running.forward(one)(images), abs=1e-6)

    def test_gradcam_plus_plus(self, rng):
        a, g = relu(rng.normal(size=(4, 5, 3))), rng.normal(size=(4, 5, 3))
        expected = np.zeros((4, 5))
        for k in range(3):
            total, weight = a[..., k].sum(), 0.0
            for value in g[..., k].ravel():
                weight += value**2 / (2 * value**2 + total * value**3) * max(value, 0)
            expected += weight * a[..., k]
        assert cams.gradcam_plus_plus(a, g) == pytest.approx(relu(expected), rel=1e-9)

    def test_eigencam_is_the_main_component(self, rng):
        place = relu(rng.normal(size=(4, 5)))
        maps = place[..., None] * np.array([1.0, 2.0, -0.5]) + 1e-6 * rng.normal(size=(4, 5, 3))
        found = cams.eigencam(maps, maps)
        assert found / found.max() == pytest.approx(place / place.max(), abs=1e-4)

    def test_a_network_without_convolution(self):
        from facelime_cli.models.backend import keras
        from facelime_cli.models.gradients import last_maps

        k = keras()
        network = k.Sequential(
            [k.Input((4, 4, 3)), k.layers.Conv2D(1, 1, name="luminance"), k.layers.Flatten(), k.layers.Dense(2)]
        )
        with pytest.raises(NotFoundError, match="no convolution"):
            last_maps(network)

    @pytest.mark.parametrize(
        ("application", "layer"),
        [
            ("MobileNetV2", "out_relu"),
            ("InceptionV3", "mixed10"),
            ("ResNet50", "conv5_block3_out"),
            ("DenseNet121", "relu"),
            ("Xception", "block14_sepconv2_act"),
        ],
    )
    def test_the_last_maps_of_known_networks(self, application, layer):
        from facelime_cli.models.backend import keras
        from facelime_cli.models.gradients import last_maps

        inner = getattr(keras().applications, application)(
            weights=None, include_top=False, input_shape=(128, 128, 3), pooling="avg"
        )
        outer = keras().Sequential([keras().Input((128, 128, 3)), inner, keras().layers.Dense(2, activation="softmax")])
        assert last_maps(outer) == f"{inner.name}/{layer}"


class TestCommands:
    def test_shares_are_those_of_the_map(self, chain):
        found, segments = chain["gradcam"], chain["segment"]
        maps, labels, counts = found.read("maps"), segments.read("segments"), segments.read("n_segments")
        for row in range(3):
            for c in range(2):
                grown = np.asarray(
                    Image.fromarray(maps[row, c]).resize((48, 48), Image.Resampling.BILINEAR), dtype=float
                )
                expected = np.array([grown[labels[row] == k].sum() for k in range(counts[row])])
                assert found.read("coefficients")[row, c, : counts[row]] == pytest.approx(
                    expected / max(expected.sum(), 1e-30), abs=1e-6
                )
        assert found.read("probabilities") == pytest.approx(chain["predict"].read("probabilities")[:, 0], abs=1e-5)

    def test_the_same_segments_whatever_it_is_given(self, chain):
        run = chain.facelime
        assert run.artifact("gradcam", chain["fit-surrogate"].id).id == chain["gradcam"].id
        alone = run.artifact("gradcam", "faces", "--model", "small", "--split", "test", "--first", 2)
        assert alone.n == 2

    def test_occlusion_is_what_the_model_says_without_a_segment(self, chain):
        from facelime_cli.models import running, wrapping

        masks, segments, found = chain["perturb"], chain["segment"], chain["occlusion"]
        net = wrapping.load(chain["finetune"].file("model.keras"))
        row, count = 1, int(segments.read("n_segments")[1])
        image, labels, fill = (
            chain["preprocess"].read("images", [int(segments.read("row")[row])])[0],
            segments.read("segments")[row],
            masks.read("fill")[row],
        )
        pictures = np.stack([image] + [np.where((labels == k)[..., None], fill, image) for k in range(count)])
        answers = running.forward(net)(pictures).astype(float)
        assert found.read("coefficients")[row, :, :count] == pytest.approx((answers[0] - answers[1:]).T, abs=1e-5)
        assert chain.facelime.artifact("occlusion", chain["fit-surrogate"].id).id == found.id
        assert (
            chain.facelime.artifact("occlusion", chain["segment"].id, "--model", "small", "--fill", "black").id
            != found.id
        )

    def test_three_voices_in_one_comparison(self, chain):
        report = chain.facelime.artifact(
            "compare",
            *(chain.reference(each) for each in ("fit-surrogate", "gradcam", "occlusion")),
            "--class",
            "rosacea",
        )
        assert report.facts["compared"] == ["LIME", "Grad-CAM", "Occlusion"]
        rows = list(csv.DictReader((report.path / "agreement.csv").open()))
        one, other = (
            chain[each].read("coefficients")[0, 1, : chain["segment"].read("n_segments")[0]]
            for each in ("fit-surrogate", "occlusion")
        )
        found = next(row for row in rows if (row["first"], row["second"]) == ("LIME", "Occlusion"))
        assert float(found["rank_correlation"]) == pytest.approx(spearmanr(one, other).statistic)

    @pytest.mark.parametrize("stage", ["gradcam", "occlusion", "contrast"])
    def test_the_same_report(self, chain, stage):
        page = (chain.facelime.artifact("render", chain[stage].id).path / "index.html").read_text(encoding="utf-8")
        assert page.count('class="picture"') == 3
        assert f"facelime {stage} " in page
        assert {
            "gradcam": "percent of the map",
            "occlusion": "switching this region off",
            "contrast": "rosacea rather than normal",
        }[stage] in page
        assert not re.search(r"\bnan\b", page)

    def test_the_commands_at_a_contrasts_foot_make_the_same_again(self, chain):
        page = (chain.facelime.artifact("render", chain["contrast"].id).path / "index.html").read_text(encoding="utf-8")
        commands = {
            words[1]: words[1:]
            for words in (
                shlex.split(html.unescape(line)) for line in page.splitlines() if line.startswith("facelime ")
            )
        }
        assert list(commands) == [
            "preprocess",
            "finetune",
            "segment",
            "perturb",
            "predict",
            "fit-surrogate",
            "contrast",
            "render",
        ]
        assert chain.facelime.json(*commands["contrast"])["artifact"] == chain["contrast"].id

    def test_what_masks_of_a_later_round_were_drawn_after_is_another_explanation(self, chain):
        run = chain.facelime
        masks = run.artifact("perturb", chain["segment"].id, "--samples", 120, "--after", chain["fit-surrogate"].id)
        later = run.artifact("occlusion", masks.id, "--model", "small")
        found = Explanations(later)
        assert (found.predictions, found.samples(0), found.fitted) == (None, None, False)
        assert found.answers == pytest.approx(later.read("probabilities"))
        assert [each.kind for each in found.origins] == ["datasets", "models", "segments", "masks", "surrogates"]
        assert "were not fitted" in run.fails("contrast", later.id, "--class", "0", "--versus", "1")

    def test_of_masks_occlusion_takes_the_fill_alone(self, chain):
        run = chain.facelime
        black = run.artifact("occlusion", chain["segment"].id, "--model", "small", "--fill", "black")
        blurred = run.artifact(
            "occlusion",
            run.artifact("perturb", chain["segment"].id, "--samples", 4, "--fill", "blur").id,
            "--model",
            "small",
        )
        assert labels_of([Explanations(black), Explanations(blurred)]) == ["fill black", "fill blur"]
        told = json.loads(run("show", f"surrogates/{black.id}", "--format", "json").stdout)
        assert {each["samples"] for picture in told["pictures"] for each in picture["explanations"]} == {None}

    def test_contrast_is_the_difference_of_two_classes(self, chain):
        """A ridge is linear in what it is fitted to."""
        both = chain["fit-surrogate"].read("coefficients")
        assert chain["contrast"].read("coefficients")[:, 0] == pytest.approx(
            both[:, 1] - both[:, 0], abs=1e-6, nan_ok=True
        )
        assert (
            chain.facelime.artifact("contrast", chain["fit-surrogate"].id, "--class", 1, "--versus", 0).id
            == chain["contrast"].id
        )
        other = chain.facelime.artifact(
            "contrast", chain["fit-surrogate"].id, "--class", "normal", "--versus", "rosacea"
        )
        assert other.read("coefficients") == pytest.approx(
            -chain["contrast"].read("coefficients"), abs=1e-6, nan_ok=True
        )
        full = chain["predict"].read("probabilities")[:, 0]
        assert chain["contrast"].read("probabilities")[:, 0] == pytest.approx(full[:, 1] - full[:, 0], abs=1e-6)

    def test_eigencam_is_told_as_what_it_is(self, chain):
        found = chain.facelime.artifact("gradcam", chain["segment"].id, "--model", "small", "--variant", "eigencam")
        page = (chain.facelime.artifact("render", found.id).path / "index.html").read_text(encoding="utf-8")
        assert "the same for every class, lies on this region" in page
        assert "holds for the class" not in page

    @pytest.mark.parametrize("stage", ["gradcam", "occlusion"])
    def test_a_model_that_does_not_fit_is_refused_before_anything_is_segmented(self, chain, faces, stage):
        run = chain.facelime
        other = run.artifact("preprocess", faces / "normal", "--size", 20)
        before = len(run.json("status")["artifacts"])
        assert "name it with --model" in run.fails(stage, other.id)
        said = run.fails(stage, other.id, "--model", "small")
        assert "--size 48" in said
        assert "--resize" not in said
        assert len(run.json("status")["artifacts"]) == before

    def test_what_is_wrong(self, chain):
        run = chain.facelime
        assert "name it with --model" in run.fails("gradcam", chain["segment"].id)
        assert "no layer 'nothing'" in run.fails(
            "gradcam", chain["segment"].id, "--model", "small", "--layer", "nothing"
        )
        assert "not maps of places" in run.fails(
            "gradcam", chain["segment"].id, "--model", "small", "--layer", "probabilities"
        )
        assert "leave it out" in run.fails("gradcam", chain["segment"].id, "--model", "small", "--first", 2, code=2)
        assert "has its own fill" in run.fails(
            "occlusion", chain["perturb"].id, "--model", "small", "--fill", "black", code=2
        )
        assert "the same class" in run.fails(
            "contrast", chain["fit-surrogate"].id, "--class", "0", "--versus", "normal", code=2
        )
        assert "were not fitted" in run.fails("contrast", chain["gradcam"].id, "--class", "0", "--versus", "1")
