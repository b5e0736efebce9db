"""Make an environment for each peer on first use, in a cache folder.

No package of a peer meets ours or another peer's.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

KERAS = ("tensorflow", "keras", "numpy", "scikit-learn")
CONSTRAINTS = Path(__file__).parent.parent / "constraints.txt"


@dataclass(frozen=True)
class Peer:
    """A contender's packages.

    `pinned` uses our own versions where the peer allows them. `alone` are installed without their dependencies.
    """

    packages: tuple[str, ...]
    pinned: bool = True
    alone: tuple[str, ...] = ()


PEERS = {
    "lime": Peer(("lime==0.2.0.1", *KERAS)),
    "lime_without_model": Peer(("lime==0.2.0.1", *KERAS)),
    "notebook": Peer(("lime==0.2.0.1", *KERAS)),
    "captum_lime": Peer(("captum", "torch", "torchvision", "scikit-learn"), pinned=False),
    "captum_kernel_shap": Peer(("captum", "torch", "torchvision", "scikit-learn"), pinned=False),
    "torch_bare": Peer(("captum", "torch", "torchvision", "scikit-learn"), pinned=False),
    # It asks for TensorFlow with CUDA, some 5 GB, on every Linux machine: here it gets what it needs to run.
    "xplique": Peer(
        (
            "tensorflow==2.20.0",
            "tensorflow-probability[tf]<=0.25",
            "einops",
            "deprecated",
            "matplotlib",
            "opencv-python-headless",
            "scikit-image<=0.25.2",
            "scikit-learn",
        ),
        pinned=False,
        alone=("xplique==2.0.2",),
    ),
    "shap": Peer(("shap", *KERAS)),
}


@dataclass
class Environments:
    """Interpreters by contender: ours, one that the command line names, or one that is made here.

    `failed` holds what could not be installed, and why.
    """

    folder: Path
    named: dict[str, str]
    failed: dict[str, str] = field(default_factory=dict)

    def interpreter(self, contender: str) -> str | None:
        """Return the interpreter for a contender, or None when its packages cannot be installed."""
        if contender not in PEERS:
            return sys.executable
        if contender in self.named:
            return self.named[contender]
        if contender in self.failed:
            return None
        try:
            return self._made(PEERS[contender])
        except subprocess.CalledProcessError as why:
            said = (why.stderr or why.stdout or "").strip().splitlines()
            self.failed[contender] = next(
                (line for line in reversed(said) if line.startswith("ERROR")),
                said[-1] if said else f"exit code {why.returncode}",
            )
            return None

    def _made(self, peer: Peer) -> str:
        """Return the interpreter of a peer's environment; it is made whole or not at all."""
        place = self.folder / hashlib.sha256(repr(peer).encode()).hexdigest()[:16]
        python = place / "bin" / "python"
        if not (place / ".whole").exists():
            shutil.rmtree(place, ignore_errors=True)
            print(f"making an environment with {', '.join(peer.packages)} in {place}", file=sys.stderr, flush=True)
            subprocess.run([sys.executable, "-m", "venv", place], check=True, capture_output=True, text=True)
            constraint = ["--constraint", str(CONSTRAINTS)] if peer.pinned else []
            for packages in (peer.packages, ("--no-deps", *peer.alone) if peer.alone else ()):
                if packages:
                    subprocess.run(
                        [
                            python,
                            "-m",
                            "pip",
                            "install",
                            "--quiet",
                            "--disable-pip-version-check",
                            *constraint,
                            *packages,
                        ],
                        check=True,
                        capture_output=True,
                        text=True,
                    )
            (place / ".whole").touch()
        return str(python)


def cache_folder() -> Path:
    """Return where environments are kept between runs."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "facelime-bench"
