"""Bytes of one rank's GPU that a run's step needs at its highest, from the run's config alone."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from kvdistill.config.check_models import WHOLE
from kvdistill.config.compose import Config
from kvdistill.config.schema import read_group
from kvdistill.geometry import Geometry
from kvdistill.layers.from_config import pair_teacher_layers
from kvdistill.layers.select import select_layers
from kvdistill.layers.teacher_rooms import apply_own_rooms
from kvdistill.plan.graph import find_store_spec
from kvdistill.plan.resources import model_memory, rooms_memory
from kvdistill.plan.resources.model_memory import FLOAT32_BYTES, RankBatch, StudentMemory
from kvdistill.plan.resources.rooms_memory import RoomsLoad, TeacherLoad
from kvdistill.plan.teaching.on_policy import count_own_texts
from kvdistill.plan.teaching.signals import matches_kv, reads_answers
from kvdistill.plan.teaching.unread import reads_teachers

WEIGHT_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
PART_LOGITS = 2**25
"""Logits of one model that are compared at once, by the rooms of logits/ too."""
PART_COPIES = 5
"""Of a part in float32, as live bytes have it: the student's log-probabilities and their gradient,
the teacher's, and two of the distance."""
DECODED_BYTES = 4
"""Of a number that a store gives."""
STORED_BYTES = {"float32": 4, "bfloat16": 2, "int8": 1}
"""Of one that it holds, by source.stored.dtype."""


@dataclass(frozen=True)
class RunMemory:
    """A step at its highest, in bytes."""

    student: int
    """Its weights, gradients and moments, the fusion's and projections' too."""
    teachers: Mapping[str, int]
    """Weights of each teacher that reads with every batch."""
    models_step: int
    """What the student's pass holds at that moment: activations and autocast's copies."""
    logits: int
    rooms: int
    """K and V between the models, and what a reading teacher computes with."""
    phase: str
    """Where in the step that is."""

    @property
    def total(self) -> int:
        """All of it."""
        held = self.student + sum(self.teachers.values())
        return held + self.models_step + self.logits + self.rooms


def estimate_run_memory(config: Config) -> RunMemory:
    """Of a run that trains; texts at their full length, `estimate.answer_share` of them scored."""
    budget, train = read_group("budget", config["budget"]), config["train"]
    compute_bytes = 2 if train["bf16"] else 4
    batch = RankBatch(budget.batch_size, budget.seq_len)
    geometry = Geometry.from_node(config["student"])
    zero = (train["deepspeed"] or {}).get("zero_optimization") or {}
    student = model_memory.measure_student(
        # Own texts are computed beside the given ones, before the backward pass of both.
        geometry, WEIGHT_BYTES[config["student"]["dtype"]],
        RankBatch(budget.batch_size + count_own_texts(config), budget.seq_len),
        compute_bytes=compute_bytes, checkpointing=train["gradient_checkpointing"],
        trained_share=estimate_trained_share(config), zero_stage=int(zero.get("stage", 0)),
        ranks=budget.num_gpus,
    )  # fmt: skip
    scored = round(batch.tokens * read_answer_share(config))
    logits = model_memory.count_logit_bytes(geometry, scored, compute_bytes)
    held: dict[str, int] = {}
    rooms: RoomsLoad | None = None
    reading: dict[str, int] = {}
    if config["teachers"] and reads_teachers(config):
        held, load = measure_teachers(config, batch, compute_bytes)
        if matches_kv(config):
            rooms = load
        else:
            reading = {teacher.name: teacher.running for teacher in load.teachers}
    compared = 0
    # A fusion that weighs competence reads logits a few tokens at a time.
    if reads_answers(config) and config["logits"]["weight"]:
        # Made with the distance, and kept until the backward.
        gradient = scored * geometry.vocab_size * compute_bytes
        logits = (logits[0], logits[1] + gradient)
        compared = logits[0] + gradient + count_compared_bytes(config, scored)
    maps = rooms_memory.count_map_bytes(rooms) if rooms else 0
    phases = list(iterate_step(student, logits, rooms, reading, compared))
    phase, models_step, logits_held, between = max(phases, key=lambda each: sum(each[1:]))
    return RunMemory(student.states + maps, held, models_step, logits_held, between, phase)


def iterate_step(
    student: StudentMemory,
    logits: tuple[int, int],
    rooms: RoomsLoad | None,
    reading: Mapping[str, int],
    compared: int,
) -> Iterator[tuple[str, int, int, int]]:
    """(phase, bytes of the student's pass, of logits, of the rooms) of a step, in its order.

    `reading`: of each teacher that reads where no K and V are matched. `compared`: of all logits
    while next-token distributions are, 0 where none are.
    """
    own = graph = 0
    for name, running in reading.items():
        yield f"reading {name}", student.kept + student.cast_weights, logits[0], running
    if rooms is not None:
        own = rooms.count_student_kv(rooms.tokens, rooms.kv_bytes)
        graph = rooms_memory.count_graph_bytes(rooms)
        for phase, between in rooms_memory.iterate_phases(rooms):
            yield phase, student.kept + student.cast_weights, logits[0], between
    if compared:
        yield "distributions", student.kept + student.cast_weights, compared, own + graph
    yield "cross-entropy", student.kept, logits[1], own + graph
    # By then the rooms' backward is done: what is left of them are K and V and their gradients.
    yield "backward", student.kept + student.recomputed, 0, 2 * own


