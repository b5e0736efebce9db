"""Modules of PyTorch networks: names, maps and gradients, against hand computations and against Keras."""

import numpy as np
import pytest

from facelime_cli.answering.torch_layers import TorchLayers
from facelime_cli.core import cams
from facelime_cli.errors import FacelimeError, NotFoundError

torch = pytest.importorskip("torch")
nn = torch.nn

from tests.torch_networks import (  # noqa: E402 - it imports torch
    SIZE,
    Fused,
    Mean,
    OfTorch,
    Residual,
    Swapped,
    Transformer,
    Windows,
    twin,
    twin_of_keras,
)


def looked_into(own, size=SIZE, n_classes=2, kinds=None):
    """Return a network that reads pictures of 0 to 1, channels first."""
    own = own.eval()

    def scores(display):
        return own(display.permute(0, 3, 1, 2) / 255)

    # What these networks answer is used as it is.
    return TorchLayers(
        "it", own, scores, scores, n_classes, (size, size), torch.device("cpu"), kinds=kinds or {}, values=True
    )


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(1).integers(0, 256, (3, SIZE, SIZE, 3), dtype=np.uint8)


class TestNames:
    def test_every_module_that_answers_in_the_order_of_the_answers(self):
        net = looked_into(Residual())
        found = {each.name: each for each in net.layers()}
        assert next(iter(found)) == "stem"
        assert found["layer1.1"].shape == (14, 14, 4)
        assert (found["layer1.1"].kind, found["layer1.1"].has_maps) == ("Block", True)
        assert (found["fc"].shape, found["fc"].has_maps) == ((2,), False)
        assert found["layer1.1.relu"].dropped is None

    def test_a_path_by_its_end_where_that_is_enough(self):
        net = looked_into(Residual())
        assert net.layer("1.conv2").name == "layer1.1.conv2"
        with pytest.raises(NotFoundError, match="several layers 'conv2'"):
            net.layer("conv2")
        with pytest.raises(NotFoundError, match=r"no layer 'onv2'; the last with maps are .*layer1, and"):
            net.layer("onv2")


def sequence(*parts):
    return nn.Sequential(nn.Conv2d(3, 4, 3), *parts, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))


class FunctionalActivation(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)

    def forward(self, x):
        return torch.relu(self.norm(self.conv(x)))


