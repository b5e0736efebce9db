"""A Keras network's graph is kept beside the model: the same bits without Keras, and nobody else's graph."""

import shutil

import numpy as np
import pytest

from facelime_cli.answering import kept_graphs, keras_networks, runtimes
from facelime_cli.core.masks import pack
from facelime_cli.models import backend, building, features, graphs, running, wrapping
from facelime_cli.models.graphs import Graph
from facelime_cli.store import digests
from facelime_cli.store.references import Store
from tests.support import SIZE, Facelime, breaking, write_faces

HOW = runtimes.How("keras", "float32")
CLASSES = ("--classes", "normal,rosacea")
SOME = 24
"""Sides of pictures in pixels."""


@pytest.fixture(autouse=True)
def _with_tensorflow():
    if backend.name() != backend.TENSORFLOW:
        pytest.skip("graphs are TensorFlow's")
    if backend.on_accelerator():
        pytest.skip("on a graphics card weights stay variables")


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A store of this user's with a small network, masks, and no predictions."""
    run = Facelime(tmp_path / "store")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    run.json("preprocess", write_faces(tmp_path / "faces", 2, SIZE), "--size", SIZE, "--name", "two")
    run.json("segment", "two", "--method", "slic", "--segments", 6, "--name", "parts")
    network(5).save(tmp_path / "net.keras")
    run.json("import-model", tmp_path / "net.keras", "--scaling", "0..1", *CLASSES, "--name", "net")
    return run


def network(seed):
    keras = backend.keras()
    keras.utils.set_random_seed(seed)
    inputs = keras.Input((SIZE, SIZE, 3))
    x = keras.layers.BatchNormalization()(keras.layers.Conv2D(4, 3, activation="relu")(inputs))
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, keras.layers.Dense(2, activation="softmax")(x))


def answers(run, samples, *more, model="net"):
    masks = run.artifact("perturb", "parts", "--samples", samples)
    return run.artifact("predict", masks.id, "--model", model, *more)


def model_of(run, name="net"):
    return Store(run.store).resolve(name, ("models",))


def kept_in(run, name="net"):
    return sorted(path.parent for path in model_of(run, name).path.glob(f"kept/*/{kept_graphs.FILE}"))


def of_a_batch(sides, n=8, k=11):
    """Return what a compiled call reads."""
    rng = np.random.default_rng(3)
    pictures = rng.integers(0, 256, (2, 2, sides[0] * sides[1], 3), dtype=np.uint8)
    segments = rng.integers(0, k, (2, sides[0] * sides[1])).astype(np.int32)
    return pack(rng.random((n, k)) < 0.5, 16), rng.integers(0, 2, n).astype(np.int32), pictures, segments


def same_bits(net, graph):
    """Compare a network and its graph, composed and not, in two sizes of batch."""
    for n in (8, 3):
        arrays = of_a_batch(graph.sides, n)
        assert np.array_equal(running.compiled(graph)(*arrays), running.compiled(net)(*arrays))
        values = np.random.default_rng(n).random((n, *graph.sides, 3), np.float32) * 255
        found = running.forward(graph)(values)
        assert np.array_equal(found, running.forward(net)(values))
        assert np.ptp(found, axis=0).max() > 0  # an answer that says something


@pytest.mark.parametrize(
    ("precision", "size"),
    [
        ("float32", SOME),
        pytest.param("float32", (SOME, 31), marks=pytest.mark.long),
        pytest.param("bfloat16", SOME, marks=pytest.mark.long),
        pytest.param("bfloat16", (SOME, 31), marks=pytest.mark.long),
    ],
)
def test_a_graph_answers_as_its_network_to_the_bit(precision, size):
    net = building.build(building.Architecture("cnn-small", SOME, 2)).whole
    net = wrapping.in_precision(net, precision)
    net = net if size == SOME else wrapping.resized(net, size)
    graph = graphs.of(net)
    same_bits(net, graphs.read(graph.written(), graph.sides))


