"""Runs that failed, and finished runs that were deleted or made again, as the record has them."""

from collections.abc import Iterator

from kvdistill.history import Event
from kvdistill.stats.audit.changes import format_time
from kvdistill.stats.study import Run, Study

MAX_WHY = 160
"""Letters of a failure's reason that the page repeats."""


def list_failures_so_far(study: Study) -> Iterator[str]:
    """A sentence for each failed run, also where the run was done again and finished."""
    for event in list_last_events(study, "failed"):
        run = study.runs.get(event.facts["run"])
        why = str(event.facts["why"])
        ending = "\u2026" if len(why) > MAX_WHY else ""
        yield (
            f"{name_run(event)} failed at {format_time(event)}{describe_sequel(run)}: "
            f"{why[:MAX_WHY]}{ending}"
        )


def list_lost_runs(study: Study) -> Iterator[str]:
    """A sentence for each run that was finished when somebody looked, and is not the same now."""
    for event in list_last_events(study, "deleted"):
        run = study.runs.get(event.facts["run"])
        was_made_again = bool(event.facts.get("now")) or (run is not None and run.done)
        sequel = (
            "its folder was deleted or altered, and the run made again"
            if was_made_again
            else "it is gone now: deleted, moved or renamed"
        )
        yield f"{name_run(event)} was finished at an earlier look; {sequel}"


def list_unregistered_runs(study: Study) -> Iterator[str]:
    """A sentence for manifests that name a line of the record which the record has not got."""
    hashes = {event.sha256 for event in study.history.events}
    runs = [
        f"{run.arm} seed {run.seed}"
        for run in study.runs.values()
        if (line := (run.manifest.get("hypotheses") or {}).get("event")) and line not in hashes
    ]
    if runs:
        more = f" and {len(runs) - 3} more" if len(runs) > 3 else ""
        yield (
            f"the claims of {', '.join(runs[:3])}{more} were recorded in lines that the root's "
            "record has no more: it was cut, or the runs come from another root"
        )


def list_last_events(study: Study, name: str) -> list[Event]:
    """The last event of that name of each run, in the studies that are shown."""
    last: dict[str, Event] = {}
    for folder in study.folders:
        for event in study.history.select(folder.name, name):
            last[event.facts["run"]] = event
    return list(last.values())


def describe_sequel(run: Run | None) -> str:
    """What became of a failed run."""
    if run is None:
        return ", and stands in no question any more"
    return ", and was done again until it finished" if run.done else ""


def name_run(event: Event) -> str:
    """The run of an event by label and seed."""
    return f"{event.facts['label']} seed {event.facts['seed']}"
