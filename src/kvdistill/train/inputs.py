"""Models and texts of a run, opened from its config and the artefacts it needs."""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kvdistill import layout
from kvdistill.alignment.base import Alignment
from kvdistill.config.build import build_node, resolve_target
from kvdistill.config.compose import Config
from kvdistill.config.schema import Budget
from kvdistill.data import split
from kvdistill.data.collate import Collator, TextDataset
from kvdistill.data.packing import Packing
from kvdistill.data.prompt_style import RenderedText, Style
from kvdistill.data.rows.teacher_answers import describe_answers, read_answer_file, render_answers
from kvdistill.data.sampler import select_evenly
from kvdistill.data.tokenise import Tokeniser
from kvdistill.files import read_json
from kvdistill.hash_record import describe_state
from kvdistill.kv.base import TeacherKV, TeacherRequest
from kvdistill.kv.online import Online
from kvdistill.layers.base import LayerPair
from kvdistill.logits.objective import LogitObjective
from kvdistill.logits.vocabulary import TokenTable
from kvdistill.models import load
from kvdistill.models.answer_head import AnswerHead
from kvdistill.models.attention.check_packing import check_packed_forward
from kvdistill.models.attention.implementation import set_attention
from kvdistill.plan import identity
from kvdistill.plan.graph import find_store_spec, list_models
from kvdistill.plan.identity import hash_science
from kvdistill.plan.teaching.signals import reads_answers
from kvdistill.status import enter_phase
from kvdistill.train.objective import TeacherPipeline
from kvdistill.train.speed.step_clock import StepClock

log = logging.getLogger(__name__)

TOKENIZER_FILE = "tokenizer.json"
STORED_PARTS = ("train_student", "val")
"""Parts of the split that a store holds: what is trained on, and what is validated on."""

Needs = Mapping[str, Path]
"""Role -> folder of the artefact that a job reads."""


def load_tokeniser(node: Mapping[str, Any], role: str, needs: Needs) -> Tokeniser:
    """The tokenizer of the model in that role: one object for whoever asks for it again.

    A run asks for each of its models' four times and more, and a vocabulary of 150,000 tokens
    takes a second to read.
    """
    folder = needs.get(role)
    place = folder / layout.MODEL if folder else (node.get("pretrained") or {}).get("path")
    file = None if place is None else Path(place).resolve() / TOKENIZER_FILE
    state = describe_state(file.stat()) if file is not None and file.is_file() else ()
    return _read_tokeniser(json.dumps(node, default=str), role, folder, (file, *state))


@lru_cache(maxsize=16)
def _read_tokeniser(node: str, role: str, folder: Path | None, _: tuple[object, ...]) -> Tokeniser:
    """The same, read. The last argument tells a file from what stood in its place before."""
    return Tokeniser(load.load_tokenizer(json.loads(node), role, folder), role)


def read_texts(
    config: Config,
    needs: Needs,
    part: str,
    alignment: Alignment | None,
    max_texts: int | None = None,
) -> tuple[TextDataset, Collator]:
    """A part of the split as the student and the teachers read it, and what batches it.

    `max_texts` evenly spaced texts of it; None for all. `alignment` is None where no links are
    made. Raises ConfigError where more of the texts than `budget.max_unanswered` lose their answer.
    """
    own = load_tokeniser(config["student"], "student", needs)
    # Models with equal tokenizers share one object: `TextDataset` tokenises once an object.
    by_hash = {hash_tokeniser(own): own}
    teachers = {}
    for name, node in config["teachers"].items():
        tokeniser = load_tokeniser(node, f"teacher.{name}", needs)
        teachers[name] = by_hash.setdefault(hash_tokeniser(tokeniser), tokeniser)
    rendered = render_part(config, needs, part, own.tokenizer)
    if max_texts is not None:
        rendered = [rendered[row] for row in select_evenly(len(rendered), max_texts)]
    seq_len = config["budget"]["seq_len"]
    # A plan that was frozen before there was such a bound has the default one.
    largest_share = config["budget"].get("max_unanswered", Budget.max_unanswered)
    with enter_phase(f"tokenising {len(rendered):,} texts of {part}"):
        dataset = TextDataset(rendered, own, teachers, alignment, seq_len, reads_chunks(config))
        dataset.measure_truncation().check_unanswered(part, seq_len, largest_share)
    pad_ids = {name: each.pad_token_id for name, each in teachers.items()}
    return dataset, Collator(own.pad_token_id, pad_ids)