@pytest.mark.long
@pytest.mark.parametrize("backbone", ["mobilenetv2", "inceptionv3", "densenet121"])
def test_so_does_that_of_a_known_network(backbone):
    built = building.build(building.Architecture(backbone, 96, 2, freeze="all"))
    net = built.whole
    # With random weights features differ by little, around any value: the head has to tell them apart.
    features_of = np.asarray(built.bare(np.random.default_rng(0).random((8, 96, 96, 3), np.float32) * 255))
    kernel = net.layers[-1].get_weights()[0] / (features_of.std(axis=0).mean() + 1e-30)
    net.layers[-1].set_weights([kernel, -features_of.mean(axis=0) @ kernel])
    graph = graphs.of(net)
    same_bits(net, graphs.read(graph.written(), graph.sides))


def test_the_second_command_builds_no_network_and_answers_the_same(own, monkeypatch):
    first = answers(own, 40)
    (folder,) = kept_in(own)
    shutil.rmtree(own.store / "predictions")

    def never(*_, **__):
        raise AssertionError("built again")

    monkeypatch.setattr(keras_networks, "network_in", never)
    again = answers(own, 40)
    assert again.content == first.content
    assert again.manifest["units"][0]["facts"]["made_with"] == first.manifest["units"][0]["facts"]["made_with"]
    assert answers(own, 41).complete
    assert kept_in(own) == [folder]
    assert own.json("verify", "net")["faults"] == []
    # The test can fail: without the graph a network is built.
    shutil.rmtree(folder)
    with pytest.raises(AssertionError, match="built again"):
        answers(own, 42)


@pytest.mark.long
def test_a_precision_has_a_graph_of_its_own(own):
    answers(own, 20)
    answers(own, 20, "--precision", "bfloat16", "--tolerance", 1)
    assert len(kept_in(own)) == 2


@pytest.mark.long
def test_bits_are_the_same_with_and_without_it_through_shards_and_kills(many, tmp_path, monkeypatch):
    many.json("perturb", "parts", "--samples", 21, "--seed", 8, "--name", "for-graphs")
    words = ("predict", "for-graphs", "--model", "small", "--batch-size", 16)
    runs = []
    for name in ("whole", "shards", "killed"):
        shutil.copytree(many.store, tmp_path / name, ignore=shutil.ignore_patterns("kept", "predictions"))
        runs.append(Facelime(tmp_path / name))
    whole, shards, killed = runs
    with monkeypatch.context() as patch:
        patch.setattr(kept_graphs, "kept", lambda *_: None)
        patch.setattr(graphs, "of", lambda *_: None)  # the network itself, as Keras calls it
        wanted = whole.artifact(*words)
        assert kept_in(whole, "small") == []
        shards.json(*words, "--shard", "2/2")
        stopped = RuntimeError("the machine stops")
        with breaking(patch, 3, stopped):
            assert killed(*words).exit_code != 0
    # What the network has begun the graph ends; the second time it is the one that was kept.
    assert shards.artifact(*words, "--shard", "1/2").content == wanted.content
    ended = killed.artifact(*words)
    assert ended.content == wanted.content
    assert ended.manifest["units"][0]["facts"]["resumed_at"] > 0
    (folder,) = kept_in(killed, "small")
    shutil.rmtree(killed.store / "predictions")
    assert killed.artifact(*words).content == wanted.content
    assert kept_in(killed, "small") == [folder]


# Nobody else's graph


def other_graph(run, tmp_path):
    """Return a graph of other weights for the same pictures."""
    network(6).save(tmp_path / "other.keras")
    run.json("import-model", tmp_path / "other.keras", "--scaling", "0..1", *CLASSES, "--name", "other")
    answers(run, 9, model="other")
    (folder,) = kept_in(run, "other")
    return folder / kept_graphs.FILE


def swapped(path, content):
    """Put something in a graph's place, as whoever can write the one can write its digest too."""
    path.write_bytes(content)
    digests.seal(path.parent)


@pytest.mark.long
def test_another_graph_in_its_place_is_not_used(own, tmp_path):
    wanted = answers(own, 30)
    (folder,) = kept_in(own)
    path = folder / kept_graphs.FILE
    mine, other = path.read_bytes(), other_graph(own, tmp_path).read_bytes()
    assert other != mine
    for content in (other, mine[:-100], b"", b"no graph"):
        swapped(path, content)
        shutil.rmtree(own.store / "predictions")
        assert kept_graphs.kept(model_of(own), HOW) is None
        assert answers(own, 30).content == wanted.content
        assert path.read_bytes() == mine  # made again


