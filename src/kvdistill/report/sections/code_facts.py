"""Lines of the provenance about code: whose is known, what was accepted, what was set aside."""

from kvdistill.plan.code.fingerprint import UNKNOWN_CODE, name_changes
from kvdistill.stats.study import Study


def list_code_facts(study: Study) -> list[tuple[str, str]]:
    """(name, text) of each line."""
    finished = [run for run in study.runs.values() if run.done]
    known = [run.code.fingerprint for run in finished if run.code is not None]
    lines = []
    if known:
        share = f"{len(known)} of {len(finished)} finished runs"
        lines.append(f"on record for {share}; {len(set(known))} sets, as arms reach different ones")
    if unknown := len(finished) - len(known):
        lines.append(f"{unknown} runs were {UNKNOWN_CODE}: nothing says that their code was one")
    facts = [("modules", "; ".join(lines))] if lines else []
    entries = [entry for q in study.questions.values() for entry in q.accepted_code.entries]
    # All questions of a study have what the study accepted.
    distinct = {repr(entry): entry for entry in entries}.values()
    facts += [
        (
            "code accepted",
            f"{entry['time']}: other versions of {name_changes(entry['versions'])} count as one "
            f"(code=accept), for {name_changes(entry['runs'])}",
        )
        for entry in distinct
    ]
    for folder in study.folders:
        for event in study.history.select(folder.name, "set_aside"):
            why = name_changes(event.facts["modules"]) or "what it reads was made anew"
            text = f"{event.time}: {event.facts['folder']}; made by other code: {why}"
            facts.append(("set aside", text))
    return facts
