"""What training one run takes, from its config alone, each text at its full length.

A teacher is counted as read anew with every batch, also where a store has what it makes of them: a
store saves that work for whoever shares it, and how many share it is no property of a run. One that
is asked for its answers' logits runs to its head, counted at every token, as the student's is.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from kvdistill.config.compose import Config
from kvdistill.config.schema import read_group
from kvdistill.geometry import Geometry
from kvdistill.layers.from_config import pair_teacher_layers
from kvdistill.plan import flops
from kvdistill.plan.budget import global_batch
from kvdistill.plan.graph import find_store_spec
from kvdistill.plan.matching.count_texts import count_texts
from kvdistill.plan.matching.score_flops import count_score_flops
from kvdistill.plan.teaching.answers import list_answering_teachers
from kvdistill.plan.teaching.on_policy import count_own_texts, get_period
from kvdistill.plan.teaching.signals import matches_kv, reads_answers, scores_answers
from kvdistill.plan.teaching.unread import drop_unread_teachers

TOKEN_RATIO = "tokens_per_student_token"
"""Of a teacher's YAML; for what a plan reckons with and for nothing that is computed."""


def count_step_flops(config: Config) -> int:
    """Operations of one optimiser step: the student's, and those of all its teachers."""
    config = drop_unread_teachers(config)
    budget = read_group("budget", config["budget"])
    load = flops.TokenLoad.nominal(global_batch(budget) * budget.seq_len, budget.seq_len)
    taught = sum(
        count_capture_flops(config, node, scale_load(load, node))
        for node in config["teachers"].values()
    )
    own = count_own_flops(config)
    return count_student_flops(config, load) + taught + own.student + own.teachers


def count_written_flops(config: Config) -> int:
    """Operations in which teachers write the answers that a run trains on; 0 where they are gold.

    All of them, once, however often training reads them: runs that train on the same ones share
    the work, and how many do is no property of a run.
    """
    seq_len = config["budget"]["seq_len"]
    writers = list_answering_teachers(config).values()
    load = flops.TokenLoad.nominal(count_texts(config) * seq_len if writers else 0, seq_len)
    return sum(
        flops.forward_flops(Geometry.from_node(node), scale_load(load, node)) for node in writers
    )


def scale_load(load: flops.TokenLoad, teacher: Mapping[str, Any]) -> flops.TokenLoad:
    """What a teacher reads of texts that are `load` to the student, as its YAML foretells.

    Tokenizers cut a text into other numbers of tokens, and a plan has no text to count: it takes
    the teacher's `tokens_per_student_token`, and 1 where none is stated.
    """
    ratio = teacher.get(TOKEN_RATIO) or 1.0
    return flops.TokenLoad(round(load.tokens * ratio), round(load.pairs * ratio**2))


class OwnTextFlops(NamedTuple):
    """What the student's own texts add to a step in the mean, to its own work and the teachers'."""

    student: int = 0
    teachers: int = 0
    """Below 0 where they are fewer than the texts that are read in the other steps."""
    writing: int = 0
    """Of `student`: to write them."""


