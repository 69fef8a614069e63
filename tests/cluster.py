"""A Slurm cluster of this machine alone, from Debian's ``slurm-wlm`` and ``munge``, as root."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

COMMANDS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scontrol", "scancel")

CONFIG = """\
ClusterName=regrun
SlurmctldHost={host}
SlurmctldPort={port}
SlurmdPort={daemon_port}
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
ReturnToService=2
KillWait=30
SlurmdTimeout=6
MaxArraySize=20
MaxJobCount=10
MinJobAge=2
SchedulerParameters=sched_min_interval=100000,batch_sched_delay=0,requeue_delay=1
NodeName={host} CPUs={cpus} RealMemory={memory} State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def reason_without() -> str | None:
    """Why there can be no Slurm here, if so."""
    if os.geteuid() != 0:
        return "a Slurm daemon of one's own needs root"
    missing = [name for name in COMMANDS if shutil.which(name) is None]
    return f"Slurm is not installed (Debian: slurm-wlm, munge): no {', '.join(missing)}" if missing else None


class Cluster:
    """A running cluster, of one node.

    Args:
        variables: by which Slurm's commands find it.
    """

    node: subprocess.Popen[bytes]

    def __init__(self, variables: dict[str, str]) -> None:
        self.variables = variables
        self.environment = os.environ | variables

    def ask(self, *command: str) -> str:
        """What one of Slurm's commands prints."""
        return subprocess.run(
            command, env=self.environment, check=True, capture_output=True, text=True
        ).stdout

    def start_node(self) -> None:
        """Start the node's daemon, and wait until it takes jobs."""
        self.node = subprocess.Popen(["slurmd", "-D"], env=self.environment)
        self.wait_until("idle")

    def lose_node(self, folder: Path) -> None:
        """End the node as a power cut would: its daemon, and the jobs of this folder, at once."""
        self.node.kill()
        self.node.wait()
        self.kill("slurmstepd", str(folder))
        self.wait_until("down")

    def kill(self, *words: str) -> None:
        """End processes that belong to this cluster, and have one of these words in their command."""
        ours = self.variables["SLURM_CONF"].encode()
        for process in Path("/proc").glob("[0-9]*"):
            try:
                command, environment = ((process / part).read_bytes() for part in ("cmdline", "environ"))
                if (
                    ours in environment
                    and b"regrun.cli" not in command
                    and any(w.encode() in command for w in words)
                ):
                    os.kill(int(process.name), signal.SIGKILL)
            except OSError:
                pass  # it has ended meanwhile

    def withdraw(self, seconds: float = 20) -> None:
        """Cancel all jobs, and end what does not end by itself."""
        subprocess.run(["scancel", "--me"], env=self.environment, check=False)
        end = time.monotonic() + seconds
        while time.monotonic() < end and self.ask("squeue", "--noheader"):
            time.sleep(0.3)
        self.kill("srun", "slurm_script", "submitit")

    def wait_until(self, state: str, seconds: float = 40) -> None:
        """Wait until the node is in a state."""
        end = time.monotonic() + seconds
        while (found := self.ask("sinfo", "-h", "-o", "%T").strip().rstrip("*")) != state:
            assert time.monotonic() < end, f"Slurm's node is {found}, not {state}"
            time.sleep(0.3)


@contextmanager
def slurm() -> Iterator[Cluster]:
    """Start the daemons."""
    folder = tempfile.TemporaryDirectory(prefix="regrun-slurm-", ignore_cleanup_errors=True)
    with folder as name, daemons_in(Path(name)) as cluster:
        yield cluster


@contextmanager
def daemons_in(folder: Path) -> Iterator[Cluster]:
    """The daemons, with all their files in a folder that munge's own user can reach, as pytest's are not."""
    owner = pwd.getpwnam("munge")
    secrets = folder / "munge"
    secrets.mkdir(mode=0o700)
    key = secrets / "key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o400)
    for path in (secrets, key):
        os.chown(path, owner.pw_uid, owner.pw_gid)
    host = socket.gethostname()
    config = folder / "slurm.conf"
    config.write_text(
        CONFIG.format(
            host=host,
            port=free_port(),
            daemon_port=free_port(),
            folder=folder,
            cpus=os.cpu_count(),
            memory=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20 * 3 // 4,
        )
    )
    for name in ("state", "spool"):
        (folder / name).mkdir()
    variables = {"SLURM_CONF": str(config)}
    environment = os.environ | variables
    places = {"socket": folder / "munge.socket", "pid-file": secrets / "pid", "log-file": secrets / "log"}
    options = [
        f"--{name}={path}"
        for name, path in {**places, "key-file": key, "seed-file": secrets / "seed"}.items()
    ]
    folder.chmod(0o777)  # munged makes its socket here, as its own user
    daemons = [
        subprocess.Popen(
            ["munged", "--foreground", "--force", *options], user=owner.pw_uid, group=owner.pw_gid
        ),
        subprocess.Popen(["slurmctld", "-D", "-c"], env=environment),
    ]
    cluster = Cluster(variables)
    try:
        cluster.start_node()
        yield cluster
    finally:
        cluster.withdraw()
        # Each before what it asks for credentials: a node that is told to end without munge waits for it.
        for daemon in (cluster.node, *reversed(daemons)):
            end(daemon)


def end(daemon: subprocess.Popen[bytes], seconds: float = 20) -> None:
    """End a daemon, at its word or, where it does not keep it, at once."""
    daemon.terminate()
    try:
        daemon.wait(seconds)
    except subprocess.TimeoutExpired:
        daemon.kill()
        daemon.wait()


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
