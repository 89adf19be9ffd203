"""Heads that keep tokens of their own, from the press to the loss, and every press beside them."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from kvdistill.config.build import build_node
from kvdistill.errors import ConfigError
from tests.train.conftest import STUDENT, make_batch

Make = Callable[..., Any]
CONF = Path(__file__).parents[2] / "conf"
PRESSES = sorted(path.stem for path in (CONF / "compression").glob("*.yaml"))
ALIGNMENTS = sorted(path.stem for path in (CONF / "alignment").glob("*.yaml"))
SMALL = ("window=1", "kernel=1", "sinks=1", "recent=0.3")
"""Settings of presses that leave something to score in texts of few tokens."""


def list_heads(press: str) -> list[str]:
    """The choices of `heads` that a press has; one without, where it has none."""
    scored = "\nheads:" in (CONF / "compression" / f"{press}.yaml").read_text(encoding="utf-8")
    return ["own", "mean"] if scored else [""]


def choose_press(press: str, heads: str) -> list[str]:
    """Overrides of a press that keeps few tokens of a short text."""
    text = (CONF / "compression" / f"{press}.yaml").read_text(encoding="utf-8")
    given = [f"compression={press}"]
    given += [f"compression.{each}" for each in SMALL if f"\n{each.split('=')[0]}:" in text]
    given += ["compression.keep=2"] if "\nkeep:" in text else []
    return [*given, f"compression.heads={heads}"] if heads else given


@pytest.mark.integration
@pytest.mark.parametrize(
    ("press", "heads"), [(press, heads) for press in PRESSES for heads in list_heads(press)]
)
def test_every_press_runs_under_every_alignment(
    distiller: Make, composed: Make, press: str, heads: str
) -> None:
    module = distiller(*choose_press(press, heads))
    for name in ALIGNMENTS:
        alignment = build_node("alignment", composed(f"alignment={name}")["alignment"])
        terms = module(make_batch(lengths=(12, 9), alignment=alignment))[1]
        assert terms.kv.isfinite()
        assert terms.kv > 0


SAME = (("projection=identity",), ("projection=student_side",))
MIXED = (("projection=ridge",), ("projection=procrustes",), ("projection=linear",))
CARRIED = (
    *SAME, *MIXED, ("loss=gram",), ("loss=smooth_l1",), ("position=post_rope",),
    ("position=rephase",), ("source=shuffled",), ("source=random",), ("layers/map=nearest",),
    ("projection=identity", "fusion=similarity"), ("projection=identity", "source=random"),
    ("projection=identity", "position=post_rope"), ("projection=identity", "loss=smooth_l1"),
)  # fmt: skip


@pytest.fixture
def alike(distiller: Make, monkeypatch: pytest.MonkeyPatch) -> Make:
    """A distiller of one teacher whose geometry is the student's."""
    from tests.train import conftest

    monkeypatch.setitem(conftest.TEACHERS, "a", STUDENT | {"layers": 6})
    return lambda *overrides: distiller(*overrides, teachers=("a",))


