"""What a file of PyTorch is: told from the names inside it, and nothing of it is loaded."""

import pickle
import zipfile

import pytest

from facelime_cli.errors import FacelimeError
from facelime_cli.importing.torch_archives import format_in

PROGRAM = ["net/models/model.json", "net/data/weights/weight_0", "net/archive_format"]
OLD_PROGRAM = ["serialized_exported_program.json", "serialized_state_dict.pt", "version"]
SCRIPT = ["net/data.pkl", "net/code/__torch__.py", "net/constants.pkl", "net/version"]
PICKLE = ["net/data.pkl", "net/data/0", "net/version"]
COMPILED = ["net/data/aotinductor/model/kernel.so", "net/archive_format"]


class Marking:
    """A pickle that writes a file when it is loaded."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def write(path, names):
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, b"x")
    return path


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".pt2"])
@pytest.mark.parametrize(
    ("names", "wanted"), [(PROGRAM, "torch-export"), (OLD_PROGRAM, "torch-export"), (SCRIPT, "torchscript")]
)
def test_the_content_tells_whatever_the_file_is_called(tmp_path, names, wanted, suffix):
    assert format_in(write(tmp_path / f"net{suffix}", names)) == wanted


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (PICKLE, "is a pickle of"),
        (COMPILED, "compiled for one machine"),
        (["a"], "is no network of PyTorch"),
    ],
)
def test_anything_else_is_refused_with_what_to_do(tmp_path, names, said):
    with pytest.raises(FacelimeError, match=said) as refused:
        format_in(write(tmp_path / "net.pt", names))
    assert "torch.export.save(torch.export.export(net, (pictures,)), 'net.pt2')" in str(refused.value)


def test_a_pickle_of_an_older_version_is_refused_and_never_loaded(tmp_path):
    marker = tmp_path / "was-here"
    (tmp_path / "old.pth").write_bytes(pickle.dumps(Marking(marker)))
    with pytest.raises(FacelimeError, match="is a pickle of"):
        format_in(tmp_path / "old.pth")
    assert not marker.exists()
    pickle.loads((tmp_path / "old.pth").read_bytes()).close()  # noqa: S301 - it would have been seen
    assert marker.exists()


def test_weights_alone_and_damaged_files_are_refused(tmp_path):
    (tmp_path / "net.safetensors").write_bytes(b"anything")
    with pytest.raises(FacelimeError, match="holds weights alone"):
        format_in(tmp_path / "net.safetensors")
    whole = write(tmp_path / "whole.pt2", PROGRAM).read_bytes()
    (tmp_path / "half.pt2").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(FacelimeError, match="or is damaged"):
        format_in(tmp_path / "half.pt2")


def test_what_torch_itself_saves(tmp_path):
    torch = pytest.importorskip("torch", reason="needs the extra `torch`")
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(48, 2))
    x = torch.zeros(2, 3, 4, 4)
    torch.save(net.state_dict(), tmp_path / "weights.pt")
    torch.save(net, tmp_path / "module.pth")
    torch.save(net.state_dict(), tmp_path / "older.pth", _use_new_zipfile_serialization=False)
    torch.export.save(torch.export.export(net, (x,)), tmp_path / "net.pt2")
    torch.jit.save(torch.jit.script(net), tmp_path / "net.pt")
    assert format_in(tmp_path / "net.pt2") == "torch-export"
    assert format_in(tmp_path / "net.pt") == "torchscript"
    for name in ("weights.pt", "module.pth", "older.pth"):
        with pytest.raises(FacelimeError, match="is a pickle of"):
            format_in(tmp_path / name)
