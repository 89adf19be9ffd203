"""Every choice of every room, one at a time, as conf/ has them: who adds a YAML has it measured."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

CONF = Path(__file__).parents[3] / "conf"
ROOMS = (
    "compression", "alignment", "projection", "layers", "layers/map", "position", "kv", "fusion",
    "source", "loss", "loss/tokens", "loss/schedule", "loss/balance", "adapter", "logits",
    "logits/teachers", "logits/vocabulary",
)  # fmt: skip
LEFT_OUT = {"source=none"}
"""Fine-tuning alone, which is a step of its own."""
KL = "logits=forward_kl"
RECOMPUTED = "train.gradient_checkpointing=true"
ONE, TWO = ("a",), ("a", "b")
MORE = {
    "layers/map=anchors": ("layers.map.anchors='0:0, 2:5'",),
    "projection=low_rank": ("projection.rank=2",),
    "kv=none": ("loss.kv_weight=0", KL),
    "fusion=best_single": ("fusion.teacher=b",),
    "fusion=competence": (KL,),
    "fusion=select": (KL,),
    **{f"logits/teachers={name}": (KL,) for name in ("averaged", "mean", "select")},
    **{f"logits/vocabulary={name}": (KL,) for name in ("chunks", "same")},
}
"""What some choices need at the size of the bench's models."""


@dataclass(frozen=True)
class Setting:
    """A step to take apart."""

    overrides: Sequence[str]
    teachers: Sequence[str] = ONE
    as_student: bool = False
    """Whether the teacher has the student's widths."""
    packed: bool = False

    @property
    def name(self) -> str:
        """As a command line has it."""
        return " ".join(self.overrides) or "defaults"


def list_settings() -> list[Setting]:
    """All of them, and the ways of training that every one can be combined with."""
    return [*list_choices(), *list_ways()]


def list_choices() -> Iterator[Setting]:
    """A setting a YAML of a room, and where heads may keep tokens of their own a second one."""
    for room in ROOMS:
        for path in sorted((CONF / room).glob("*.yaml")):
            choice = f"{room}={path.stem}"
            if choice in LEFT_OUT:
                continue
            overrides = (choice, *MORE.get(choice, ()))
            teachers = TWO if room in ("fusion", "logits/teachers") else ONE
            yield Setting(overrides, teachers, as_student=choice == "projection=identity")
            if "heads" in yaml.safe_load(path.read_text(encoding="utf-8")):
                yield Setting((*overrides, f"{room}.heads=own"), teachers)


def list_ways() -> Iterator[Setting]:
    """Of packed rows, recomputed layers, and stored K and V: shuffled, rounded, by head."""
    yield Setting(("compression=r_kv",), TWO, packed=True)
    yield Setting((RECOMPUTED, KL), TWO, packed=True)
    yield Setting(("source=shuffled", "source@source.of=store"))
    yield Setting(("source=store", "source.stored.dtype=int8"))
    yield Setting(("source=store", "compression=r_kv", "compression.heads=own"))