def count_compared_bytes(config: Config, scored: int) -> int:
    """What comparing next-token distributions holds beside the student's logits and gradient.

    Of some tokens at a time, in float32: what `PART_COPIES` names, or while teachers are mixed
    those of all of them, with logits and log-probabilities of the one at hand. Cross-entropy comes
    after it (train/module.py), so nothing of that is kept yet.
    """
    models = (config["student"], *config["teachers"].values())
    vocabularies = [Geometry.from_node(node).vocab_size for node in models]
    part = min(scored * max(vocabularies), PART_LOGITS)
    copies = max(PART_COPIES, len(config["teachers"]) + 2)
    return FLOAT32_BYTES * copies * part


def measure_teachers(
    config: Config, batch: RankBatch, compute_bytes: int
) -> tuple[dict[str, int], RoomsLoad]:
    """(name -> bytes of weights held, the rooms' load)."""
    held: dict[str, int] = {}
    loads = []
    spec = find_store_spec(config["source"])
    to_head = reads_answers(config)
    for node in config["teachers"].values():
        geometry, name = Geometry.from_node(node), node["name"]
        pairs = pair_teacher_layers(config, node) if matches_kv(config) else []
        placement = node.get("placement") or {}
        deepest = geometry.layers - 1 if to_head else max(pair.high for pair in pairs)
        memory = model_memory.measure_teacher(
            geometry, WEIGHT_BYTES[node["dtype"]], batch,
            deepest=deepest, shard=placement.get("shard", "none"),
            ranks=config["budget"]["num_gpus"], ranks_per_node=count_ranks_per_node(config),
        )  # fmt: skip
        on_gpu = spec is None and placement.get("device") != "cpu"
        weights = memory.weights if on_gpu else 0
        if to_head:
            # Whole wherever the decoder lies; a table that both have in common lies there once.
            shared = on_gpu and geometry.tied_embeddings and placement.get("shard", "none") in WHOLE
            table = model_memory.count_table_weights(geometry)
            weights += 0 if shared else table * WEIGHT_BYTES[node["dtype"]]
        if weights:
            held[name] = held.get(name, 0) + weights
        kv_bytes = DECODED_BYTES if spec else min(compute_bytes, WEIGHT_BYTES[node["dtype"]])
        loads.append(
            TeacherLoad(
                name=name, geometry=geometry, kv_bytes=kv_bytes, layer_pairs=pairs,
                running=memory.running if on_gpu else 0,
                stored_bytes=STORED_BYTES[spec["dtype"]] if spec else None,
            )
        )  # fmt: skip
    student = Geometry.from_node(config["student"])
    projections = [
        apply_own_rooms(config, node)["projection"] for node in config["teachers"].values()
    ]
    return held, RoomsLoad(
        student=student,
        student_layers=len(select_layers(config["layers"]["range"], student.layers)),
        teachers=loads,
        tokens=batch.tokens,
        seq_len=batch.seq_len,
        compression=str(config["compression"]["_target_"]).rpartition(".")[2],
        keep=read_kept_share(config),
        router_hidden=rooms_memory.find_router_hidden(config["fusion"]),
        trained_projection=any(each.get("lr_scale") for each in projections),
        kv_bytes=compute_bytes,
    )


def count_ranks_per_node(config: Config) -> int:
    """Ranks that share a node, as the cluster's settings divide a run's."""
    cluster = config.get("cluster") or {}
    special = (cluster.get("resources") or {}).get("run") or {}
    nodes = special.get("nodes") or cluster.get("nodes") or 1
    return max(int(config["budget"]["num_gpus"]) // int(nodes), 1)


def read_kept_share(config: Config) -> float:
    """Share of a full text's tokens that compression keeps: `keep` is a share or a number."""
    keep = config["compression"].get("keep", 1.0)
    return float(keep if isinstance(keep, float) else min(1.0, keep / config["budget"]["seq_len"]))


def read_answer_share(config: Config) -> float:
    """Share of a micro-batch's tokens with logits: all where prompts are not masked."""
    share = float(config["estimate"]["answer_share"])
    return share if config["style"].get("mask_prompt", True) else 1.0


def estimate_trained_share(config: Config) -> float:
    """Share of the student's weights that is trained: all, or under LoRA two thin matrices each."""
    rank = config["adapter"].get("rank")
    if rank is None:
        return 1.0
    geometry = Geometry.from_node(config["student"])
    queries = geometry.heads * geometry.head_dim
    widths = (
        2 * (geometry.hidden_size + queries)
        + 2 * (geometry.hidden_size + geometry.kv_width)
        + 3 * (geometry.hidden_size + geometry.intermediate_size)
    )
    return rank * geometry.layers * widths / model_memory.count_weights(geometry)


def summarize_parts(memory: RunMemory) -> dict[str, Any]:
    """Part -> bytes, as a table shows it: models first, then what a step adds."""
    return {
        "student": memory.student,
        **memory.teachers,
        "student's pass": memory.models_step,
        "logits": memory.logits,
        "rooms": memory.rooms,
    }