def count_own_flops(config: Config) -> OwnTextFlops:
    """Of `on_policy`: in each n-th step own texts are written, trained on, and read by teachers.

    The student reads the given texts in that step as well; its teachers do not.
    """
    period = get_period(config)
    if not period:
        return OwnTextFlops()
    budget = read_group("budget", config["budget"])
    texts = count_own_texts(config) * budget.num_gpus * budget.grad_accum
    own = flops.TokenLoad.nominal(texts * budget.seq_len, budget.seq_len)
    given = flops.TokenLoad.nominal(global_batch(budget) * budget.seq_len, budget.seq_len)
    written = flops.forward_flops(Geometry.from_node(config["student"]), own)
    read, instead = count_training_flops(config, own), count_training_flops(config, given)
    trained = count_student_flops(config, own) + written
    return OwnTextFlops(trained // period, (read - instead) // period, written // period)


def count_student_flops(config: Config, load: flops.TokenLoad) -> int:
    """The student's forward and backward over a load, with what checkpointing computes again."""
    student = Geometry.from_node(config["student"])
    trained = flops.training_flops(student, load)
    if config["train"]["gradient_checkpointing"]:
        trained += flops.recomputation_flops(student, load)
    return trained


def count_token_flops(config: Config) -> dict[str, int]:
    """Operations that one token asks of the student and of each teacher that reads, as MFU has it.

    6 a weight of the student, its head among them (4 where its weights are frozen), and 2 a weight
    of a teacher as far as a step needs it (Kaplan et al. 2020, arXiv 2001.08361). Attention's own
    products are left out, and so is what checkpointing computes again. Of a teacher that a store
    speaks for its head alone computes, where logits are asked for.
    """
    one = flops.TokenLoad(1, 0)
    student = Geometry.from_node(config["student"])
    # Every adapter with a rank leaves the model's own weights frozen.
    frozen = config["adapter"].get("rank") is not None
    counts = {"student": flops.training_flops(student, one, frozen=frozen)}
    teachers = drop_unread_teachers(config)["teachers"]
    read = {name: count_read_flops(config, node, one) for name, node in teachers.items()}
    return counts | {name: count for name, count in read.items() if count}


def count_read_flops(config: Config, teacher: Mapping[str, Any], load: flops.TokenLoad) -> int:
    """Of a teacher's operations over a load those that a step itself does, without scores."""
    geometry, to_head = Geometry.from_node(teacher), reads_answers(config)
    if find_store_spec(config["source"]) is not None:
        return flops.head_flops(geometry, load.tokens) if scores_answers(config) else 0
    if to_head:
        return count_whole_flops(config, geometry, load)
    return flops.capture_flops(geometry, load, max(list_layers_read(config, teacher)))


def count_training_flops(config: Config, load: flops.TokenLoad) -> int:
    """Operations of all teachers over a load that training itself does: stores were paid for."""
    teachers = drop_unread_teachers(config)["teachers"].values()
    count = count_capture_flops if find_store_spec(config["source"]) is None else count_read_flops
    return sum(count(config, node, scale_load(load, node)) for node in teachers)


def count_capture_flops(config: Config, teacher: Mapping[str, Any], load: flops.TokenLoad) -> int:
    """A teacher's forward over a load as far as a step needs it, and its presses' scores."""
    if not reads_answers(config):
        return count_cache_flops(config, teacher, load)
    geometry = Geometry.from_node(teacher)
    scored = count_scored_layers(config, teacher, load) if matches_kv(config) else 0
    return count_whole_flops(config, geometry, load) + scored


def count_whole_flops(config: Config, teacher: Geometry, load: flops.TokenLoad) -> int:
    """A forward of a teacher that runs to its head, which may have nothing to do in a step."""
    count = flops.forward_flops if scores_answers(config) else flops.decoder_flops
    return count(teacher, load)


def count_cache_flops(config: Config, teacher: Mapping[str, Any], load: flops.TokenLoad) -> int:
    """A teacher's forward up to the deepest layer whose K and V are read, and its scores."""
    geometry, deepest = Geometry.from_node(teacher), max(list_layers_read(config, teacher))
    forward = flops.capture_flops(geometry, load, deepest)
    return forward + count_scored_layers(config, teacher, load)


def count_scored_layers(config: Config, teacher: Mapping[str, Any], load: flops.TokenLoad) -> int:
    """What a press's scores of all layers that are read take."""
    scored = count_score_flops(config["compression"], Geometry.from_node(teacher), load)
    return len(list_layers_read(config, teacher)) * scored


def list_layers_read(config: Config, teacher: Mapping[str, Any]) -> list[int]:
    """The teacher's layers whose K and V a step needs, from 0."""
    sources = pair_teacher_layers(config, teacher)
    return sorted({layer for source in sources for layer in source.teacher_layers})
