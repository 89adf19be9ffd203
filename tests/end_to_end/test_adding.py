"""A strategy is one module and one YAML: added from outside, no file of ours is touched."""

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.compression.layers import select_tokens
from tests.train.conftest import composed, distiller, make_batch

__all__ = ["composed", "distiller"]
ROOT = Path(__file__).parents[2]
ROOM = "compression"
LARGEST = '''
"""Keys of the largest norm stay: a press that looks at K itself, so at every layer anew."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from kvdistill.compression.base import Compression
from kvdistill.types import Layer


@dataclass(frozen=True, kw_only=True)
class Largest(Compression):
    """Keeps what stands out by `power`."""

    power: float

    def score(self, layer: Layer) -> Float[Tensor, "batch seq"]:
        return layer.kv.keys.norm(dim=3).mean(dim=1) ** self.power
'''
LARGEST_YAML = """# Keys of the largest norm.
_target_: kvdistill.compression.largest.Largest
keep: 3
power: 1.0
"""


@pytest.fixture
def add(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str, str, str], str]]:
    """Puts a module and its YAML outside the package; returns the override that finds the YAML."""
    import kvdistill.compression

    code, conf = tmp_path / "code", tmp_path / "conf" / ROOM
    code.mkdir()
    conf.mkdir(parents=True)
    monkeypatch.setattr(
        kvdistill.compression, "__path__", [*kvdistill.compression.__path__, str(code)]
    )
    names = []

    def put(name: str, module: str, node: str) -> str:
        (code / f"{name}.py").write_text(module)
        (conf / f"{name}.yaml").write_text(node)
        names.append(f"kvdistill.compression.{name}")
        return f"hydra.searchpath=[file://{tmp_path / 'conf'}]"

    yield put
    for name in names:
        sys.modules.pop(name, None)


def test_a_strategy_from_outside_goes_through_compose_rooms_and_a_step(
    add: Callable[[str, str, str], str], distiller: Callable[..., Any]
) -> None:
    import torch

    override = add("largest", LARGEST, LARGEST_YAML)
    module = distiller(override, "compression=largest", "compression.power=2.0")
    ce, terms, *_ = module(make_batch())
    (ce + terms.kv).backward()
    assert module.student.model.layers[0].self_attn.k_proj.weight.grad.abs().max() > 0
    inverse = distiller(override, "compression=largest", "compression.power=-2.0")(make_batch())[1]
    assert not torch.allclose(terms.keys, inverse.keys)


def test_it_is_decided_anew_at_every_layer(
    add: Callable[[str, str, str], str], distiller: Callable[..., Any]
) -> None:
    import torch

    from kvdistill.train.step import align_teacher_kv

    override = add("largest", LARGEST, LARGEST_YAML)
    module, read = distiller(override, "compression=largest"), make_batch()
    reader, teacher = module.objective.first_branch.pipeline, module._teachers["a"]
    tokens, links = read.teachers["a"].tokens, read.teachers["a"].links
    layers, all_kept = teacher.capture_layers(tokens), teacher.read_kv_cache(tokens, read.ids)
    assert [kept.layer_pairs for kept in all_kept] == [[source] for source in reader.layer_pairs]
    for kept in all_kept:
        ((source, override),) = align_teacher_kv(
            kept, links.map_to_rows(kept.row_of_token), reader.position, teacher.rotaries
        )
        expected = select_tokens(reader.compression, *[layers[at] for at in source.teacher_layers])
        assert torch.equal(kept.row_of_token >= 0, expected)
        covered = expected.flatten()[links.teacher_rows].long()
        rows = torch.repeat_interleave(links.link_counts)
        reached = torch.zeros(len(links.offsets)).index_add_(0, rows, covered.float()) > 0
        assert torch.equal(override[0].mask.flatten(), reached)


def test_another_strategy_is_another_run(
    add: Callable[[str, str, str], str], composed: Callable[..., Any]
) -> None:
    from kvdistill.plan.identity import run_identity

    override = add("largest", LARGEST, LARGEST_YAML)
    keys = [
        run_identity(composed(override, f"compression={choice}"))
        for choice in ("largest", "keep_last")
    ]
    assert keys[0] != keys[1]


def test_the_readmes_example_works_as_written(
    add: Callable[[str, str, str], str], distiller: Callable[..., Any]
) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    section = text.split("## Add a strategy")[1].split("\n## ")[0]
    (module,) = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    (node,) = re.findall(r"```yaml\n(.*?)```", section, re.DOTALL)
    assert "src/kvdistill/compression/every_other.py" in section
    assert "conf/compression/every_other.yaml" in section
    made = distiller(add("every_other", module, node), "compression=every_other")
    read = make_batch(lengths=(9, 6)).teachers["a"].tokens
    layers = made._teachers["a"].capture_layers(read)
    kept = select_tokens(made.objective.first_branch.pipeline.compression, layers[0])
    # Half of 8 and of 5 tokens: the even ones.
    assert [row.nonzero().flatten().tolist() for row in kept] == [[0, 2, 4, 6], [0, 2]]
    assert made(make_batch())[1].kv.isfinite()