def reads_chunks(config: Config) -> bool:
    """Whether distributions over several vocabularies are compared, over chunks of text."""
    # Calibrations have no logits, nor have plans that were frozen before there were any.
    logits = config.get("logits")
    if logits is None or not logits["weight"]:
        return False
    return not resolve_target("logits.vocabulary", logits["vocabulary"]).shared


def make_logit_objective(config: Config, needs: Needs) -> LogitObjective | None:
    """What compares next-token distributions; None where `logits.weight` is 0."""
    if not (config.get("logits") or {}).get("weight"):
        return None
    student, *teachers = [
        TokenTable.from_tokeniser(load_tokeniser(node, role, needs))
        for role, node in list_models(config)
    ]
    return LogitObjective.from_config(
        config, student, dict(zip(config["teachers"], teachers, strict=True))
    )


def render_part(
    config: Config, needs: Needs, part: str, tokenizer: PreTrainedTokenizerBase
) -> list[RenderedText]:
    """The texts of a part; of the student's half with the teachers' answers, where they are read.

    `tokenizer` is the student's.
    """
    style: Style = build_node("style", config["style"])
    records = split.read_split(needs["split"]).parts()[part]
    folders = select_answers(needs) if part == "train_student" else {}
    if not folders:
        return [text for record in records for text in style.render(record, tokenizer)]
    answers = {role: read_answer_file(folder) for role, folder in folders.items()}
    choice = config["data"]["answers"]
    log.info("data.answers=%s: %s", choice, describe_answers(answers, choice))
    return render_answers(records, style, tokenizer, answers, choice)


def select_answers(needs: Needs) -> dict[str, Path]:
    """Of what a job reads, the teachers' answers: role -> folder, in the teachers' order."""
    return {
        name.removeprefix("answers."): path
        for name, path in needs.items()
        if name.startswith("answers.")
    }


def make_packing(config: Config) -> Packing | None:
    """How texts of a micro-batch share rows, by `train.packing`; None where each has its own."""
    train = config["train"]
    # A plan that was frozen before there was packing has none.
    if not train.get("packing", False):
        return None
    return Packing(one_row=str(train.get("attn_implementation")).startswith("flash"))


def load_student(config: Config, needs: Needs) -> PreTrainedModel:
    """The raw student, with its head."""
    return load.load_model(config["student"], "student", needs.get("student"))


def build_teacher_kv(
    config: Config, name: str, needs: Needs, pipeline: TeacherPipeline, clock: StepClock
) -> TeacherKV:
    """The source of that teacher's K and V, as the group `source` chooses it.

    `clock` counts what it reads as `teachers`.
    """
    request = replace(
        make_teacher_request(config, name, needs, pipeline, make_packing(config)),
        time_reading=lambda: clock.time_part("teachers"),
    )
    teacher_kv: TeacherKV = build_node("source", config["source"], request=request)
    return teacher_kv


def build_online_teacher(
    config: Config, name: str, needs: Needs, pipeline: TeacherPipeline
) -> TeacherKV:
    """The teacher itself, whatever the source: what calibration reads."""
    return Online(make_teacher_request(config, name, needs, pipeline))


