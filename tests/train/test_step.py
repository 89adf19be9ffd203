from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.train.conftest import STUDENT, make_batch

Make = Callable[..., Any]


def measure_gradients(module: Any, loss: Any) -> dict[str, float]:
    """Largest gradient of each layer's k_proj and v_proj."""
    module.zero_grad()
    loss.backward()
    largest = {}
    for index, layer in enumerate(module.student.model.layers):
        for part in ("k", "v"):
            grad = getattr(layer.self_attn, f"{part}_proj").weight.grad
            largest[f"{part}{index}"] = 0.0 if grad is None else float(grad.abs().max())
    return largest


CHOICES = [
    "fusion=fixed", "fusion=similarity", "fusion=learnable", "fusion=staged",
    "compression=full", "compression=r_kv", "compression=kava", "compression=random",
    "projection=linear", "projection=procrustes", "projection=low_rank", "position=rephase",
    "position=post_rope",
    "layers/map=nearest", "layers/map=last", "loss=smooth_l1", "loss=gram",
]  # fmt: skip


@pytest.mark.integration
@pytest.mark.parametrize("choice", CHOICES)
def test_every_choice_reaches_every_mapped_layer(distiller: Make, choice: str) -> None:
    module = distiller(choice)
    _, terms, *_ = module(make_batch())
    largest = measure_gradients(module, terms.kv)
    assert all(value > 0 for value in largest.values()), largest


def test_only_the_chosen_layers_are_reached(distiller: Make) -> None:
    module = distiller("layers.range=0-2")
    largest = measure_gradients(module, module(make_batch())[1].kv)
    assert largest["k0"] > 0
    assert largest["v1"] > 0
    assert largest["k2"] == largest["v2"] == 0


@pytest.mark.parametrize(("choice", "silent"), [("k", "v"), ("v", "k")])
def test_k_only_and_v_only_reach_their_own_projection(
    distiller: Make, choice: str, silent: str
) -> None:
    module = distiller(f"kv={choice}", "layers.range=2-3")
    largest = measure_gradients(module, module(make_batch())[1].kv)
    assert largest[f"{choice}2"] > 0
    assert largest[f"{silent}2"] == 0


def test_no_gradient_reaches_a_teacher_or_a_frozen_room(distiller: Make) -> None:
    module = distiller("fusion=similarity")
    module(make_batch())[1].kv.backward()
    for teacher in module._teachers.values():
        assert all(p.grad is None and not p.requires_grad for p in teacher.body.parameters())
    assert not list(module.objective.parameters())


def test_teachers_are_no_part_of_the_module(distiller: Make) -> None:
    module = distiller()
    student = sum(p.numel() for p in module.student.parameters())
    assert sum(p.numel() for p in module.parameters()) == student


@pytest.mark.integration
@pytest.mark.parametrize("compression", ["full", "keep_last", "r_kv", "kava", "uniform"])
def test_padding_of_any_kind_changes_nothing(distiller: Make, compression: str) -> None:
    import torch

    module = distiller(f"compression={compression}", "fusion=similarity")
    ce, terms, *_ = module(make_batch())
    for other in (make_batch(more=3), make_batch(more=3, pad=17)):
        padded_ce, padded, *_ = module(other)
        torch.testing.assert_close(padded_ce, ce)
        torch.testing.assert_close(padded.kv, terms.kv)
        torch.testing.assert_close(padded.weights, terms.weights)


POISONED = [
    *CHOICES, "compression=uniform", "layers.range=0-2", "kv=k", "source=shuffled", "source=random",
]  # fmt: skip


