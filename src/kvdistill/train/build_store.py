"""Builds a teacher's store: its compressed K and V of the texts that a run trains and validates on.

In three steps: plan which text goes into which shard, write the shards that are missing, write the
index. A build that is killed continues with the first shard that is missing, to the same bytes.
"""

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Int
from safetensors.torch import save_file
from torch import Tensor

from kvdistill import distributed
from kvdistill.config.build import build_node
from kvdistill.errors import ConfigError, UserError
from kvdistill.files import write_json
from kvdistill.geometry import Geometry
from kvdistill.kv.base import TeacherRequest
from kvdistill.kv.online import Online
from kvdistill.kv.shards import QuantisedRows, ShardIndex, Stored, hash_token_ids
from kvdistill.kv.store import INDEX_FILE, STORE_FILE
from kvdistill.layers.from_config import pair_layers
from kvdistill.models import load
from kvdistill.plan import flops
from kvdistill.plan.graph import ONLY
from kvdistill.plan.matching.score_flops import count_score_flops
from kvdistill.records import SCHEMA_VERSION
from kvdistill.train import inputs
from kvdistill.train.store_layout import StoredText, StoreLayout


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

    Where the teacher is sharded every rank calls this and reads the same batches; rank 0 writes.
    Raises UserError, before anything is written, where the disk has no room for it.
    """
    plan = plan_store(recipe, needs)
    shard_index = ShardIndex(folder, plan.fingerprints) if distributed.is_rank_zero() else None
    present = find_present_shards(shard_index, len(plan.shards))
    if shard_index is not None:
        missing = [plan.shards[number] for number, is_there in enumerate(present) if not is_there]
        check_disk_space(folder, plan.layout, missing)
    # Loaded only now, once it is known that there is room.
    teacher = Online(plan.layout.request)
    write_missing_shards(plan, present, teacher, shard_index, progress)
    if shard_index is None:
        return {}
    write_index(folder, plan, teacher)
    # Last: until then a killed build starts from the shards that the index names.
    shard_index.delete()
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
    geometry = Geometry.from_node(node)
    layer_pairs = pair_layers(config, geometry)
    deepest = max(pair.high for pair in layer_pairs)
    request = TeacherRequest(
        load_body=lambda: load.load_body(node, role, needs.get(role), deepest),
        layer_pairs=layer_pairs,
        compression=build_node("compression", recipe["compression"]),
        needs_rotary=False,
    )
    spec: Stored = build_node("source.stored", recipe["source"]["stored"])
    layout = StoreLayout(request, spec, geometry.kv_width, geometry.kv_heads)
    return StorePlan(
        layout=layout,
        shards=layout.divide_into_shards(list(layout.read_texts(config, needs))),
        fingerprints=inputs.fingerprint_store(config, ONLY, needs, layer_pairs),
        pad=inputs.load_tokeniser(node, role, needs).pad_token_id,
    )


def count_store_flops(plan: StorePlan, recipe: Mapping[str, Any]) -> int:
    """The teacher's forward over every text once, up to the deepest layer kept, and its scores."""
    teacher = Geometry.from_node(recipe["teachers"][ONLY])
    lengths = [text.length for text in plan.texts]
    load = flops.TokenLoad(sum(lengths), sum(length * length for length in lengths))
    layers = plan.layout.request.teacher_layers
    scored = count_score_flops(recipe["compression"], teacher, load)
    return flops.capture_flops(teacher, load, max(layers)) + len(layers) * scored


def find_present_shards(shard_index: ShardIndex | None, count: int) -> list[bool]:
    """Whether each shard is written; `shard_index` is rank 0's, and every rank must call this."""
    present = [shard_index is not None and shard_index.has_shard(n) for n in range(count)]
    # Ranks must skip the same shards, or one would wait for a forward pass that no other makes.
    return distributed.all_reduce_sum(torch.tensor(present, dtype=torch.long)).bool().tolist()


def write_missing_shards(
    plan: StorePlan,
    present: Sequence[bool],
    teacher: Online,
    shard_index: ShardIndex | None,
    progress: Callable[[int, int], None],
) -> None:
    """Reads the texts of the missing shards, and writes them where there is a `shard_index`."""
    done, total = 0, len(plan.texts)
    for number, texts in enumerate(plan.shards):
        if not present[number]:
            rows, positions = plan.layout.read_shard(teacher, texts, plan.pad)
            if shard_index is not None:
                quantised = QuantisedRows.quantise(rows, plan.layout.spec.dtype)
                shard_index.add_shard(number, quantised, positions)
        done += len(texts)
        progress(done, total)


def check_disk_space(
    folder: Path, layout: StoreLayout, shards: Sequence[Sequence[StoredText]]
) -> None:
    """Raises UserError where the shards that are still to be written do not fit on the disk."""
    tokens = sum(text.count for shard in shards for text in shard)
    needed, free = tokens * layout.token_bytes, shutil.disk_usage(folder).free
    if needed > free:
        raise UserError(
            f"{folder} needs {format_decimal_bytes(needed)} more, for {tokens:,} kept tokens of "
            f"{layout.token_bytes:,} bytes in {layout.spec.dtype}, but the disk has "
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
    index = {
        "shard": torch.repeat_interleave(torch.tensor([len(shard) for shard in plan.shards])),
        "start": torch.cat([count.cumsum(0) - count for count in counts]),
        "count": torch.cat(counts),
        "signature": torch.cat([hash_text(text) for text in plan.texts]),
    }
    refusal = None
    try:
        rotaries = teacher.capture.read_rotaries().values()
        index["inv_freq"] = torch.stack([rotary.inv_freq for rotary in rotaries])
        index["attention_scaling"] = torch.tensor([rotary.attention_scaling for rotary in rotaries])
    except ConfigError as error:
        # Kept for the first run whose position turns keys: the others need no rotary.
        refusal = str(error)
    save_file(index, folder / INDEX_FILE)
    facts = {
        "schema_version": SCHEMA_VERSION,
        "prints": dict(plan.fingerprints),
        "heads": plan.layout.kv_heads,
        "groups": [group.to_json() for group in plan.layout.layer_groups],
        "unturned": refusal,
        "texts": [text.id for text in plan.texts],
    }
    write_json(folder / STORE_FILE, facts)


def hash_text(text: StoredText) -> Int[Tensor, " 1"]:
    """Hash of a text's token ids, by which a run notices that it reads the text otherwise."""
    ids = torch.from_numpy(text.tokens.ids)[None]
    return hash_token_ids(ids, torch.ones_like(ids, dtype=torch.bool))