class TestTheDefault:
    def test_behind_the_union_of_branches_not_an_activation_that_is_used_twice(self):
        assert looked_into(Residual()).last_maps() == "layer1.1"

    def test_the_activation_in_front_of_pooling(self):
        inner = nn.Sequential(nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.Dropout(), nn.MaxPool2d(2))
        assert looked_into(sequence(inner)).last_maps() == "1.1"

    def test_a_block_whose_activation_is_a_function(self):
        own = nn.Sequential(FunctionalActivation(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
        assert looked_into(own).last_maps() == "0"

    def test_gates_of_one_place_are_none(self):
        class Gated(nn.Module):
            def __init__(self):
                super().__init__()
                self.pool, self.squeeze = nn.AdaptiveAvgPool2d(1), nn.Conv2d(4, 4, 1)

            def forward(self, x):
                return x * torch.sigmoid(self.squeeze(self.pool(x)))

        assert looked_into(sequence(nn.ReLU(), Gated())).last_maps() == "2"

    @pytest.mark.parametrize(("in_front", "expected"), [(0, "norm"), (1, "blocks.1.norm1"), (5, "blocks.1.norm1")])
    def test_the_last_tokens_that_a_score_depends_on(self, in_front, expected):
        net = looked_into(Transformer(in_front))
        assert net.last_maps() == expected
        assert net.layer(expected).shape == (4, 4, 8)
        assert net.layer(expected).dropped == in_front

    def test_a_network_without_maps(self):
        with pytest.raises(NotFoundError, match="no maps of places"):
            looked_into(nn.Sequential(nn.Flatten(), nn.Linear(3 * SIZE**2, 2))).last_maps()


class TestMaps:
    def test_what_a_module_answers(self, images):
        own = Residual()
        net = looked_into(own)
        own.double().float()
        x = torch.from_numpy(images.astype(np.float32)).permute(0, 3, 1, 2) / 255
        expected = own.layer1(torch.relu(own.stem(x))).detach().permute(0, 2, 3, 1).numpy()
        ((name, found),) = net.activations(images, ["layer1"])
        assert name == "layer1"
        assert found == pytest.approx(expected, abs=1e-6)

    def test_of_a_module_that_is_written_over_in_place(self, images):
        net = looked_into(sequence(nn.BatchNorm2d(4), nn.ReLU(inplace=True)))
        ((_, found),) = net.activations(images, ["1"])
        assert found.min() < 0

    def test_tokens_lie_row_by_row(self, images):
        own = Transformer(in_front=1)
        ((_, found),) = looked_into(own).activations(images, ["blocks.0"])
        assert found.shape == (3, 4, 4, 8)
        x = torch.from_numpy(images.astype(np.float32)).permute(0, 3, 1, 2) / 255
        tokens = own.patches(x).flatten(2).transpose(1, 2)
        tokens = own.blocks[0](torch.cat([own.front.expand(3, -1, -1), tokens], 1) + own.where)
        assert found[:, 2, 3] == pytest.approx(tokens[:, 1 + 2 * 4 + 3].detach().numpy(), abs=1e-5)

    def test_of_a_network_that_takes_two_pictures_a_call(self, images):
        own = Residual()
        free, fixed = looked_into(own), looked_into(own)
        fixed.batch = 2
        taken = []

        def scores(display):
            spare = 2 - len(display)
            taken.append(len(display))
            return free.scores(torch.cat([display, display[-1:].expand(spare, -1, -1, -1)]))[: len(display)]

        fixed.scores = scores
        for one, other in zip(
            fixed.maps_and_gradients("layer1", images, np.array([0, 1, 1])),
            free.maps_and_gradients("layer1", images, np.array([0, 1, 1])),
            strict=True,
        ):
            assert one == pytest.approx(other, abs=1e-6)
        assert taken[-2:] == [2, 1]
        ((_, maps),) = fixed.activations(images, ["layer1"])
        assert len(maps) == 3


class TestGradients:
    def test_by_differences(self, images):
        """A change of one place of the maps changes the score by the gradient times the change."""
        own = Residual().double()
        net = looked_into(own)
        net.scores = lambda display: own(display.double().permute(0, 3, 1, 2) / 255)
        classes = np.array([0, 1, 1])
        maps, gradients = net.maps_and_gradients("layer1.0", images, classes)
        step, at = 1e-4, (2, 5, 7, 1)

        def score(change):
            moved = maps.astype(np.float64)
            moved[at] += change
            x = own.layer1[1](torch.from_numpy(moved).permute(0, 3, 1, 2))
            return own.fc(own.pool(x).flatten(1))[2, 1].item()

        assert gradients[at] == pytest.approx((score(step) - score(-step)) / (2 * step), rel=1e-4)

    @pytest.mark.parametrize(
        "ending",
        [
            nn.Softmax(1),
            nn.Sigmoid(),
            nn.LogSoftmax(1),
            torch.sigmoid,
            lambda x: torch.softmax(x, 1, dtype=torch.float64).float().clone(),
        ],
    )
    def test_the_score_is_what_goes_into_the_final_softmax_or_sigmoid(self, images, ending):
        one = Residual()
        other = Residual(ending)
        other.load_state_dict(one.state_dict())
        before = looked_into(other).answers(images)
        raw, found = (
            looked_into(each).maps_and_gradients("layer1", images, np.array([1, 0, 1]))[1] for each in (one, other)
        )
        assert np.abs(raw).max() > 0
        assert found == pytest.approx(raw, abs=1e-7)
        assert np.array_equal(looked_into(other).answers(images), before)

    def test_one_unit_speaks_for_the_second_class_and_against_the_first(self, images):
        own = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 1))
        _, found = looked_into(own).maps_and_gradients("1", images, np.array([0, 1, 1]))
        weights = own[-1].weight.detach().numpy()[0] / 14**2
        assert found[1, 0, 0] == pytest.approx(weights, abs=1e-7)
        assert found[0] == pytest.approx(-found[1], abs=1e-7)
        _, of_a_value = looked_into(own, n_classes=1).maps_and_gradients("1", images, np.array([0, 0, 0]))
        assert of_a_value[0] == pytest.approx(found[1], abs=1e-7)

    def test_a_module_that_leads_nowhere(self, images):
        class Beside(nn.Module):
            def __init__(self):
                super().__init__()
                self.aside, self.main = nn.Conv2d(3, 4, 3), sequence(nn.ReLU())

            def forward(self, x):
                self.aside(x)
                return self.main(x)

        with pytest.raises(FacelimeError, match="--layer aside does not lead to the scores"):
            looked_into(Beside()).maps_and_gradients("aside", images, np.array([0, 1, 1]))

    def test_the_network_is_left_as_it_was(self, images):
        net = looked_into(Residual())
        before = net.answers(images)
        net.maps_and_gradients("layer1", images, np.zeros(3, int))
        list(net.activations(images, ["stem"]))
        assert np.array_equal(net.answers(images), before)
        assert not any(module._forward_hooks for module in net.own.modules())


@pytest.fixture(scope="module")
def twins():
    return twin_of_keras(), looked_into(twin())


