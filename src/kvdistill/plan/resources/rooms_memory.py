"""Bytes of K and V between the models in a step: from compression and alignment to the loss.

Counted in the order of train/step.py. With N tokens of a text batch, of which C are covered by
some teacher, and w the width of one layer's keys:

- capture keeps 2 w N of each layer that is read, and compression puts them side by side once more;
- what it leaves of every teacher lives until the loss;
- alignment makes 2 w C of each layer of one teacher at a time, projection 2 w C of the student's
  layers and width for each teacher, which live until the loss;
- autograd keeps the loss's residuals in float32, and of a trained fusion each teacher's target and
  the router's inputs.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kvdistill.geometry import Geometry
from kvdistill.layers.base import LayerPair
from kvdistill.plan.resources import score_memory
from kvdistill.plan.resources.model_memory import FLOAT32_BYTES, RankBatch

PLACED = frozenset({"KeepFirst", "KeepLast", "Uniform"})
"""Compressions that keep the same places in every layer and of every teacher, so that no more than
their share of the student's tokens is covered."""
SCORELESS = PLACED | {"Full", "Random", "StreamingLLM"}
"""Compressions that score no layer: all layers keep the same tokens, and no queries are read.
Another one is reckoned as if it did, which is the most that one can take."""
KV_ONLY = frozenset({"Knorm", "KeyDiff"})
"""Those of the others that read keys and values alone."""


@dataclass(frozen=True, kw_only=True)
class TeacherLoad:
    """One teacher as the rooms see it."""

    name: str
    geometry: Geometry
    kv_bytes: int
    """Of one captured number."""
    layer_pairs: Sequence[LayerPair]
    running: int
    """Bytes beside its K and V while it reads."""
    stored_bytes: int | None = None
    """Of a number in the store that its K and V come from, kept tokens alone; None: it reads."""

    @property
    def stored(self) -> bool:
        """Whether its K and V come from a store."""
        return self.stored_bytes is not None

    @property
    def layers_read(self) -> int:
        """Teacher layers whose K and V are read."""
        return len({layer for pair in self.layer_pairs for layer in pair.teacher_layers})

    @property
    def pair_layers(self) -> int:
        """The same where each student layer has its own."""
        return sum(len(pair.teacher_layers) for pair in self.layer_pairs)


