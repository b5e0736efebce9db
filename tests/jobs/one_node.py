"""A real Slurm of one node for tests: on loopback, without systemd, cgroups and accounting, in one folder."""

import getpass
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scancel", "scontrol")
"""Debian has them in munge, slurmctld, slurmd and slurm-client."""
PATIENCE = 60
CONF = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
AuthType=auth/munge
AuthInfo=socket={place}/munge.sock
CredType=cred/munge
StateSaveLocation={place}/ctld
SlurmdSpoolDir={place}/d
SlurmctldPidFile={place}/slurmctld.pid
SlurmdPidFile={place}/slurmd.pid
SlurmctldLogFile={place}/slurmctld.log
SlurmdLogFile={place}/slurmd.log
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
SchedulerParameters=batch_sched_delay=0,sched_interval=2,bf_interval=2,sched_min_interval=100000
ReturnToService=2
MinJobAge=86400
KillWait=30
JobRequeue=1
MailProg=/bin/true
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory=2000 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def absent() -> list[str]:
    """Return the programs of Slurm that this machine does not have."""
    return [each for each in PROGRAMS if shutil.which(each) is None]


@contextmanager
def running(more: str = ""):
    """Start a Slurm in a folder of its own, or skip the test where there is none. Yields the folder and `slurm`'s."""
    if missing := absent():
        pytest.skip(f"no {', '.join(missing)} here: install slurmctld, slurmd, slurm-client and munge of Debian")
    # pytest's own folders have paths that are too long for a socket.
    with tempfile.TemporaryDirectory(prefix="slurm-") as place, slurm(Path(place) / "node", more=more) as environment:
        yield Path(place), environment


@contextmanager
def slurm(place: Path, cpus: int = 2, more: str = ""):
    """Start a Slurm in a folder with a short path, and end it. Yields the environment in which its commands work.

    `more` are further lines of its configuration.
    """
    for each in ("ctld", "d"):
        (place / each).mkdir(parents=True)
    # The sockets and keys of munge demand that nobody else may write on the way to them.
    place.chmod(0o755)
    host, user = socket.gethostname().partition(".")[0], getpass.getuser()
    conf = place / "slurm.conf"
    conf.write_text(CONF.format(host=host, user=user, place=place, cpus=cpus, ports=_free_ports()) + more)
    key = place / "munge.key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o400)
    path = f"{_bin(place, conf)}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "SLURM_CONF": str(conf), "PATH": path}
    files = {"key-file": key, "socket": place / "munge.sock", "pid-file": place / "munged.pid"}
    files |= {"log-file": place / "munged.log", "seed-file": place / "munge.seed"}
    try:
        for words in (
            ["munged", "--force", *(f"--{name}={path}" for name, path in files.items())],
            ["slurmctld"],
            ["slurmd", "-N", host],
        ):
            subprocess.run(words, env=environment, check=True, capture_output=True)
        _wait_for_node(host, environment)
        yield environment
    finally:
        _stop(place, environment)


def _bin(place: Path, conf: Path) -> Path:
    """Return a folder with a `srun` that knows the configuration, where what calls it has cleared the environment.

    On a cluster the configuration stands where every program looks.
    """
    folder = place / "bin"
    folder.mkdir()
    srun = folder / "srun"
    srun.write_text(f'#!/bin/sh\nSLURM_CONF="{conf}" exec {shutil.which("srun")} "$@"\n')
    srun.chmod(0o755)
    return folder


def _free_ports() -> list[int]:
    with socket.socket() as one, socket.socket() as other:
        for each in (one, other):
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in (one, other)]


def _wait_for_node(host: str, environment: dict[str, str]) -> None:
    # Slurm says idle before the node has registered; a first job would wait for that.
    until = time.monotonic() + PATIENCE
    said = ""
    while time.monotonic() < until:
        words = ["scontrol", "show", "node", host]
        said = subprocess.run(words, env=environment, capture_output=True, text=True, check=False).stdout
        if "SlurmdStartTime=2" in said and "State=IDLE" in said:
            return
        time.sleep(0.2)
    raise AssertionError(f"Slurm was not ready within {PATIENCE} s: {said}")


def _stop(place: Path, environment: dict[str, str]) -> None:
    words = ["scancel", "--user", getpass.getuser()]
    with suppress(subprocess.TimeoutExpired):
        subprocess.run(words, env=environment, timeout=10, check=False, capture_output=True)
    for name in ("slurmd", "slurmctld", "munged"):
        written = place / f"{name}.pid"
        if not written.exists():
            continue
        pid = int(written.read_text())
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
            for _ in range(100):
                os.kill(pid, 0)
                time.sleep(0.1)
            os.kill(pid, signal.SIGKILL)