class TestAsKeras:
    def test_the_same_default(self, twins):
        from facelime_cli.models.gradients import last_maps

        of_keras, of_torch = twins
        assert (last_maps(of_keras), of_torch.last_maps()) == ("last", "5")

    @pytest.mark.parametrize(("of_keras", "of_torch"), [("first", "0"), ("second", "4"), ("last", "5")])
    def test_the_same_maps_gradients_and_cams(self, twins, images, of_keras, of_torch):
        from facelime_cli.choices import ATTRIBUTIONS, MAPS
        from facelime_cli.models.gradients import maps_and_gradients

        classes = np.array([0, 1, 1])
        expected = maps_and_gradients(twins[0], of_keras, images, classes)
        found = twins[1].maps_and_gradients(of_torch, images, classes)
        for one, other in zip(expected, found, strict=True):
            assert np.abs(one).max() > 1e-4
            assert other == pytest.approx(one, abs=1e-4)
        for variant in (each for each in ATTRIBUTIONS.values() if each.of == MAPS):
            for one, other in zip(zip(*expected, strict=True), zip(*found, strict=True), strict=True):
                assert variant.load()(*other) == pytest.approx(variant.load()(*one), abs=1e-4)

    def test_the_same_answers(self, twins, images):
        from facelime_cli.models import running

        assert twins[1].answers(images) == pytest.approx(running.forward(twins[0])(images), abs=1e-5)


def test_gradcam_of_tokens_by_hand(images):
    """Where the mean of the tokens is read, Grad-CAM is the head's weights on the tokens."""
    own = Transformer(in_front=0)
    maps, gradients = looked_into(own).maps_and_gradients("norm", images, np.array([1, 1, 1]))
    weights = own.head.weight.detach().numpy()[1] / 16
    assert cams.gradcam(maps[0], gradients[0]) == pytest.approx(np.maximum(maps[0] @ weights, 0), abs=1e-6)


class TestRollout:
    def by_hand(self, own, images):
        """Return the rollout of two layers from the class token, (B, 4, 4)."""
        own.eval()
        x = torch.from_numpy(images.astype(np.float32)).permute(0, 3, 1, 2) / 255
        tokens = own.patches(x).flatten(2).transpose(1, 2)
        tokens = torch.cat([own.front.expand(len(x), -1, -1), tokens], 1) + own.where
        flow = np.eye(tokens.shape[1])
        for block in own.blocks:
            q, k, _ = block.attn.qkv(block.norm1(tokens)).reshape(len(x), -1, 3, 2, 4).permute(2, 0, 3, 1, 4)
            weights = (q @ k.transpose(-1, -2) / 2).softmax(-1).mean(1).detach().numpy()
            flow = (weights + np.eye(tokens.shape[1])) / 2 @ flow
            tokens = block(tokens)
        return flow

    @pytest.mark.parametrize("form", [None, OfTorch, Fused])
    def test_by_hand(self, images, form):
        own = Transformer()
        flow = self.by_hand(own, images)
        if form is not None:
            for block in own.blocks:
                block.attn = form(block.attn)
        net = looked_into(own)
        attended = net.attended()
        assert (attended.n_layers, attended.places.dropped, attended.by_class_token) == (2, 1, True)
        for one, attention in zip(flow, net.attention(images), strict=True):
            assert cams.rollout(attention, 1, by_class_token=True) == pytest.approx(one[0, 1:], abs=1e-6)

    def test_where_the_mean_of_the_tokens_speaks(self, images):
        own = Transformer(in_front=0)
        net = looked_into(own)
        assert not net.attended().by_class_token
        expected = self.by_hand(own, images)[0].mean(0)
        assert cams.rollout(net.attention(images)[0], 0, by_class_token=False) == pytest.approx(expected, abs=1e-6)

    def test_of_an_exported_program(self, images):
        own = Transformer().eval()
        program = torch.export.export(own, (torch.zeros(3, 3, SIZE, SIZE),))
        net = looked_into(own)
        expected = net.attention(images)
        net.own = torch.export.unflatten(program)
        net.scores = lambda display: net.own(display.permute(0, 3, 1, 2) / 255)
        net.batch = 3
        assert net.attention(images) == pytest.approx(expected, abs=1e-6)

    def test_the_network_answers_as_before_and_pytorchs_fast_path_is_put_back(self, images):
        own = nn.Sequential(
            nn.Conv2d(3, 8, 4, 4), nn.Flatten(2), Swapped(), nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        )
        own.append(Mean()).append(nn.Linear(8, 2))
        net = looked_into(own)
        before = net.answers(images)
        assert net.attention(images).shape == (3, 1, 16, 16)
        assert net.answers(images) == pytest.approx(before, abs=1e-6)
        assert torch.backends.mha.get_fastpath_enabled()

    @pytest.mark.parametrize("own", [Residual, Windows])
    def test_what_has_no_attention_that_joins(self, images, own):
        with pytest.raises(FacelimeError, match="no layers of attention among the same tokens"):
            looked_into(own()).attention(images)