@dataclass(frozen=True, kw_only=True)
class RoomsLoad:
    """The rooms of a step, and what flows through them."""

    student: Geometry
    student_layers: int
    """That are compared."""
    teachers: Sequence[TeacherLoad]
    tokens: int
    seq_len: int
    compression: str
    """The class."""
    keep: float
    """Share of a teacher's tokens."""
    router_hidden: int | None
    """Of a trained fusion; None for one without trained weights."""
    trained_projection: bool
    kv_bytes: int
    """Of one number of the student's K and V."""

    @property
    def covered(self) -> int:
        """Student tokens that some teacher covers, at most."""
        return round(self.tokens * (self.keep if self.compression in PLACED else 1.0))

    def count_score_bytes(self, teacher: TeacherLoad) -> int:
        """What scoring one of a teacher's layers takes; 0 where none is scored."""
        if self.compression in SCORELESS:
            return 0
        batch = RankBatch(self.tokens // self.seq_len, self.seq_len)
        return score_memory.count_score_bytes(self.compression, teacher.geometry, batch)

    def count_student_kv(self, tokens: int, number_bytes: int) -> int:
        """Keys and values of the compared layers."""
        return 2 * self.student.kv_width * self.student_layers * tokens * number_bytes


def iterate_phases(load: RoomsLoad) -> Iterator[tuple[str, int]]:
    """(phase of the forward, bytes that the rooms hold in it), the student's K and V included."""
    own = load.count_student_kv(load.tokens, load.kv_bytes)
    flats = [count_flat_bytes(load, teacher) for teacher in load.teachers]
    for number, teacher in enumerate(load.teachers):
        before = own + sum(flats[:number])
        yield (
            f"reading {teacher.name}",
            before + count_reading_bytes(load, teacher, flats[number]),
        )
    targets = load.count_student_kv(load.covered, load.kv_bytes)
    for number, teacher in enumerate(load.teachers):
        aligned = count_aligned_bytes(load, teacher)
        yield f"aligning {teacher.name}", own + sum(flats) + (number + 1) * targets + aligned
    yield (
        "fusion and loss",
        own + sum(flats) + len(load.teachers) * targets + count_graph_bytes(load),
    )


def count_flat_bytes(load: RoomsLoad, teacher: TeacherLoad) -> int:
    """What compression leaves of a teacher, side by side."""
    layers = teacher.layers_read if load.compression in SCORELESS else teacher.pair_layers
    # A store holds kept tokens alone; capture leaves all of them where they lie.
    tokens = load.tokens * (load.keep if teacher.stored else 1.0)
    return round(2 * teacher.geometry.kv_width * layers * tokens * teacher.kv_bytes)


def count_reading_bytes(load: RoomsLoad, teacher: TeacherLoad, flat: int) -> int:
    """While one teacher reads, or right after, when what it gave is put side by side.

    Of a stored one: its rows as they are stored, and where they are decoded those beside them.
    """
    if teacher.stored_bytes is not None:
        decoded = teacher.stored_bytes != teacher.kv_bytes
        return flat + (round(flat * teacher.stored_bytes / teacher.kv_bytes) if decoded else 0)
    layers = teacher.layers_read
    captured = 2 * teacher.geometry.kv_width * layers * load.tokens * teacher.kv_bytes
    if load.compression not in SCORELESS | KV_ONLY:
        # Queries as they are and rotated, and rotated keys.
        queries = teacher.geometry.heads * teacher.geometry.head_dim
        width = 2 * queries + teacher.geometry.kv_width
        captured += width * layers * load.tokens * teacher.kv_bytes
    return captured + max(flat, teacher.running, load.count_score_bytes(teacher))


def count_aligned_bytes(load: RoomsLoad, teacher: TeacherLoad) -> int:
    """One teacher on the student's tokens: all layers where they are kept alike, else one's."""
    layers = teacher.layers_read if load.compression in SCORELESS else 2
    width = teacher.geometry.kv_width
    # Beside it one layer's keys and values centred, and one of them in the maps' float32.
    centred = 2 * width * teacher.kv_bytes + width * FLOAT32_BYTES
    return load.covered * (2 * width * layers * teacher.kv_bytes + centred)


def count_graph_bytes(load: RoomsLoad) -> int:
    """What autograd keeps from fusion, projection and loss."""
    kept = load.count_student_kv(load.covered, FLOAT32_BYTES)  # residuals
    if load.router_hidden is not None:
        targets = load.count_student_kv(load.covered, load.kv_bytes)
        router = 2 * load.router_hidden * load.kv_bytes * load.student_layers * load.covered
        kept += (len(load.teachers) + 1) * targets + router
    if load.trained_projection:
        kept += sum(
            2 * teacher.geometry.kv_width * teacher.pair_layers * load.covered * FLOAT32_BYTES
            for teacher in load.teachers
        )
    return kept


def count_map_bytes(load: RoomsLoad) -> int:
    """Maps from teachers to the student, in float32: with gradient and moments where trained."""
    states = 4 if load.trained_projection else 1
    numbers = sum(
        2 * teacher.geometry.kv_width * load.student.kv_width * teacher.pair_layers
        for teacher in load.teachers
    )
    return numbers * FLOAT32_BYTES * states


def find_router_hidden(fusion: Mapping[str, Any]) -> int | None:
    """The hidden width of a fusion's router, wherever it stands in its node; None without one."""
    if "router" in fusion:
        return int(fusion["hidden"]) if fusion["router"] == "mlp" else 0
    inner = [find_router_hidden(node) for node in fusion.values() if isinstance(node, Mapping)]
    return next((hidden for hidden in inner if hidden is not None), None)