@pytest.mark.integration
@pytest.mark.parametrize("choice", CARRIED, ids=str)
def test_heads_that_happen_to_agree_have_the_loss_of_those_that_must(
    alike: Make, choice: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    from kvdistill.compression.key_diff import KeyDiff

    score_heads = KeyDiff.score_heads

    def score_alike(self: Any, layer: Any) -> Any:
        return score_heads(self, layer)[:, :1].expand(-1, layer.kv.keys.shape[1], -1)

    monkeypatch.setattr(KeyDiff, "score_heads", score_alike)
    batch = make_batch(("a",), lengths=(12, 9, 8))
    own, mean = (
        alike(*choose_press("key_diff", heads), *choice)(batch)[1] for heads in ("own", "mean")
    )
    if choice == ("loss=gram",):
        # Over heads or over each head are two distances; what is compared is the same.
        assert own.kv.isfinite()
        return
    torch.testing.assert_close(own.kv, mean.kv)
    torch.testing.assert_close(own.keys, mean.keys)
    torch.testing.assert_close(own.weights, mean.weights)


def iterate_aligned(module: Any, batch: Any) -> Iterator[tuple[int, int, int, dict[int, Any]]]:
    """(student layer, text, student token, {head: its K and V}) in loops, by the links."""
    branch = module.objective.first_branch
    pipeline, (source,) = branch.pipeline, module._teachers.values()
    reading = batch.teachers["a"]
    layers, links = source.capture_layers(reading.tokens), reading.links
    press, mask = pipeline.compression, reading.tokens.mask
    ends = [*links.offsets.tolist()[1:], len(links.weight)]
    for pair in pipeline.layer_pairs:
        kept = press.keep_best([press.score(layers[n]) for n in pair.teacher_layers], mask)
        for row, (start, end) in enumerate(zip(links.offsets.tolist(), ends, strict=True)):
            text, token = divmod(row, links.student_seq)
            heads: dict[int, Any] = {}
            for head in range(STUDENT["kv_heads"]):
                under = [
                    (float(w), int(r) % links.teacher_seq)
                    for w, r in zip(
                        links.weight[start:end], links.teacher_rows[start:end], strict=True
                    )
                    if kept[text, head, int(r) % links.teacher_seq]
                ]
                total = sum(w for w, _ in under)
                if under:
                    heads[head] = [
                        [
                            sum(w / total * part(layers[n].kv)[text, head, t] for w, t in under)
                            for part in (lambda kv: kv.keys, lambda kv: kv.values)
                        ]
                        for n in pair.teacher_layers
                    ]
            if heads:
                yield pair.student_layer, text, token, heads


def test_each_head_is_compared_at_the_tokens_that_it_kept(alike: Make) -> None:
    batch = make_batch(("a",), lengths=(12, 9))
    module = alike(*choose_press("key_diff", "own"), "projection=identity")
    stats, pairs = (
        module.objective.first_branch.stats,
        module.objective.first_branch.pipeline.layer_pairs,
    )
    with module._capture:
        module.student(input_ids=batch.student.ids, attention_mask=batch.student.mask.long())
    captured = module._capture.pop_layers(batch.student)
    sums: dict[tuple[int, int], list[float]] = {}
    for layer, text, token, heads in iterate_aligned(module, batch):
        pair = next(each for each in pairs if each.student_layer == layer)
        for head, parts in heads.items():
            low, high = parts[0][0], parts[-1][0]
            means = [
                stats.read_stat(f"teacher{n}", layer, "keys")[head] for n in pair.teacher_layers
            ]
            target = torch.lerp(low - means[0], high - means[-1], pair.weight)
            own = (
                captured[layer].kv.keys[text, head, token]
                - stats.read_stat("own", layer, "keys")[head]
            )
            residual = (own - target) / stats.read_stat("spread", layer, "keys")
            sums.setdefault((layer, text), []).append(float(residual.square().mean().detach()))
    terms = module(batch)[1]
    for index, pair in enumerate(pairs):
        texts = [sum(each) / len(each) for (n, _), each in sums.items() if n == pair.student_layer]
        assert float(terms.keys[index]) == pytest.approx(sum(texts) / len(texts), rel=1e-4)
    # Else nothing would be tried: some token is held by one head alone.
    assert any(len(heads) == 1 for *_, heads in iterate_aligned(module, batch))


def test_what_a_head_dropped_counts_as_its_mean_where_heads_are_mixed(alike: Make) -> None:
    batch = make_batch(("a",), lengths=(12, 9))
    module = alike(*choose_press("key_diff", "own"), "projection=ridge")
    branch = module.objective.first_branch
    expected: dict[tuple[int, int], list[Any]] = {}
    for layer, text, _, heads in iterate_aligned(module, batch):
        pair = next(each for each in branch.pipeline.layer_pairs if each.student_layer == layer)
        low, high = (
            torch.stack(
                [
                    heads[head][at][0] - branch.stats.read_stat(f"teacher{n}", layer, "keys")[head]
                    if head in heads
                    else torch.zeros(STUDENT["head_dim"])
                    for head in range(STUDENT["kv_heads"])
                ]
            ).flatten()
            @ branch.projection.keys[branch.projection._index[layer, n]]
            for at, n in ((0, pair.low), (-1, pair.high))
        )
        expected.setdefault((layer, text), []).append(torch.lerp(low, high, pair.weight))
    for layer, _, target in module.iterate_targets(batch):
        assert target.head_mask is None
        for text in range(2):
            rows = target.keys[text].transpose(0, 1)[target.mask[text]].flatten(1)
            torch.testing.assert_close(
                rows, torch.stack(expected[layer, text]), atol=1e-5, rtol=1e-4
            )


def test_a_press_that_scores_no_head_has_no_heads_to_choose(composed: Make) -> None:
    with pytest.raises(ConfigError, match=r"compression\.heads"):
        composed("compression=keep_last", "compression.heads=own")


def test_what_is_reported_of_targets_reads_only_what_heads_hold(alike: Make) -> None:
    from dataclasses import replace

    from kvdistill.loss.nmse import TargetNMSE
    from kvdistill.train.target_r2 import compute_target_r2

    batch = make_batch(("a",), lengths=(12, 9, 8))
    module = alike(*choose_press("key_diff", "own"), "projection=identity")
    nmse, poisoned = (
        TargetNMSE({"keys": 1.0, "values": 1.0}),
        TargetNMSE({"keys": 1.0, "values": 1.0}),
    )
    for layer, own, target in module.iterate_targets(batch):
        nmse.add(layer, own, target)
        dropped = ~target.held[..., None]
        hidden = (x.masked_fill(dropped, torch.nan) for x in (target.keys, target.values))
        poisoned.add(
            layer, own, replace(target, **dict(zip(("keys", "values"), hidden, strict=True)))
        )
    texts = nmse.compute_by_text()["k_nmse"]
    assert texts == poisoned.compute_by_text()["k_nmse"]
    # One layer written out: squared residuals over the variance of the targets that heads hold.
    single = TargetNMSE({"keys": 1.0, "values": 1.0})
    layer, own, target = next(iter(module.iterate_targets(batch)))
    single.add(layer, own, target)
    residuals, squares, means = [], [], []
    for text in range(3):
        rows = [
            (own.keys[text, head][held].detach(), target.keys[text, head][held])
            for head, held in enumerate(target.held[text])
        ]
        residuals.append(torch.cat([(a - b).flatten() for a, b in rows]).square().mean())
        squares.append(torch.cat([b.flatten() for _, b in rows]).square().mean())
        means.append(torch.cat([b.mean(dim=0) if len(b) else b.new_zeros(4) for _, b in rows]))
    variance = torch.stack(squares).mean() - torch.stack(means).mean(dim=0).square().mean()
    expected = [float(each / variance) for each in residuals]
    assert single.compute_by_text()["k_nmse"] == pytest.approx(expected, rel=1e-4)
    r2 = compute_target_r2(module, [batch])
    assert r2["held_out_r2"] < 1
    assert r2["shuffled_r2"] < 1