@pytest.mark.integration
@pytest.mark.parametrize("choice", POISONED)
def test_nan_under_a_mask_changes_neither_terms_nor_gradients(
    distiller: Make, choice: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    from kvdistill.models.capture import Capture
    from kvdistill.types import KV, Layer

    module, batch = distiller(choice), make_batch(more=3)
    clean = module(batch)[1]
    clean_gradients = measure_gradients(module, clean.kv)
    pop_layers, poisoned = Capture.pop_layers, []

    def poison(x: Any, tokens: Any) -> Any:
        hidden = ~tokens.mask[:, None, :, None]
        poisoned.append(bool(hidden.any()))
        return None if x is None else x.masked_fill(hidden, float("nan"))

    def pop_poisoned(self: Any, tokens: Any) -> dict[int, Layer]:
        return {
            at: Layer(
                KV(poison(one.kv.keys, tokens), poison(one.kv.values, tokens), one.kv.mask),
                tokens,
                poison(one.rotated_queries, tokens),
                poison(one.rotated_keys, tokens),
                poison(one.queries, tokens),
                one.rotary,
            )
            for at, one in pop_layers(self, tokens).items()
        }

    monkeypatch.setattr(Capture, "pop_layers", pop_poisoned)
    poisoned_terms = module(batch)[1]
    assert poisoned
    assert all(poisoned)
    for name in ("kv", "keys", "values", "entropy", "penalty", "weights"):
        torch.testing.assert_close(getattr(poisoned_terms, name), getattr(clean, name), msg=name)
    assert measure_gradients(module, poisoned_terms.kv) == pytest.approx(clean_gradients)


@pytest.mark.integration
def test_a_sample_counts_the_same_alone_and_in_a_batch(distiller: Make) -> None:
    import torch

    module = distiller("fusion=similarity")
    together = module(make_batch(lengths=(7, 7)))[1].kv
    both = make_batch(lengths=(7, 7))
    alone = [module(take_row(both, row))[1].kv for row in range(2)]
    torch.testing.assert_close(torch.stack(alone).mean(), together)


def take_row(both: Any, row: int) -> Any:
    """One sample of a batch whose texts are equally long."""
    import torch

    from kvdistill.types import Batch, Links, TeacherInputs, Tokens

    def take_tokens(tokens: Any) -> Any:
        return Tokens(*(x[row : row + 1] for x in (tokens.ids, tokens.mask, tokens.answer)))

    teachers = {}
    for name, reading in both.teachers.items():
        links = reading.links
        rows = torch.repeat_interleave(links.link_counts) // links.student_seq == row
        size = links.student_seq
        offsets = links.offsets[row * size : (row + 1) * size]
        teachers[name] = TeacherInputs(
            take_tokens(reading.tokens),
            Links(
                links.teacher_rows[rows] - row * links.teacher_seq,
                links.weight[rows],
                offsets - offsets[0],
                size,
                links.teacher_seq,
            ),
        )
    return Batch(take_tokens(both.student), teachers, both.ids[row : row + 1], both.tasks[:1])


@pytest.mark.integration
def test_a_student_that_is_its_own_teacher_has_no_loss(composed: Make) -> None:
    import torch

    from kvdistill.kv.base import TeacherRequest
    from kvdistill.kv.online import Online
    from kvdistill.train.module import Distiller
    from kvdistill.train.objective import KVObjective, LossWeights
    from kvdistill.types import TeacherInputs
    from tests.train.conftest import make_model

    config = composed("projection=identity", "compression=full", teachers=("a",))
    config["teachers"]["a"]["geometry"] = STUDENT
    objective, student = KVObjective(config), make_model(STUDENT, "qwen2")
    own = make_batch(names=("a",)).student
    itself = make_batch(names=("a",))
    links = itself.teachers["a"].links
    flat = own.mask.flatten()
    counts = flat.long()
    links = type(links)(
        flat.nonzero().flatten(), torch.ones(int(flat.sum())), counts.cumsum(0) - counts,
        own.ids.shape[1], own.ids.shape[1],
    )  # fmt: skip
    itself.teachers["a"] = TeacherInputs(own, links)
    pipeline = objective.first_branch.pipeline
    body = lambda: make_model(STUDENT, "qwen2")  # noqa: E731
    teacher = Online(
        TeacherRequest(body, pipeline.layer_pairs, pipeline.compression, needs_rotary=False)
    )
    module = Distiller(student, objective, {"a": teacher}, LossWeights.from_config(config))
    terms = module(itself)[1]
    assert float(terms.kv.detach()) == 0


def test_exact_is_whether_greedy_decoding_writes_the_answer(distiller: Make) -> None:
    import torch

    from kvdistill.train.step import compute_exact_match

    tokens = make_batch(names=()).student
    scores = torch.nn.functional.one_hot(tokens.ids, 50).float().roll(-1, dims=1)

    def match(tokens: Any = tokens) -> list[bool]:
        return compute_exact_match(scores[tokens.logit_mask], tokens).tolist()

    assert match() == [True, True]
    scores[0, 4] = scores[0, 4].roll(1)  # predicts token 5, in the first text's answer
    scores[1, 0] = scores[1, 0].roll(1)  # predicts token 1, in the second text's prompt
    assert match() == [False, True]
    # Nothing was asked of a text that was cut before its answer: it is no match.
    asked = replace(tokens, answer=tokens.answer & torch.tensor([[True], [False]]))
    assert match(asked) == [False, False]


def test_cross_entropy_is_that_of_the_library_on_the_answers(distiller: Make) -> None:
    import torch

    module = distiller(teachers=())
    read = make_batch(names=())
    labels = read.student.ids.masked_fill(~(read.student.answer & read.student.mask), -100)
    out = module.student(
        input_ids=read.student.ids, attention_mask=read.student.mask.long(), labels=labels
    )
    count = (labels[:, 1:] != -100).sum()
    torch.testing.assert_close(module(read)[0] / count, out.loss)


@pytest.mark.parametrize("compression", ["r_kv", "kava"])
def test_each_teacher_layer_is_scored_once_a_step(
    distiller: Make, compression: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    halves = ("layers/map=anchors", "layers.map.anchors='0:0, 2:1'")
    module = distiller(f"compression={compression}", *halves, teachers=("b",))
    pipeline = module.objective.first_branch.pipeline
    compressor = type(pipeline.compression)
    teacher_layers = [layer for pair in pipeline.layer_pairs for layer in pair.teacher_layers]
    # Two student layers read one teacher layer.
    assert len(set(teacher_layers)) < len(teacher_layers)
    scored, score = [], compressor.score
    monkeypatch.setattr(
        compressor, "score", lambda self, layer: scored.append(1) or score(self, layer)
    )
    module(make_batch(("b",)))
    assert len(scored) == len(set(teacher_layers))