def make_teacher_request(
    config: Config,
    name: str,
    needs: Needs,
    pipeline: TeacherPipeline,
    packing: Packing | None = None,
) -> TeacherRequest:
    """What every source is built from; loads no weights yet.

    With `packing` a body that mixes texts up which share a row is refused once it is loaded.
    """
    node, role = config["teachers"][name], f"teacher.{name}"
    store_folder = needs.get(f"kv.{name}")
    answers_folder = needs.get(f"states.{name}")
    to_head = reads_answers(config)
    fingerprints, answers_fingerprints = {}, {}
    if store_folder is not None:
        fingerprints = fingerprint_store(config, name, needs, pipeline.layer_pairs)
    if answers_folder is not None:
        answers_fingerprints = fingerprint_states(config, name, needs)

    @cache
    def load_whole() -> tuple[nn.Module, AnswerHead]:
        return load.load_body_and_head(node, role, needs.get(role))

    def load_head() -> AnswerHead:
        # Where states are stored nothing but the head is read.
        stored = answers_folder is not None
        return load.load_head(node, role, needs.get(role)) if stored else load_whole()[1]

    def load_body() -> nn.Module:
        if to_head:
            body = load_whole()[0]
        else:
            # Teacher layers above the deepest one that is read are never loaded.
            deepest = max(pair.high for pair in pipeline.layer_pairs)
            body = load.load_body(node, role, needs.get(role), deepest)
        # A plan that was frozen before there was a choice has none.
        set_attention(body, config["train"].get("attn_implementation"), f"teachers.{name}")
        if packing is not None:
            check_packed_forward(body, f"teachers.{name}", packing)
        return body

    return TeacherRequest(
        load_body=load_body,
        layer_pairs=pipeline.layer_pairs,
        compression=pipeline.compression,
        needs_rotary=pipeline.position.needs_rotary,
        load_head=load_head if to_head else None,
        store_folder=store_folder,
        fingerprints=fingerprints,
        answers_folder=answers_folder,
        answers_fingerprints=answers_fingerprints,
    )


def fingerprint_store(
    config: Config, name: str, needs: Needs, layer_pairs: Sequence[LayerPair]
) -> dict[str, str]:
    """What a teacher's store is made of, each identified by content.

    A store with other values is another store; the names stand in store.json and in errors.
    """
    spec = find_store_spec(config["source"])
    assert spec is not None
    return fingerprint_reading(config, name, needs) | {
        "layers": hash_science([[p.student_layer, p.low, p.high, p.weight] for p in layer_pairs]),
        "compression": hash_science(identity.compression_science(config)),
        "dtype": str(spec["dtype"]),
    }


def fingerprint_states(config: Config, name: str, needs: Needs) -> dict[str, str]:
    """The same of a store of the last states of answers, which depends on no layer."""
    spec = find_store_spec(config["source"])
    assert spec is not None
    return fingerprint_reading(config, name, needs) | {"states": str(spec["states"])}


def fingerprint_reading(config: Config, name: str, needs: Needs) -> dict[str, str]:
    """What any store of a teacher is made of: its weights, and the texts as it reads them."""
    node, role = config["teachers"][name], f"teacher.{name}"
    # Of a model that is not built here the node identifies the weights: a commit, or a content
    # hash, also where a conversion of its GGUF file is what is read.
    built = role in needs and "build" in node
    files = read_json(needs[role] / layout.MANIFEST)["files"] if built else {}
    split_files = read_json(needs["split"] / layout.MANIFEST)["files"]
    spec = find_store_spec(config["source"])
    assert spec is not None
    text_inputs = {
        # Of the split the stored parts alone: the others may change under the same store.
        "split": {part: split_files[f"{part}.jsonl"] for part in STORED_PARTS},
        "style": identity.leave_out_defaults(spec["style"], "style."),
        "seq_len": config["budget"]["seq_len"],
        "student": hash_tokeniser(load_tokeniser(config["student"], "student", needs)),
    }
    return {
        "weights": hash_science({"recipe": identity.model_science(node), "files": files}),
        "tokenizer": hash_tokeniser(load_tokeniser(node, role, needs)),
        "texts": hash_science(text_inputs),
        "code version": " ".join(
            [str(identity.CAPTURE_VERSION), *map(str, identity.half_science([node]).values())]
        ),
    }


@lru_cache(maxsize=16)
def hash_tokeniser(tokeniser: Tokeniser) -> str:
    """Content hash of a tokenizer, its end-of-text token and what it puts before a text."""
    science = {
        "tokenizer": tokeniser.tokenizer.backend_tokenizer.to_str(),
        "eos": tokeniser.eos_token_id,
    }
    # Left out where there is nothing: those read texts as they always did.
    begin = {"begin": tokeniser.begin_ids} if tokeniser.begin_ids else {}
    return hash_science(science | begin)
