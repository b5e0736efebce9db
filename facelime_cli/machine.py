"""What a run used: versions and hardware, for the manifest. No host name, no path, no user."""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path
from typing import Any

from facelime_cli import __version__

PACKAGES = {
    "numpy": "numpy",
    "zarr": "zarr",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "PIL": "pillow",
    "keras": "keras",
    "tensorflow": "tensorflow",
    "jax": "jax",
    "torch": "torch",
    "onnxruntime": "onnxruntime",
    "openvino": "openvino",
    "matplotlib": "matplotlib",
}


def software() -> dict[str, str]:
    """Return the versions of Python, of facelime and of every package that this process has imported."""
    from importlib.metadata import PackageNotFoundError, version

    found = {"python": platform.python_version(), "facelime": __version__}
    for module, package in PACKAGES.items():
        if module in sys.modules:
            try:
                found[package] = version(package)
            except PackageNotFoundError:
                continue
    return found


def hardware() -> dict[str, Any]:
    """Return what the machine is: system, processor, cores that this process may use."""
    return {"system": platform.system(), "machine": platform.machine(), "processor": _processor(), "cores": cores()}


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _processor() -> str:
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8") as lines:
            return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    except OSError:
        return platform.processor()
