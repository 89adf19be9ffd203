"""What the claims of a plan may name: arms, teachers and tasks, of it and of its study."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from kvdistill import layout
from kvdistill.config.compose import Config
from kvdistill.evaluate.suite import Suite
from kvdistill.plan.command_plan import Plan
from kvdistill.plan.study_plan import Question, StudyPlan


@dataclass(frozen=True)
class KnownNames:
    """What the claims of one plan may name."""

    arms: Mapping[str, Config | None]
    """Label -> the config of one of its runs; None for an arm that only the study's disk holds."""
    teachers: Collection[str]
    """Every teacher that a run of the plan reads."""
    suite: Suite
    ambiguous: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Label -> the questions that give it to different runs of one seed."""

    @classmethod
    def of_plan(cls, plan: Plan) -> "KnownNames":
        """Of a plan, and of the study that it adds to."""
        arms: dict[str, Config | None] = {}
        folder = layout.study_folder(plan.root, plan.study)
        questions = (
            dict(StudyPlan.read(folder).questions) if (folder / layout.PLAN).exists() else {}
        )
        for question in questions.values():
            arms |= dict.fromkeys(question.arms)
        for planned_question in plan.questions.values():
            for label, seeds in planned_question.arms.items():
                arms[label] = plan.runs[next(iter(seeds.values()))].config
        teachers = {
            teacher["name"]
            for run in plan.runs.values()
            for teacher in run.config["teachers"].values()
        }
        ambiguous = list_ambiguous(questions | plan.questions)
        return cls(arms, teachers, read_suite(plan.config), ambiguous)


def list_ambiguous(questions: Mapping[str, Question]) -> dict[str, list[str]]:
    """Label -> its questions, where two of them give it to different runs of one seed."""
    ambiguous: dict[str, list[str]] = {}
    for label in {label for question in questions.values() for label in question.arms}:
        holders = [name for name, question in questions.items() if label in question.arms]
        pairs = {pair for name in holders for pair in questions[name].arms[label].items()}
        if len(pairs) > len({seed for seed, _ in pairs}):
            ambiguous[label] = holders
    return ambiguous


def read_suite(config: Config) -> Suite:
    """The suite of a config, as its YAML states it: without asking what this machine can score."""
    node = {key: value for key, value in config["tasks"].items() if key != "_target_"}
    return Suite(**node | {"backend": "hf"})
