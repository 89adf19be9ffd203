"""Builds a teacher's store of the texts that a run trains and validates on.

It holds compressed K and V, or the last hidden states of answers.

In three steps: plan which text goes into which shard, write the shards that are missing, write the
index. Ranks share the missing shards between them. A build that is killed continues with the shards
that are missing, on any number of ranks, to the same bytes.
"""

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import nn

from kvdistill import distributed, layout
from kvdistill.compression.full import Full
from kvdistill.config.build import build_node
from kvdistill.config.check_models import WHOLE, read_placement
from kvdistill.data.collate import pad_tokens
from kvdistill.errors import ConfigError, UserError
from kvdistill.files import remove_parts
from kvdistill.geometry import Geometry
from kvdistill.kv.base import TeacherRequest
from kvdistill.kv.online import Online
from kvdistill.kv.shard_writer import is_whole_shard, read_shard_digests, write_shard
from kvdistill.kv.shards import Stored
from kvdistill.kv.store_index import StoreFacts, StoreIndex, hash_token_ids, stack_digests
from kvdistill.layers.from_config import pair_layers
from kvdistill.models import load
from kvdistill.models.attention.implementation import set_reading_attention
from kvdistill.plan import flops
from kvdistill.plan.graph import ONLY, STATES
from kvdistill.plan.identity import hash_science
from kvdistill.plan.matching.score_flops import count_score_flops
from kvdistill.train import inputs
from kvdistill.train.store_layout import (
    CacheLayout,
    StatesLayout,
    StoredText,
    StoreLayout,
    batch_texts,
)
from kvdistill.types import move_to_device


@dataclass(frozen=True)
class StorePlan:
    """What a store will hold."""

    layout: StoreLayout
    shards: Sequence[Sequence[StoredText]]
    """The texts of each shard, in the order of its rows."""
    fingerprints: Mapping[str, str]
    """What the store is made of, each identified by content."""
    pad: int
    """The teacher's padding token."""
    in_step: bool
    """Whether every rank must read whenever one does: the teacher lies on all of them in parts."""

    @property
    def made_of(self) -> str:
        """One hash of all fingerprints."""
        return hash_science(dict(self.fingerprints))

    @property
    def texts(self) -> list[StoredText]:
        """All texts, shard after shard."""
        return [text for shard in self.shards for text in shard]


def build_kv_store(
    recipe: Mapping[str, Any],
    needs: Mapping[str, Path],
    folder: Path,
    progress: Callable[[int, int], None],
) -> dict[str, Any]:
    """Writes shards, then the index; returns how much the store holds, on rank 0.

    Every rank calls this. Raises UserError, before anything is written, where the disk has no room.
    """
    plan = plan_store(recipe, needs)
    if distributed.is_rank_zero():
        remove_strangers(folder, len(plan.shards))
    missing = list_missing_shards(folder, plan)
    check_disk_space(folder, plan.layout, [plan.shards[number] for number in missing])
    # Loaded only now, once it is known that there is room.
    teacher = Online(plan.layout.request)
    write_missing_shards(folder, plan, missing, teacher, progress)
    if not distributed.is_rank_zero():
        return {}
    write_index(folder, plan, teacher)
    return {
        "texts": len(plan.texts),
        "kept_tokens": sum(text.count for text in plan.texts),
        "teacher_tokens": sum(text.length for text in plan.texts),
        "flops": count_store_flops(plan, recipe),
        "stored_bytes": sum(path.stat().st_size for path in folder.glob("*.safetensors")),
    }


def plan_store(recipe: Mapping[str, Any], needs: Mapping[str, Path]) -> StorePlan:
    """Reads and tokenises the texts, and divides them into shards; loads no weights."""
    node, role = recipe["teachers"][ONLY], f"teacher.{ONLY}"
    # The store's own style, which renders more texts of a row than one run may read.
    config = {**recipe, "style": recipe["source"]["stored"]["style"]}
    plan = plan_states if recipe.get("holds") == STATES else plan_cache
    layout, fingerprints = plan(config, needs)
    return StorePlan(
        layout=layout,
        shards=layout.divide_into_shards(list(layout.read_texts(config, needs))),
        fingerprints=fingerprints,
        pad=inputs.load_tokeniser(node, role, needs).pad_token_id,
        in_step=read_placement(node, f"teachers.{ONLY}").shard not in WHOLE,
    )


