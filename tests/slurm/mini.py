"""A real SLURM of one node for tests: munged, slurmctld and slurmd in a folder of its own.

python -m tests.slurm.mini FOLDER starts one, prints its SLURM_CONF and stays until Ctrl-C.

It listens on free ports of 127.0.0.1 and ends only processes it started. Needs root and Debian's
packages slurm-wlm and munge, but no cgroups, systemd or database.
"""

import ctypes
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scontrol", "scancel")

CONF = """\
ClusterName=mini
SlurmctldHost=localhost(127.0.0.1)
SlurmUser=root
SlurmdUser=root
SlurmctldPort={ctld_port}
SlurmdPort={d_port}
AuthType=auth/munge
AuthInfo=socket={folder}/run/munge.sock
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/run/slurmctld.pid
SlurmdPidFile={folder}/run/slurmd.pid
SlurmctldLogFile={folder}/log/slurmctld.log
SlurmdLogFile={folder}/log/slurmd.log
MailProg=/bin/true
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
ReturnToService=2
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
DefMemPerCPU=64
GresTypes=gpu
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=2,bf_interval=2,batch_sched_delay=0
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SlurmctldParameters=preempt_send_user_signal
JobRequeue=1
KillWait=1
OverTimeLimit=0
MinJobAge=3600
MaxArraySize=1001
MaxJobCount=20000
AccountingStorageType=accounting_storage/none
SlurmdParameters=config_overrides
NodeName=localhost NodeAddr=127.0.0.1 CPUs={cpus} Sockets=1 CoresPerSocket={cpus} \
  RealMemory=8000 Gres=gpu:{gpus}
PartitionName=debug Nodes=ALL Default=YES MaxTime=INFINITE State=UP PriorityTier=1 GraceTime=60
PartitionName=high Nodes=ALL MaxTime=INFINITE State=UP PriorityTier=10 PreemptMode=off
"""


def explain_absence() -> str | None:
    """Why no SLURM can be started here, in one line."""
    path = os.environ["PATH"] + os.pathsep + "/usr/sbin"
    if lost := [name for name in PROGRAMS if shutil.which(name, path=path) is None]:
        return f"{lost[0]} is not installed (Debian: apt-get install slurm-wlm munge)"
    return None if os.getuid() == 0 else "slurmd must be started by root"


@dataclass
class MiniSlurm:
    """One node with `cpus` cores and `gpus` devices that are none."""

    folder: Path
    cpus: int = 2
    gpus: int = 2
    daemons: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)

    @property
    def conf(self) -> Path:
        """What SLURM_CONF must name."""
        return self.folder / "slurm.conf"

    def start(self) -> None:
        """Starts the three daemons; returns when the node is idle."""
        self.folder.chmod(0o755)  # munge's socket must be reachable by all
        for name in ("run", "log", "state", "spool", "dev"):
            (self.folder / name).mkdir(exist_ok=True)
        self.write_key()
        self.write_conf()
        run, log = self.folder / "run", self.folder / "log"
        self.daemon(
            "munged", "--foreground", f"--key-file={self.folder}/munge.key",
            f"--socket={run}/munge.sock",
            f"--pid-file={run}/munged.pid", f"--log-file={log}/munged.log",
            f"--seed-file={run}/munge.seed",
        )  # fmt: skip
        wait_for((run / "munge.sock").exists, 30)
        self.daemon("slurmctld", "-D", "-c")
        self.start_node()

    def write_key(self) -> None:
        """A secret that only its owner may read, or munged refuses it."""
        key = os.open(self.folder / "munge.key", os.O_WRONLY | os.O_CREAT, 0o600)
        os.write(key, secrets.token_bytes(128))
        os.close(key)

    def write_conf(self) -> None:
        """slurm.conf and gres.conf, on two free ports."""
        ports = free_ports(2)
        for index in range(self.gpus):  # slurmd takes only a device for a GPU: a twin of /dev/null
            os.mknod(self.folder / f"dev/gpu{index}", 0o20666, os.makedev(1, 3))
        gres = f"NodeName=localhost Name=gpu File={self.folder}/dev/gpu[0-{self.gpus - 1}]\n"
        (self.folder / "gres.conf").write_text(gres)
        self.conf.write_text(
            CONF.format(
                folder=self.folder, cpus=self.cpus, gpus=self.gpus, ctld_port=ports[0],
                d_port=ports[1],
            )
        )  # fmt: skip

    def start_node(self) -> None:
        """Starts slurmd; returns when its node takes jobs."""
        self.daemon("slurmd", "-D", "-N", "localhost")
        wait_for(self.takes_jobs, 60)

    def takes_jobs(self) -> bool:
        """Whether the controller answers and sees the node."""
        with suppress(subprocess.CalledProcessError):
            return self.call("sinfo", "-h", "-o", "%T").strip() in ("idle", "mixed", "allocated")
        return False

    def stop_node(self) -> None:
        """Ends slurmd, as a reboot of its daemon does; running jobs live on."""
        self.end("slurmd")

    def stop(self) -> None:
        """Ends all jobs, then the daemons."""
        with suppress(subprocess.CalledProcessError):
            self.call("scancel", "--user=root")
            wait_for(lambda: not self.call("squeue", "-h").strip(), 30)
        for name in ("slurmd", "slurmctld", "munged"):
            self.end(name)

    def daemon(self, *command: str) -> None:
        """Starts one in the foreground; it ends with this process, however that ends."""
        log = (self.folder / f"log/{command[0]}.out").open("a")
        with log:
            self.daemons[command[0]] = subprocess.Popen(
                command, env=self.environment(), stdout=log, stderr=log, preexec_fn=die_with_parent
            )

    def end(self, name: str) -> None:
        """Ends one daemon."""
        if (process := self.daemons.pop(name, None)) is not None:
            process.terminate()
            process.wait(30)

    def call(self, *command: str) -> str:
        """What a SLURM command prints. Raises CalledProcessError."""
        done = subprocess.run(
            command, capture_output=True, text=True, check=True, env=self.environment()
        )
        return done.stdout

    def environment(self) -> dict[str, str]:
        """Of a process that is to see this SLURM."""
        path = os.environ["PATH"] + os.pathsep + "/usr/sbin"
        return {**os.environ, "SLURM_CONF": str(self.conf), "PATH": path}

    def job(self, identity: str) -> dict[str, str]:
        """The fields of `scontrol show job`."""
        text = self.call("scontrol", "--oneliner", "show", "job", identity)
        return dict(part.split("=", 1) for part in text.split() if "=" in part)


def die_with_parent() -> None:
    """Asks the kernel for SIGTERM once the parent is gone (PR_SET_PDEATHSIG)."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)


def free_ports(count: int) -> list[int]:
    """Ports nobody listens on now."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def wait_for(condition: Callable[[], bool], seconds: float, every: float = 0.1) -> None:
    """Returns once it holds, asked each `every` seconds. Raises TimeoutError."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"still not so after {seconds} s")
        time.sleep(every)


def main() -> None:
    """Stays until Ctrl-C."""
    mini = MiniSlurm(Path(sys.argv[1]).resolve())
    mini.folder.mkdir(parents=True, exist_ok=True)
    mini.start()
    print(f"export SLURM_CONF={mini.conf}", flush=True)  # noqa: T201
    try:
        signal.pause()
    except KeyboardInterrupt:
        mini.stop()


if __name__ == "__main__":
    main()
