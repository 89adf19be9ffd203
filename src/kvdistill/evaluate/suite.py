"""What a run is scored on: the tasks of its macro average, on which items, in which settings.

No torch here: the plan and the report read a suite without loading a model.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from kvdistill.config.types import parse_day
from kvdistill.errors import ConfigError
from kvdistill.plan.task_files import explain_bad_shots, read_task_metadata

OWN_TASKS = Path(__file__).parent / "tasks"


@lru_cache(maxsize=1)
def list_own_tasks() -> tuple[str, ...]:
    """The names of the project's own task files: what a suite may list beside builtin:NAME."""
    return tuple(p.stem for p in sorted(OWN_TASKS.glob("*.yaml")) if not p.name.startswith("_"))


@dataclass(frozen=True, kw_only=True)
class Suite:
    """One choice of conf/tasks."""

    name: str
    tasks: Sequence[str]
    """Each counts once in the macro average; a task file's name, or `builtin:NAME` of lm-eval."""
    beside: Sequence[str] = ()
    """Scored and reported, outside the macro average."""
    limit: int | Mapping[str, int] | None = None
    """Items of a task, for all or by task: a fixed sample, spread evenly over its subjects."""
    shots: Mapping[str, int] = field(default_factory=dict)
    """Worked examples before the question, by task, never of the rows that are scored.

    Of a task that is not named: what its published protocol has, as its file says.
    """
    batch_size: int | Literal["auto"] = "auto"
    """Requests that are computed at once; auto: as many as the GPU holds at their length, and a
    fixed number on a CPU. Scores do not depend on it beyond float noise."""
    max_length: int | None = None
    """Tokens of prompt and answer together; null: what the model was built for."""
    max_gen_toks: int | None = None
    """Tokens of a generated answer; null: what each task's file says."""
    chat_template: bool = False
    """Whether each prompt becomes a user's turn of the model's own chat template."""
    date: str | None = None
    """The day, as YYYY-MM-DD, that a chat template prints as today's; null where it prints none."""
    data_root: str | None = None
    """Folder with local copies of the benchmarks, one subfolder each; null: the Hub."""
    backend: Literal["hf", "vllm"] = "hf"
    """What computes the answers: transformers, or vLLM on a GPU (the extra `vllm`)."""
    counterparts: bool = False
    """Whether models that are scored as they are (the raw student, teachers) also answer lm-eval's
    own tasks of the same benchmarks, on the same rows, once."""
    revisions: Mapping[str, str] = field(default_factory=dict)
    """Hub data set -> the commit that its rows are read at, put here when the plan was made."""
    versions: Mapping[str, str] = field(default_factory=dict)
    """Task -> version of its protocol where it is not the first, put here likewise."""

    def __post_init__(self) -> None:
        if not self.tasks:
            raise ConfigError("tasks.tasks is empty. Name at least one task, or use tasks=quick.")
        if self.backend == "vllm" and find_spec("vllm") is None:
            raise ConfigError(
                "tasks.backend=vllm needs the package vllm: pip install kvdistill[vllm], without "
                "constraints.txt. Or use tasks.backend=hf."
            )
        parse_day("tasks.date", self.date)
        names = [*self.tasks, *self.beside]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ConfigError(f"tasks names {', '.join(twice)} twice. Name each task once.")
        limits = self.limit if isinstance(self.limit, Mapping) else {"": self.limit}
        for task, number in limits.items():
            if number is not None and number < 1:
                where = f"tasks.limit.{task}".removesuffix(".")
                raise ConfigError(f"{where}={number} must be at least 1. Use null for all items.")
        for key in ("batch_size", "max_length", "max_gen_toks"):
            value = getattr(self, key)
            if value not in (None, "auto") and value < 1:
                raise ConfigError(f"tasks.{key}={value} must be at least 1.")
        if unknown := sorted({*self.shots, *(limits.keys() - {""})} - set(names)):
            raise ConfigError(
                f"tasks.limit and tasks.shots name {', '.join(unknown)}, which is not among the "
                f"suite's tasks: {', '.join(names)}."
            )
        for task, shots in self.shots.items():
            if why := explain_bad_shots(task, shots):
                raise ConfigError(f"tasks.shots.{task}={shots}: {why}.")

    @property
    def all_tasks(self) -> tuple[str, ...]:
        """Every task, those of the macro average first."""
        return (*self.tasks, *self.beside)

    def get_item_limit(self, task: str) -> int | None:
        """How many items of a task; None for all."""
        return self.limit.get(task) if isinstance(self.limit, Mapping) else self.limit

    def count_shots(self, task: str) -> int:
        """Worked examples before each question of a task of ours."""
        published = (read_task_metadata(task) or {}).get("shots", 0)
        return self.shots.get(task, published)
