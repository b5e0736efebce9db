"""OpenVINO compiles for the size of batch that will be asked, before it is asked."""

import numpy as np
import pytest

from facelime_cli.answering.openvino_networks import Network

openvino = pytest.importorskip("openvino")


def network(path, shape):
    """Return a network that answers the mean of each channel."""
    from openvino import opset13

    given = opset13.parameter(shape, np.float32)
    openvino.save_model(openvino.Model([opset13.reduce_mean(given, [2, 3])], [given]), path, compress_to_fp16=False)
    return Network(path, "float32")


def test_it_is_compiled_once_for_the_batch_that_comes(tmp_path):
    net = network(tmp_path / "net.xml", [-1, 3, 4, 5])
    net.make_ready(2)
    (ready,) = net._compiled.values()
    pictures = np.arange(120, dtype=np.float32).reshape(2, 3, 4, 5)
    assert net(pictures) == pytest.approx(pictures.mean(axis=(2, 3)))
    assert list(net._compiled.values()) == [ready]
    assert net(pictures[:1]) == pytest.approx(pictures[:1].mean(axis=(2, 3)))
    assert list(net._compiled) == [(1, 3, 4, 5)]


def test_one_of_any_picture_size_waits_for_a_batch(tmp_path):
    net = network(tmp_path / "net.xml", [-1, 3, -1, -1])
    net.make_ready(2)
    assert net._compiled == {}
    assert net(np.ones((2, 3, 4, 4), np.float32)).shape == (2, 3)


@pytest.mark.long
@pytest.mark.parametrize(("words", "batches"), [((), [32]), (("--batch-size", 7), [7]), (("--batch-size", "auto"), [])])
def test_explain_lets_it_compile_while_it_segments(chain, monkeypatch, words, batches):
    run, found = chain.facelime, []
    monkeypatch.setattr(Network, "make_ready", lambda _, batch: found.append(batch))
    samples = 20 + len(words) + sum(batches)
    more = ("--runtime", "openvino", "--segments", 5, "--views", "single", "--no-check", "--seed", samples)
    result = run("explain", "faces", "--model", "small", "--first", 1, "--samples", samples, *more, *words)
    assert result.exit_code == 0, result.stderr
    assert found == batches
