"""What every case of the bench reads: texts, tokenizers and a split, laid out once below a folder.

Texts are made of the questions and answers of the platform's own generator, several to a text, in
two sets: of `full` each is longer than a text may be, and lengths of `mixed` are spread as those of
GSM8K and MATH are: in a batch of 32 that is padded to its longest, a third is real.
"""

import json
import math
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra

from kvdistill import layout
from kvdistill.config.compose import compose
from kvdistill.config.schema import lookup_path
from kvdistill.data.sources.nano import Nano
from kvdistill.models.nano_tokenizer import train_tokenizer
from kvdistill.plan.frozen_recipe import write_recipe
from kvdistill.plan.graph import list_artifacts

CONF = Path(__file__).parents[3] / "conf"
TEXTS = ("full", "mixed")
TOKENS_A_RECORD = 21.5
"""Fewer than a question and its answer have, so that texts of `full` are cut."""
MEDIAN, SPREAD = 0.15, 0.8
"""Of the lengths of `mixed`, in the longest that a text may have; their logarithm is normal."""
TOKENIZERS = {"qwen2": (1024, 1), "llama": (768, 3)}
"""Family -> (tokens, digits that a token may pack): two that read a text otherwise."""


@dataclass(frozen=True)
class Size:
    """How large and how long everything is."""

    tiny: bool
    batch_size: int
    seq_len: int
    texts: int
    """In the split, of which four fifths are trained on."""
    warm: int
    """Steps that are not counted; after as many the platform writes a line of its curves."""
    steps: int
    """Steps that are: a multiple."""

    @property
    def records(self) -> int:
        """Records in a text that is longer than it may be."""
        return math.ceil(self.seq_len / TOKENS_A_RECORD)

    @property
    def last_step(self) -> int:
        """The step at which a training is over, for what the platform writes after the others."""
        return self.warm + self.steps + 1


TRUE = Size(tiny=False, batch_size=32, seq_len=512, texts=160, warm=4, steps=8)
TINY = Size(tiny=True, batch_size=4, seq_len=64, texts=40, warm=1, steps=2)


def lay_out(root: Path, size: Size) -> None:
    """Writes texts and tokenizers below `root`, and builds the splits."""
    rng = Random(0)
    counts = {
        "full": [size.records] * size.texts,
        "mixed": [draw_record_count(rng, size.records) for _ in range(size.texts)],
    }
    written = [text for name in TEXTS for text in write_rows(root, name, counts[name])]
    for family, (tokens, digits) in TOKENIZERS.items():
        train_tokenizer(written, tokens, digits).save_pretrained(root / family)
    for name in TEXTS:
        build_split(root, compose_case(root, size, name, ("arm=sft",)))


def draw_record_count(rng: Random, most: int) -> int:
    """Records of one text of `mixed`."""
    return min(max(round(MEDIAN * most * rng.lognormvariate(0, SPREAD)), 1), most)


def write_rows(root: Path, name: str, counts: Sequence[int]) -> list[str]:
    """root/NAME.jsonl, a row for each count of records; the texts."""
    records = Nano(rows=-(-sum(counts) // 7), seed=1 + TEXTS.index(name)).records()
    Random(0).shuffle(records)
    texts = []
    with (root / f"{name}.jsonl").open("w", encoding="utf-8") as file:
        for number, count in enumerate(counts):
            some = [records.pop() for _ in range(count)]
            asked = max(count * 2 // 5, 1)  # of the text, two fifths are a question
            question = " ".join([f"{number}.", *(r.question for r in some[:asked])])
            worked = " ".join(f"{r.question} {r.rationale}" for r in some[asked:] or some)
            row = {"question": question, "rationale": worked, "answer": str(some[0].answer)}
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
            texts.append(f"{question} {worked}")
    return texts


def build_split(root: Path, config: Mapping[str, Any]) -> Path:
    """The split of a config, built below `root` by the platform's own job if it is missing."""
    from kvdistill.files import is_complete
    from kvdistill.jobs import __main__ as job

    _, node = next(each for each in list_artifacts(config) if each[0] == "split")
    folder = root / "artifacts" / node.name
    folder.mkdir(parents=True, exist_ok=True)
    if not is_complete(folder):
        write_recipe(node, folder)
        if job.main(folder):
            raise RuntimeError((folder / layout.STATUS).read_text(encoding="utf-8"))
    return folder


def compose_overrides(overrides: Sequence[str]) -> dict[str, Any]:
    """The paper's config with these overrides."""
    # A test has Hydra's folder open already.
    is_open = GlobalHydra.instance().is_initialized()
    with nullcontext() if is_open else initialize_config_dir(str(CONF), version_base="1.3"):
        return compose(["scale=paper", "style=cot", *overrides])


def list_unknown(settings: Sequence[str]) -> list[str]:
    """Of these settings the ones that this version of the platform does not have."""
    config = compose_overrides(())
    return [s for s in settings if not has_path(config, s.partition("=")[0])]


def has_path(config: Mapping[str, Any], path: str) -> bool:
    """Whether a setting stands in the config."""
    try:
        lookup_path(config, path)
    except (KeyError, TypeError):
        return False
    return True


def compose_case(root: Path, size: Size, texts: str, overrides: Sequence[str]) -> dict[str, Any]:
    """The config of a case: the paper's, on the bench's texts, for one GPU that holds all of it."""
    fields = (
        "data=jsonl", f"data.source.path={root}/{texts}.jsonl", "data.split.ratios=[0.8,0.1,0.1]",
        "data.split.teacher_separate=false", f"budget.batch_size={size.batch_size}",
        f"budget.seq_len={size.seq_len}", "budget.num_gpus=1", "budget.max_unanswered=1.0",
        f"budget.total_tokens={size.last_step * size.batch_size * size.seq_len}",
        f"train.logging_steps={size.warm}", "train.eval_steps=1000000", "train.save_steps=1000000",
        "train.norm_steps=0", "train.eval_tasks=0", "train.eval_texts=4",
    )  # fmt: skip
    config = compose_overrides([*fields, *overrides])
    for node in (config["student"], *config["teachers"].values()):
        node["placement"] = {"device": "auto", "shard": "none"}
        if size.tiny:
            node["geometry"] = shrink_geometry(node["geometry"])
    return config


def shrink_geometry(geometry: Mapping[str, Any]) -> dict[str, Any]:
    """A seventh of the layers, as many KV heads, and little else."""
    heads = geometry["kv_heads"]
    return dict(geometry) | {
        "layers": geometry["layers"] // 7, "hidden_size": 32 * heads,
        "intermediate_size": 64 * heads, "heads": 2 * heads, "head_dim": 16, "vocab_size": 1024,
    }  # fmt: skip
