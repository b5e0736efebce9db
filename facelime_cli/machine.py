"""What a run used: versions and hardware, for the manifest. No host name, no path, no user."""

from __future__ import annotations

import os
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
"""Packages that can change a result: the module's name, and the name that it is installed under."""


def software() -> dict[str, str]:
    """Return the versions of Python, of facelime and of every package that this process has imported."""
    import platform
    from importlib.metadata import PackageNotFoundError, version

    found = {"python": platform.python_version(), "facelime": __version__}
    for module, package in PACKAGES.items():
        # A package that was not imported had no part in the result, and importing it takes seconds.
        if module in sys.modules:
            try:
                found[package] = version(package)
            except PackageNotFoundError:
                continue
    return found


def hardware() -> dict[str, Any]:
    """Return what the machine is: system, processor, cores that this process may use."""
    import platform

    return {"system": platform.system(), "machine": platform.machine(), "processor": _processor(), "cores": cores()}


def cores() -> int:
    """Return the number of cores that this process may use."""
    # A cluster gives a job some of a machine's cores; only Linux tells which.
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def free_memory() -> int:
    """Return the bytes of memory that are free; where the system does not tell, more than any machine has."""
    try:
        with Path("/proc/meminfo").open(encoding="utf-8") as lines:
            found = next((line for line in lines if line.startswith("MemAvailable:")), "")
        return int(found.split()[1]) * 1024
    except (OSError, IndexError, ValueError):
        return sys.maxsize


def _processor() -> str:
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8") as lines:
            named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
            return next(named, "")
    except OSError:
        import platform

        return platform.processor()
