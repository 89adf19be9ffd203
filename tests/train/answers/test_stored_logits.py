"""Next-token distributions of real small teachers: live and stored, alone and beside K and V."""

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.kv.artifacts import Artifacts

pytestmark = [
    pytest.mark.integration,
    pytest.mark.usefixtures("hydra"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]
ROWS = [0, 5, 9, 14, 2, 11]
EXACT = ["source=store", "source.stored.states=float32"]
SHUFFLED = ["source=shuffled", "source@source.of=store", "source.of.stored.states=float32"]


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Artifacts:
    return Artifacts(tmp_path_factory.mktemp("artifacts"))


def read_batch(artifacts: Artifacts, *overrides: str, part: str = "val") -> tuple[Any, Any]:
    """(the run's module, a batch of both teachers, which have tokenizers of their own)."""
    config = artifacts.config(*overrides)
    (batch,) = artifacts.batches(config, part, [ROWS])
    return artifacts.distiller(config), batch


def test_without_k_and_v_none_are_captured_calibrated_or_stored(artifacts: Artifacts) -> None:
    config = artifacts.config("arm=logit_kd", *EXACT)
    folders = artifacts.folders(config)
    assert sorted(folders) == ["split", "states.a", "states.b", "student", "teacher.a", "teacher.b"]
    module, batch = read_batch(artifacts, "arm=logit_kd", "source=online")
    ce, kv, logits = module(batch)
    assert module.objective is None
    assert kv is None
    assert logits.total > 0
    assert all(teacher.capture is None for teacher in module._teachers.values())
    (ce + logits.total).backward()
    assert all(p.grad is not None for p in module.student.parameters())


@pytest.mark.parametrize("part", ["train_student", "val"])
def test_stored_states_give_the_logits_of_the_live_teacher(artifacts: Artifacts, part: str) -> None:
    live, batch = read_batch(artifacts, "arm=logit_kd", "source=online", part=part)
    stored, _ = read_batch(artifacts, "arm=logit_kd", *EXACT, part=part)
    for name, teacher in live._teachers.items():
        tokens = batch.teachers[name].tokens
        one = teacher.read_texts(tokens, batch.ids).answers
        other = stored._teachers[name].read_texts(tokens, batch.ids).answers
        # The teacher read other texts beside each: matrix products round otherwise.
        torch.testing.assert_close(other.hidden, one.hidden, rtol=1e-5, atol=1e-5)
        # From the same states the same bits.
        assert torch.equal(other.head(one.hidden), one.head(one.hidden))
    assert float(stored(batch).logits.total) == pytest.approx(
        float(live(batch).logits.total), rel=1e-5
    )


def test_a_teacher_in_half_precision_is_stored_to_the_bit(artifacts: Artifacts) -> None:
    half = ["arm=logit_kd", "teachers.a.dtype=bfloat16"]
    config = artifacts.config(*half, "source=store")
    module, needs = artifacts.distiller(config), artifacts.folders(config)
    live = artifacts.distiller(artifacts.config(*half))._teachers["a"]
    batches = read_shards(needs["states.a"], config, needs)
    assert batches
    for batch in batches:
        tokens = batch.teachers["a"].tokens
        one = live.read_texts(tokens, batch.ids).answers
        other = module._teachers["a"].read_texts(tokens, batch.ids).answers
        assert one.hidden.dtype == other.hidden.dtype == torch.bfloat16
        assert torch.equal(other.hidden, one.hidden)
        assert torch.equal(other.head(other.hidden), one.head(one.hidden))


def read_shards(folder: Path, config: dict[str, Any], needs: dict[str, Path]) -> list[Any]:
    """The texts of a store in the batches that it was built in: only then do bits compare."""
    from kvdistill.config.build import build_node
    from kvdistill.plan.frozen_recipe import read_recipe
    from kvdistill.train import build_store, inputs
    from kvdistill.train.store_layout import batch_texts

    node = read_recipe(folder)
    root = folder.parent
    plan = build_store.plan_store(node.recipe, {role: root / at for role, at in node.needs.items()})
    rows, batches = {}, []
    alignment = build_node("alignment", config["alignment"])
    for part in inputs.STORED_PARTS:
        texts, collate = inputs.read_texts(config, needs, part, alignment)
        rows |= {text.id: texts[row] for row, text in enumerate(texts.texts)}
    for shard in plan.shards:
        batches += [collate([rows[text.id] for text in some]) for some in batch_texts(shard)]
    return batches


def test_k_and_v_are_as_without_logits(artifacts: Artifacts) -> None:
    module, batch = read_batch(artifacts, "arm=ce_kl_kv")
    plain, _ = read_batch(artifacts, "arm=multi_teacher")
    both, alone = module(batch), plain(batch)
    # The body is whole, and the rest of its forward reaches no K or V.
    assert torch.equal(both.kv.kv, alone.kv.kv)
    assert torch.equal(both.ce, alone.ce)
    stored, _ = read_batch(artifacts, "arm=ce_kl_kv", *EXACT, "source.stored.dtype=float32")
    assert float(stored(batch).kv.kv) == pytest.approx(float(both.kv.kv), rel=1e-5)
    assert float(stored(batch).logits.total) == pytest.approx(float(both.logits.total), rel=1e-5)


def test_another_texts_answers_are_another_distance(artifacts: Artifacts) -> None:
    true, batch = read_batch(artifacts, "arm=logit_kd")
    live, _ = read_batch(artifacts, "arm=logit_kd", "source=shuffled")
    stored, _ = read_batch(artifacts, "arm=logit_kd", *SHUFFLED)
    assert float(live(batch).logits.total) == pytest.approx(
        float(stored(batch).logits.total), rel=1e-5
    )
    covered = [module(batch).logits.weights.sum(dim=0) > 0 for module in (true, live)]
    # What lies beyond the other answer's end is left out; nothing is added.
    assert (covered[0] >= covered[1]).all()
    assert covered[1].any()
    assert not torch.allclose(true(batch).logits.tokens, live(batch).logits.tokens)


def test_a_store_of_other_states_is_refused_by_name(artifacts: Artifacts) -> None:
    import dataclasses

    from kvdistill.config.build import build_node
    from kvdistill.errors import ArtifactError
    from kvdistill.kv.store import Store
    from kvdistill.train import inputs
    from kvdistill.train.objective import TeacherPipeline

    config = artifacts.config("arm=logit_kd", *EXACT)
    pipeline = TeacherPipeline.without_layers(config)
    request = inputs.make_teacher_request(config, "a", artifacts.folders(config), pipeline)
    stored = build_node("source.stored", config["source"]["stored"])
    for what in ("weights", "tokenizer", "texts", "states", "code version"):
        other = {**request.answers_fingerprints, what: "other"}
        changed = dataclasses.replace(request, answers_fingerprints=other)
        with pytest.raises(ArtifactError, match=rf"kv-\w+ holds states of another {what} \("):
            Store(changed, stored=stored)
