"""Lines of the provenance about answers that teachers wrote, and that runs were trained on."""

from kvdistill.stats.study import Run, Study


def list_answer_facts(study: Study) -> list[tuple[str, str]]:
    """(name, text) of each line: an artefact a choice of what of it is trained on."""
    lines: dict[tuple[str, str], None] = {}
    for run in study.runs.values():
        for role, facts in (run.budget.get("answers") or {}).items():
            teacher = run.config["teachers"][role]["name"]
            lines[f"answers of {teacher}", describe_facts(run, facts)] = None
    return list(lines)


def describe_facts(run: Run, facts: dict[str, int | float | str]) -> str:
    """How many are right and how long they are, and how many of them are trained on."""
    return (
        f"{facts['answers']:,} written ({facts['artifact']}), {facts['right_share']:.1%} right, "
        f"{facts['mean_tokens']:.1f} tokens in the mean, {facts['cut']:,} cut off and "
        f"{facts['empty']:,} empty, {facts['flops']:.3g} FLOPs to write; "
        f"{facts['trained_on']:,} are trained on (data.answers={run.config['data']['answers']})"
    )