def plan_cache(
    config: Mapping[str, Any], needs: Mapping[str, Path]
) -> tuple[StoreLayout, dict[str, str]]:
    """(what is stored of K and V, what that is made of)."""
    node, role = config["teachers"][ONLY], f"teacher.{ONLY}"
    geometry = Geometry.from_node(node)
    layer_pairs = pair_layers(config, geometry)
    deepest = max(pair.high for pair in layer_pairs)
    request = TeacherRequest(
        load_body=lambda: choose_attention(
            load.load_body(node, role, needs.get(role), deepest), config
        ),
        layer_pairs=layer_pairs,
        compression=build_node("compression", config["compression"]),
        needs_rotary=False,
    )
    spec: Stored = build_node("source.stored", config["source"]["stored"])
    stored = CacheLayout(request, spec, geometry.kv_heads, geometry.kv_width)
    return stored, inputs.fingerprint_store(dict(config), ONLY, needs, layer_pairs)


def plan_states(
    config: Mapping[str, Any], needs: Mapping[str, Path]
) -> tuple[StoreLayout, dict[str, str]]:
    """(what is stored of the last states of answers, what that is made of)."""
    node, role = config["teachers"][ONLY], f"teacher.{ONLY}"
    geometry = Geometry.from_node(node)
    load_whole = cache(lambda: load.load_body_and_head(node, role, needs.get(role)))
    request = TeacherRequest(
        load_body=lambda: choose_attention(load_whole()[0], config),
        load_head=lambda: load_whole()[1],
        layer_pairs=[],
        compression=Full(),
        needs_rotary=False,
    )
    spec: Stored = build_node("source.stored", config["source"]["stored"])
    stored = StatesLayout(request, spec, geometry.kv_heads, geometry.hidden_size)
    return stored, inputs.fingerprint_states(dict(config), ONLY, needs)


def choose_attention(body: nn.Module, config: Mapping[str, Any]) -> nn.Module:
    """The teacher, which computes with the kernels that the plan's training does."""
    set_reading_attention(body, config.get("train", {}), f"teachers.{ONLY}")
    return body


def count_store_flops(plan: StorePlan, recipe: Mapping[str, Any]) -> int:
    """The teacher's forward over every text once, as far as it is kept, and a press's scores."""
    teacher = Geometry.from_node(recipe["teachers"][ONLY])
    lengths = [text.length for text in plan.texts]
    load = flops.TokenLoad(sum(lengths), sum(length * length for length in lengths))
    layers = plan.layout.request.teacher_layers
    if not layers:
        return flops.decoder_flops(teacher, load)
    scored = count_score_flops(recipe["compression"], teacher, load)
    return flops.capture_flops(teacher, load, max(layers)) + len(layers) * scored


def remove_strangers(folder: Path, count: int) -> None:
    """Removes temporary files, and shards beyond the `count` that the store will have."""
    remove_parts(folder)
    own = {layout.shard_path(folder, number) for number in range(count)}
    for shard in set(folder.glob(layout.SHARDS)) - own:
        shard.unlink()


def list_missing_shards(folder: Path, plan: StorePlan) -> list[int]:
    """The shards that are absent, spoilt or of another store; every rank must call this.

    Each rank reads its share of those that are there.
    """
    present = torch.zeros(len(plan.shards), dtype=torch.long)
    for number in distributed.select_own_share(range(len(plan.shards))):
        texts = [text.shard_text for text in plan.shards[number]]
        present[number] = is_whole_shard(folder, number, texts, plan.made_of)
    is_present = distributed.all_reduce_sum(present).tolist()
    return [number for number, there in enumerate(is_present) if not there]


