"""Builds one teacher's store: reads the student's texts once, in every style, and keeps the rows.

Texts of like length are read together and lie together, in the same batches whatever was done
before, so that a build that was killed continues to the same bytes.
"""

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from safetensors.torch import save_file
from torch import Tensor, nn

from kvdistill.config.build import build as build_node
from kvdistill.config.compose import Config
from kvdistill.data.batch import padded
from kvdistill.data.tokenise import Tokenised
from kvdistill.errors import ConfigError, UserError
from kvdistill.files import write_json
from kvdistill.kv.base import Kept, Wanted
from kvdistill.kv.online import Online
from kvdistill.kv.rotary import rotaries
from kvdistill.kv.shards import DTYPES, SHARD_BYTES, Coded, Ledger, Stored, signatures
from kvdistill.kv.store import FACTS, INDEX
from kvdistill.models import load
from kvdistill.records import SCHEMA_VERSION
from kvdistill.train import readings
from kvdistill.train.rooms import geometry, mapped

NAME = "only"
"""What plan/graph.py calls the one teacher of a store."""

BATCH_TOKENS = 2048
"""Tokens read at once, padding counted in."""


@dataclass(frozen=True)
class Read:
    """A text as the teacher reads it, and how many of its tokens compression will keep."""

    id: str
    tokens: Tokenised
    count: int

    @property
    def length(self) -> int:
        return len(self.tokens.ids)


def build(
    recipe: Mapping[str, Any],
    needs: Mapping[str, Path],
    folder: Path,
    progress: Callable[[int, int], None],
) -> dict[str, Any]:
    """Writes shards, then the index; returns how much the store holds.

    Raises UserError, before anything is written, where the disk has no room for it.
    """
    node, role = recipe["teachers"][NAME], f"teacher.{NAME}"
    spec: Stored = build_node("source.stored", recipe["source"]["stored"])
    config = {**recipe, "style": recipe["source"]["stored"]["style"]}
    wanted = Wanted(
        body=lambda: load.model(node, role, needs.get(role), body=True),
        sources=mapped(config, geometry(node)),
        press=build_node("compression", recipe["compression"]),
        rotary=False,
    )
    made = Build(wanted, spec, geometry(node).kv_width, geometry(node).kv_heads)
    ledger = Ledger(folder, readings.prints(config, NAME, needs, wanted.sources))
    shards = made.shards(list(made.texts(config, needs)))
    standing = [ledger.stands(number) for number in range(len(shards))]
    left = [texts for texts, stands in zip(shards, standing, strict=True) if not stands]
    check_room(folder, made, left)
    source, pad = Online(wanted), readings.tokeniser(node, role, needs).pad
    done = 0
    for number, texts in enumerate(shards):
        if not standing[number]:
            rows, tokens = made.gathered(source, texts, pad)
            ledger.add(number, Coded.of(rows, spec.dtype), tokens)
        done += len(texts)
        progress(done, sum(map(len, shards)))
    made.finish(folder, shards, source.body, ledger.prints)
    ledger.close()
    return {
        "texts": done,
        "kept_tokens": sum(text.count for texts in shards for text in texts),
        "teacher_tokens": sum(text.length for texts in shards for text in texts),
        "stored_bytes": sum(path.stat().st_size for path in folder.glob("*.safetensors")),
    }


