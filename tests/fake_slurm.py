"""Slurm's commands for tests: the jobs of an array and their tasks run here, one job at a time, and may be requeued.

``put(folder)`` writes sbatch, srun, sacct and scontrol there; what they know of jobs is kept in files beside them.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve()
JOB = "1000"


def put(folder):
    """The commands, as scripts in a folder that is to be the first one of PATH."""
    folder.mkdir()
    for name in ("sbatch", "srun", "sacct", "scontrol"):
        script = folder / name
        script.write_text(f'#!/bin/sh\nFAKE_SLURM="{folder}" exec "{sys.executable}" "{HERE}" {name} "$@"\n')
        script.chmod(0o755)


def sbatch(state, script):
    """Start the array in the background, as a cluster would."""
    text = Path(script).read_text()
    options = dict(re.findall(r"^#SBATCH --([\w-]+)=(.*)$", text, re.MULTILINE))
    last = int(re.match(r"0-(\d+)", options["array"])[1]) if "array" in options else None
    (state / "script").write_text(text)
    tasks, nodes = options["ntasks-per-node"], options["nodes"]
    known = {
        "SLURM_JOB_NAME": options["job-name"],
        "SLURM_NNODES": nodes,
        "SLURM_JOB_NUM_NODES": nodes,
        "SLURM_NTASKS": str(int(tasks) * int(nodes)),
        "SLURM_NTASKS_PER_NODE": tasks,
        "SLURM_NODELIST": "localhost",
        "MASTER_ADDR": "127.0.0.1",
    }
    arguments = [sys.executable, str(HERE), "work", str(script), "" if last is None else str(last)]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.Popen(arguments, env={**os.environ, **known}, start_new_session=True, **quiet)
    print(f"Submitted batch job {JOB}")


def work(state, script, last):
    """Run every job of the array, again if it asked for it."""
    for index in range(int(last) + 1) if last else [None]:
        job = JOB if index is None else f"{JOB}_{index}"
        own = {"SLURM_JOB_ID": str(int(JOB) + (index or 0))}
        if index is not None:
            own |= {"SLURM_ARRAY_JOB_ID": JOB, "SLURM_ARRAY_TASK_ID": str(index)}
        count = 0
        while True:
            (state / f"{job}.state").write_text("RUNNING")
            environment = {**os.environ, **own, "SLURM_RESTART_COUNT": str(count)}
            code = subprocess.run(["bash", script], env=environment).returncode
            if not (state / f"{job}.requeue").is_file():
                break
            (state / f"{job}.requeue").unlink()
            count += 1
        (state / f"{job}.state").write_text("FAILED" if code else "COMPLETED")


def srun(state, *arguments):
    """Run the tasks of a job, each with its rank."""
    options, rest = {}, list(arguments)
    while rest[0].startswith("--"):
        name = rest.pop(0)
        if "=" not in name and name != "--unbuffered":
            options[name] = rest.pop(0)
    running = []
    for rank in range(int(os.environ["SLURM_NTASKS"])):
        rankings = {"SLURM_PROCID": str(rank), "SLURM_LOCALID": str(rank), "SLURM_NODEID": "0", "SLURM_STEP_ID": "0"}
        files = {}
        for stream, option in (("stdout", "--output"), ("stderr", "--error")):
            if option in options:
                name = options[option].replace("%A", os.environ.get("SLURM_ARRAY_JOB_ID", ""))
                name = name.replace("%a", os.environ.get("SLURM_ARRAY_TASK_ID", "")).replace("%j", JOB)
                path = Path(name.replace("%t", str(rank)))
                path.parent.mkdir(parents=True, exist_ok=True)
                files[stream] = path.open("a")
        running.append(subprocess.Popen(rest, env={**os.environ, **rankings}, **files))
    (state / "pids").write_text(" ".join(str(process.pid) for process in running))
    sys.exit(max(abs(process.wait()) for process in running))


def sacct(state, *arguments):
    print("JobID|State|NodeList")
    for path in sorted(state.glob("*.state")):
        print(f"{path.stem}|{path.read_text()}|localhost")


def scontrol(state, *arguments):
    if arguments[0] == "requeue":
        (state / f"{arguments[1]}.requeue").touch()
    else:
        print("localhost")


if __name__ == "__main__":
    globals()[sys.argv[1]](Path(os.environ["FAKE_SLURM"]), *sys.argv[2:])
