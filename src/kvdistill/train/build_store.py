"""Builds one teacher's store: the student's texts are read once, in every style."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Int
from safetensors.torch import save_file
from torch import Tensor, nn

from kvdistill import distributed
from kvdistill.config.build import build_node as build_node
from kvdistill.errors import ConfigError, UserError
from kvdistill.files import write_json
from kvdistill.geometry import Geometry
from kvdistill.kv.base import TeacherRequest
from kvdistill.kv.online import Online
from kvdistill.kv.rotary import read_rotaries
from kvdistill.kv.shards import QuantisedRows, ShardIndex, Stored, hash_token_ids
from kvdistill.kv.store import INDEX_FILE, STORE_FILE
from kvdistill.layers.from_config import pair_layers
from kvdistill.models import load
from kvdistill.plan.graph import ONLY
from kvdistill.records import SCHEMA_VERSION
from kvdistill.train import inputs
from kvdistill.train.store_layout import StoredText, StoreLayout


def build_kv_store(
    recipe: Mapping[str, Any],
    needs: Mapping[str, Path],
    folder: Path,
    progress: Callable[[int, int], None],
) -> dict[str, Any]:
    """Writes shards, then the index; returns how much the store holds.

    Where the teacher is sharded every rank calls this and reads the same batches; rank 0 writes.
    Raises UserError, before anything is written, where the disk has no room for it.
    """
    node, role = recipe["teachers"][ONLY], f"teacher.{ONLY}"
    spec: Stored = build_node("source.stored", recipe["source"]["stored"])
    config = {**recipe, "style": recipe["source"]["stored"]["style"]}
    layer_pairs = pair_layers(config, Geometry.from_node(node))
    request = TeacherRequest(
        load_body=lambda: load.load_body(
            node, role, needs.get(role), max(s.high for s in layer_pairs)
        ),
        layer_pairs=layer_pairs,
        compression=build_node("compression", recipe["compression"]),
        needs_rotary=False,
    )
    layout = StoreLayout(
        request, spec, Geometry.from_node(node).kv_width, Geometry.from_node(node).kv_heads
    )
    fingerprints = inputs.fingerprint_store(config, ONLY, needs, request.layer_pairs)
    shard_index = ShardIndex(folder, fingerprints) if distributed.is_rank_zero() else None
    shards = layout.divide_into_shards(list(layout.read_texts(config, needs)))
    stands = [
        shard_index is not None and shard_index.has_shard(number) for number in range(len(shards))
    ]
    standing = distributed.all_reduce_sum(torch.tensor(stands, dtype=torch.long)).bool().tolist()
    left = [texts for texts, stands in zip(shards, standing, strict=True) if not stands]
    if shard_index is not None:
        check_disk_space(folder, layout, left)
    source, pad = Online(request), inputs.load_tokeniser(node, role, needs).pad
    done = 0
    for number, texts in enumerate(shards):
        if not standing[number]:
            rows, tokens = layout.read_shard(source, texts, pad)
            if shard_index is not None:
                shard_index.add_shard(number, QuantisedRows.quantise(rows, spec.dtype), tokens)
        done += len(texts)
        progress(done, sum(map(len, shards)))
    if shard_index is None:
        return {}
    write_index(folder, layout, shards, source.body, fingerprints)
    shard_index.delete()
    return {
        "texts": done,
        "kept_tokens": sum(text.count for texts in shards for text in texts),
        "teacher_tokens": sum(text.length for texts in shards for text in texts),
        "stored_bytes": sum(path.stat().st_size for path in folder.glob("*.safetensors")),
    }


def check_disk_space(
    folder: Path, layout: StoreLayout, texts: Sequence[Sequence[StoredText]]
) -> None:
    """Raises UserError, with the numbers, where what is still to be written does not fit."""
    tokens = sum(text.count for shard in texts for text in shard)
    needed, free = tokens * layout.token_bytes, shutil.disk_usage(folder).free
    if needed > free:
        raise UserError(
            f"{folder} needs {format_decimal_bytes(needed)} more, for {tokens:,} kept tokens of "
            f"{layout.token_bytes:,} bytes in {layout.spec.dtype}, but the disk has {format_decimal_bytes(free)} free. "
            f"Free some, or take source.stored.dtype=int8, a smaller compression.keep or fewer "
            f"layers."
        )


def format_decimal_bytes(count: int) -> str:
    """Bytes as they are spoken of."""
    return f"{count / 1e9:.2f} GB" if count >= 1e8 else f"{count / 1e6:.2f} MB"


def write_index(
    folder: Path,
    layout: StoreLayout,
    shards: Sequence[Sequence[StoredText]],
    body: nn.Module,
    fingerprints: Mapping[str, str],
) -> None:
    """Writes where each text lies, and what the store is made of."""
    texts = [text for shard in shards for text in shard]
    counts = [torch.tensor([text.count for text in shard]) for shard in shards]
    index = {
        "shard": torch.repeat_interleave(torch.tensor([len(shard) for shard in shards])),
        "start": torch.cat([count.cumsum(0) - count for count in counts]),
        "count": torch.cat(counts),
        "signature": torch.cat([hash_text(text) for text in texts]),
    }
    no_rotary = None
    try:
        rotaries = read_rotaries(body, layout.request.teacher_layers).values()
        index["inv_freq"] = torch.stack([turn.inv_freq for turn in rotaries])
        index["attention_scaling"] = torch.tensor([turn.attention_scaling for turn in rotaries])
    except ConfigError as error:
        no_rotary = str(error)  # said to the first run that turns keys: only it needs them
    save_file(index, folder / INDEX_FILE)
    facts = {
        "schema_version": SCHEMA_VERSION,
        "prints": dict(fingerprints),
        "heads": layout.kv_heads,
        "groups": [
            {"students": students, "layers": layers, "columns": list(columns)}
            for students, layers, columns in layout.list_layer_groups
        ],
        "unturned": no_rotary,
        "texts": [text.id for text in texts],
    }
    write_json(folder / STORE_FILE, facts)


def hash_text(text: StoredText) -> Int[Tensor, " 1"]:
    """What tells a text that is read otherwise."""
    ids = torch.from_numpy(text.tokens.ids)[None]
    return hash_token_ids(ids, torch.ones_like(ids, dtype=torch.bool))