@dataclass(frozen=True)
class Build:
    """What is stored of which layers."""

    wanted: Wanted
    spec: Stored
    width: int
    """Of one layer's keys over all heads."""
    heads: int

    @property
    def groups(self) -> list[tuple[list[int], list[int], tuple[int, int]]]:
        """(student layers, their teacher layers, columns) of each decision of compression."""
        sources = self.wanted.sources
        served = [sources] if self.wanted.press.alike else [[source] for source in sources]
        found, start = [], 0
        for group in served:
            layers = sorted({layer for source in group for layer in source.teachers})
            stop = start + 2 * self.width * len(layers)
            found.append(([source.student for source in group], layers, (start, stop)))
            start = stop
        return found

    @property
    def token_bytes(self) -> int:
        """What a kept token takes on disk: its row, and its position in each group."""
        columns = self.groups[-1][2][1]
        return columns * DTYPES[self.spec.dtype].itemsize + 4 * len(self.groups)

    def texts(self, config: Config, needs: Mapping[str, Path]) -> Iterator[Read]:
        """Every text of the stored parts, the short ones first."""
        for part in readings.STORED_PARTS:
            texts, _ = readings.texts(config, needs, part, None)
            reads = texts.read_by(NAME)
            lengths = torch.tensor([len(read.ids) for read in reads])
            mask = torch.arange(int(lengths.max())) < lengths[:, None]
            counts = self.wanted.press.budget(mask).tolist()
            for text, read, count in zip(texts.texts, reads, counts, strict=True):
                yield Read(text.id, read, count)

    def shards(self, texts: Sequence[Read]) -> list[list[Read]]:
        """The texts by length, cut where a shard is full."""
        shards: list[list[Read]] = []
        room = 0
        for text in sorted(texts, key=lambda text: (text.length, text.id)):
            size = text.count * self.token_bytes
            if not shards or size > room:
                shards.append([])
                room = SHARD_BYTES
            shards[-1].append(text)
            room -= size
        return shards

    def gathered(
        self, source: Online, texts: Sequence[Read], pad: int
    ) -> tuple[Float[Tensor, "kept columns"], Int[Tensor, "kept groups"]]:
        """A shard's rows, text after text, and their tokens' positions."""
        parts = []
        for batch in batches(texts):
            tokens = padded([text.tokens for text in batch], pad)
            kept = source.read(tokens, [text.id for text in batch])
            parts.append(
                tuple(torch.cat(column, dim=1) for column in zip(*map(left, kept), strict=True))
            )
            if len(parts[-1][0]) != sum(text.count for text in batch):
                raise UserError(
                    f"compression kept {len(parts[-1][0])} tokens of text {batch[0].id} and those "
                    f"read with it where its budget allows "
                    f"{sum(text.count for text in batch)}. Use source=online with this press."
                )
        rows, positions = (torch.cat(column) for column in zip(*parts, strict=True))
        return rows, positions

    def finish(
        self,
        folder: Path,
        shards: Sequence[Sequence[Read]],
        body: nn.Module,
        prints: Mapping[str, str],
    ) -> None:
        """Writes where each text lies, and what the store is made of."""
        texts = [text for shard in shards for text in shard]
        counts = [torch.tensor([text.count for text in shard]) for shard in shards]
        index = {
            "shard": torch.repeat_interleave(torch.tensor([len(shard) for shard in shards])),
            "start": torch.cat([count.cumsum(0) - count for count in counts]),
            "count": torch.cat(counts),
            "signature": torch.cat([signed(text) for text in texts]),
        }
        unturned = None
        try:
            turns = rotaries(body, self.wanted.layers).values()
            index["inv_freq"] = torch.stack([turn.inv_freq for turn in turns])
            index["attention_scaling"] = torch.tensor([turn.attention_scaling for turn in turns])
        except ConfigError as error:
            unturned = str(error)  # said to the first run that turns keys: only it needs them
        save_file(index, folder / INDEX)
        facts = {
            "schema_version": SCHEMA_VERSION,
            "prints": dict(prints),
            "heads": self.heads,
            "groups": [
                {"students": students, "layers": layers, "columns": list(columns)}
                for students, layers, columns in self.groups
            ],
            "unturned": unturned,
            "texts": [text.id for text in texts],
        }
        write_json(folder / FACTS, facts)


def left(kept: Kept) -> tuple[Float[Tensor, "kept columns"], Int[Tensor, "kept 1"]]:
    """The rows that compression left, text after text, and their tokens' positions."""
    there = kept.rows >= 0
    return kept.flat[kept.rows[there]], there.nonzero()[:, 1:]


def signed(text: Read) -> Int[Tensor, " 1"]:
    """What tells a text that is read otherwise."""
    ids = torch.from_numpy(text.tokens.ids)[None]
    return signatures(ids, torch.ones_like(ids, dtype=torch.bool))


def batches(texts: Sequence[Read]) -> Iterator[list[Read]]:
    """Texts in order, as many as fit when padded to the longest."""
    batch: list[Read] = []
    for text in texts:
        longest = max(text.length, *(other.length for other in batch)) if batch else text.length
        if batch and longest * (len(batch) + 1) > BATCH_TOKENS:
            yield batch
            batch = []
        batch.append(text)
    yield batch


def check_room(folder: Path, made: Build, texts: Sequence[Sequence[Read]]) -> None:
    """Raises UserError, with the numbers, where what is still to be written does not fit."""
    tokens = sum(text.count for shard in texts for text in shard)
    needed, free = tokens * made.token_bytes, shutil.disk_usage(folder).free
    if needed > free:
        raise UserError(
            f"{folder} needs {size(needed)} more, for {tokens:,} kept tokens of "
            f"{made.token_bytes:,} bytes in {made.spec.dtype}, but the disk has {size(free)} free. "
            f"Free some, or take source.stored.dtype=int8, a smaller compression.keep or fewer "
            f"layers."
        )


def size(count: int) -> str:
    """Bytes as they are spoken of."""
    return f"{count / 1e9:.2f} GB" if count >= 1e8 else f"{count / 1e6:.2f} MB"