def write_missing_shards(
    folder: Path,
    plan: StorePlan,
    missing: Sequence[int],
    teacher: Online,
    progress: Callable[[int, int], None],
) -> None:
    """Reads and writes this rank's share of the missing shards; returns once all ranks have.

    `progress` is told of this rank's texts.
    """
    # Shards are ordered by length.
    own = distributed.select_own_share(missing)
    total = sum(len(plan.shards[number]) for number in own)
    done = 0
    for number in own:
        texts = plan.shards[number]
        rows, positions = plan.layout.read_shard(teacher, texts, plan.pad)
        quantised = plan.layout.quantise_rows(rows)
        write_shard(
            folder,
            number,
            move_to_device(quantised, "cpu"),
            positions.cpu(),
            [text.shard_text for text in texts],
            plan.made_of,
        )
        done += len(texts)
        progress(done, total)
    reads = sum(len(list(batch_texts(plan.shards[number]))) for number in own)
    # Also where no rank waits for another's reads: nobody goes on before all have written.
    most = max(distributed.gather_count(reads))
    if plan.in_step:
        accompany_reads(plan, teacher, most - reads)


def accompany_reads(plan: StorePlan, teacher: Online, count: int) -> None:
    """Reads the shortest text so often: a teacher in parts is whole only while all ranks read."""
    text = plan.shards[0][0]
    tokens = pad_tokens([text.tokens], plan.pad)
    for _ in range(count):
        teacher.run_body(tokens)


def check_disk_space(
    folder: Path, layout: StoreLayout, shards: Sequence[Sequence[StoredText]]
) -> None:
    """Raises UserError where the shards that are still to be written do not fit on the disk."""
    tokens = sum(text.count for shard in shards for text in shard)
    needed, free = tokens * layout.token_bytes, shutil.disk_usage(folder).free
    if needed > free:
        raise UserError(
            f"{folder} needs {format_decimal_bytes(needed)} more, for {tokens:,} kept tokens of "
            f"{layout.token_bytes:,} bytes in {layout.dtype}, but the disk has "
            f"{format_decimal_bytes(free)} free. "
            f"Free some, or take source.stored.dtype=int8, a smaller compression.keep or fewer "
            f"layers."
        )


def format_decimal_bytes(count: int) -> str:
    """Bytes in GB, or in MB below 0.1 GB: powers of ten, as disks are sold."""
    return f"{count / 1e9:.2f} GB" if count >= 1e8 else f"{count / 1e6:.2f} MB"


def write_index(folder: Path, plan: StorePlan, teacher: Online) -> None:
    """Writes where each text lies, and what the store is made of."""
    counts = [torch.tensor([text.count for text in shard]) for shard in plan.shards]
    digests = [read_shard_digests(folder, number) for number in range(len(plan.shards))]
    rotaries, refusal = read_rotaries(teacher)
    StoreIndex(
        shard=torch.repeat_interleave(torch.tensor([len(shard) for shard in plan.shards])),
        start=torch.cat([count.cumsum(0) - count for count in counts]),
        count=torch.cat(counts),
        signature=torch.cat([hash_token_ids(*text.token_row) for text in plan.texts]),
        text_digest=stack_digests([each for _, texts in digests for each in texts]),
        shard_digest=stack_digests([own for own, _ in digests]),
        **rotaries,
    ).write(folder)
    StoreFacts(
        fingerprints=dict(plan.fingerprints),
        heads=plan.layout.kv_heads,
        groups=plan.layout.layer_groups,
        rotary_refusal=refusal,
        texts=[text.id for text in plan.texts],
    ).write(folder)


def read_rotaries(teacher: Online) -> tuple[dict[str, torch.Tensor], str | None]:
    """(the fields of the index that hold the rotaries of captured layers, why there are none)."""
    if teacher.capture is None:
        return {}, None
    try:
        read = teacher.capture.read_rotaries().values()
    except ConfigError as error:
        # Kept for the first run whose position turns keys: the others need no rotary.
        return {}, str(error)
    scalings = [rotary.attention_scaling for rotary in read]
    return {
        "inv_freq": torch.stack([rotary.inv_freq for rotary in read]),
        "attention_scaling": torch.tensor(scalings),
    }, None
