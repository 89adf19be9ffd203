"""cluster.dry_run=true: the sbatch scripts and what waits for what, and nothing submitted."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import submitit
from rich.console import Console

from kvdistill import layout
from kvdistill.cluster import code_snapshot, slurm_commands
from kvdistill.cluster.slurm import (
    REPORT,
    find_jobs_at_work,
    make_afterany_dependency,
    make_executor,
)
from kvdistill.cluster.slurm_arrays import (
    group_into_arrays,
    make_array_dependency,
    request_resources,
)
from kvdistill.config.schema import Estimate, Slurm
from kvdistill.errors import UserError
from kvdistill.plan.graph import Node
from kvdistill.plan.run_jobs import is_job_done, list_jobs, locate_jobs


class ScriptExecutor(submitit.SlurmExecutor):
    """Writes scripts also where there is no srun."""

    @classmethod
    def affinity(cls) -> int:
        """As on a cluster."""
        return 2


def print_scripts(
    root: Path, study: str, settings: Slurm, nodes: Sequence[Node], folders: Mapping[str, Path],
    special: Mapping[str, Mapping[str, Any]], estimate: Estimate, console: Console,
) -> None:  # fmt: skip
    """Prints one script an array, with made-up job ids 1, 2, ..., then the report's."""
    jobs = list(list_jobs(nodes, settings))
    folders = locate_jobs(jobs, folders)
    unfinished = [job for job in jobs if not is_job_done(job.name, folders[job.name])]
    ids = find_jobs_at_work(unfinished, folders, read_queue_if_any(console))
    todo = [node for node in unfinished if node.name not in ids]
    code = layout.code_folder(root.resolve()) / code_snapshot.hash_package()
    place = layout.study_folder(root.resolve(), study) / layout.SLURM
    number = 0
    awaited = {node.name for node in unfinished}
    for batch in group_into_arrays(todo, settings, special, awaited, estimate):
        number += 1
        kind, size = batch.nodes[0].kind, len(batch.nodes)
        after = make_array_dependency(batch, ids)
        executor = make_executor(
            place, f"kvdistill-{study}-{kind}", settings, batch.request, after, code, ScriptExecutor
        )
        if size > 1:
            executor.parameters["map_count"] = size
        for index, node in enumerate(batch.nodes):
            ids[node.name] = f"{number}_{index}" if size > 1 else str(number)
        print_script(console, executor, f"job {number}: {', '.join(n.name for n in batch.nodes)}")
    if unfinished:
        after = make_afterany_dependency([ids[node.name] for node in unfinished])
        executor = make_executor(
            place, f"kvdistill-{study}-{REPORT}", settings, request_resources(settings, REPORT),
            after, code, ScriptExecutor,
        )  # fmt: skip
        print_script(console, executor, f"job {number + 1}: report")


def read_queue_if_any(console: Console) -> dict[str, slurm_commands.QueuedJob]:
    """What is queued already; nothing, said aloud, where SLURM cannot be asked."""
    try:
        return slurm_commands.read_queue()
    except UserError:
        console.print("note: no SLURM here; jobs already queued would be joined, not repeated")
        return {}


def print_script(console: Console, executor: submitit.SlurmExecutor, title: str) -> None:
    """A title, and the text that sbatch would get."""
    text = executor._make_submission_file_text(executor._submitit_command_str, "")
    console.rule(title, align="left", characters="-")
    console.print(text, soft_wrap=True, markup=False)