@pytest.mark.long
def test_nor_is_one_that_was_kept_for_another_precision(own):
    answers(own, 30)
    (folder,) = kept_in(own)
    answers(own, 30, "--precision", "bfloat16", "--tolerance", 1)
    (sixteen,) = set(kept_in(own)) - {folder}
    shutil.rmtree(folder)
    sixteen.rename(folder)
    assert kept_graphs.kept(model_of(own), HOW) is None


def test_nor_is_one_of_another_user(own, tmp_path, monkeypatch):
    answers(own, 30)
    assert isinstance(kept_graphs.kept(model_of(own), HOW), Graph)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "another"))
    assert kept_graphs.kept(model_of(own), HOW) is None


def test_nor_is_one_whose_model_has_another_file_now(own, tmp_path):
    answers(own, 30)
    network(6).save(tmp_path / "other.keras")
    shutil.copy(tmp_path / "other.keras", model_of(own).path / "model.keras")
    assert kept_graphs.kept(model_of(own), HOW) is None


@pytest.mark.long
@pytest.mark.parametrize("package", ["keras", "tensorflow"])
def test_nor_is_one_of_another_version(own, monkeypatch, package):
    answers(own, 30)
    version = kept_graphs.version
    monkeypatch.setattr(kept_graphs, "version", lambda name: "0.1" if name == package else version(name))
    assert kept_graphs.kept(model_of(own), HOW) is None


@pytest.mark.long
def test_what_is_no_file_in_its_place_is_passed_over(own, tmp_path):
    wanted = answers(own, 30)
    (folder,) = kept_in(own)
    path = folder / kept_graphs.FILE
    path.rename(tmp_path / "elsewhere")
    path.mkdir()
    shutil.rmtree(own.store / "predictions")
    assert answers(own, 30).content == wanted.content


# Where none is kept


@pytest.mark.long
def test_a_network_that_carries_code_is_built_each_time(own, tmp_path):
    keras = backend.keras()
    inputs = keras.Input((SIZE, SIZE, 3))
    x = keras.layers.Lambda(lambda values: values / 2)(inputs)
    x = keras.layers.Dense(2, activation="softmax")(keras.layers.GlobalAveragePooling2D()(x))
    keras.Model(inputs, x).save(tmp_path / "code.keras")
    words = ("--scaling", "0..1", *CLASSES, "--name", "code", "--trust")
    own.json("import-model", tmp_path / "code.keras", *words)
    assert answers(own, 20, model="code").complete
    assert kept_in(own, "code") == []


@pytest.mark.long
def test_a_network_whose_weights_stay_variables_is_built_each_time(own, monkeypatch):
    monkeypatch.setattr(graphs, "MOST_WEIGHTS", 1)
    assert answers(own, 20).complete
    assert kept_in(own) == []


def test_a_store_that_cannot_be_written_works_without(own):
    wanted = answers(own, 30)
    place = model_of(own).path / "kept"
    shutil.rmtree(place)
    place.write_text("no folder can be made here")
    shutil.rmtree(own.store / "predictions")
    assert answers(own, 30).content == wanted.content
    assert place.read_text() == "no folder can be made here"


@pytest.mark.long
def test_a_plan_keeps_none(own):
    masks = own.artifact("perturb", "parts", "--samples", 20)
    assert own("predict", masks.id, "--model", "net", "--dry-run").exit_code == 0
    assert kept_in(own) == []


def test_a_graph_answers_with_features_too(rng):
    net = building.build(building.Architecture("cnn-small", SOME, 2)).whole
    layers = features.network_of(net, "models/net")
    graph = graphs.of(net, layers)
    same_bits(net, graphs.read(graph.written(), graph.sides))
    pictures = rng.integers(0, 256, (3, SOME, SOME, 3)).astype(np.float32)
    found = running.forward(graph.of_features)(pictures)
    assert found == pytest.approx(running.answers_of(layers, pictures), abs=1e-4)
    assert graphs.of(net).of_features is None
