"""The teacher-KV store: the same loss as the live teacher, and what is refused by name."""

import copy
import dataclasses
import shutil
from collections import namedtuple
from pathlib import Path

import pytest
import torch

from tests.kv.artifacts import Artifacts, run_job

pytestmark = [
    pytest.mark.integration,
    pytest.mark.usefixtures("hydra"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]
ROWS = [0, 5, 9, 20, 14, 2, 11]
PRESSES = ["compression=keep_last", "compression=full", "compression=r_kv"]
CONTROL = ["source=shuffled", "source@source.of=store"]


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Artifacts:
    return Artifacts(tmp_path_factory.mktemp("artifacts"))


def compute_terms(artifacts: Artifacts, overrides: list[str], part: str = "train_student"):
    """The KV terms of one batch of two teachers with different tokenizers."""
    config = artifacts.config(*overrides)
    (batch,) = artifacts.batches(config, part, [ROWS])
    return artifacts.distiller(config)(batch)[1]


@pytest.mark.parametrize("press", PRESSES)
@pytest.mark.parametrize("part", ["train_student", "val"])
def test_in_float32_a_stored_batch_has_the_loss_of_the_live_teacher(artifacts, press, part):
    live = compute_terms(artifacts, [press], part)
    stored = compute_terms(artifacts, [press, "source=store", "source.stored.dtype=float32"], part)
    # The teacher read other texts beside each: matrix products round otherwise.
    torch.testing.assert_close(stored.kv, live.kv, rtol=1e-6, atol=0)
    torch.testing.assert_close(stored.keys, live.keys, rtol=2e-6, atol=0)
    torch.testing.assert_close(stored.weights, live.weights, rtol=1e-6, atol=0)


def test_heads_that_keep_their_own_tokens_are_stored_each_with_its_own(artifacts):
    own = ["compression=r_kv", "compression.window=2", "compression.heads=own"]
    for control, wrapped in (([], ["source=store"]), (["source=shuffled"], CONTROL)):
        path = "source.of.stored.dtype" if control else "source.stored.dtype"
        live = compute_terms(artifacts, [*own, *control])
        stored = compute_terms(artifacts, [*own, *wrapped, f"{path}=float32"])
        torch.testing.assert_close(stored.kv, live.kv, rtol=1e-6, atol=0)
        torch.testing.assert_close(stored.weights, live.weights, rtol=1e-6, atol=0)
        agreeing = compute_terms(artifacts, [*own[:2], *control])
        assert not torch.allclose(live.kv, agreeing.kv, rtol=1e-3)


def test_keys_are_stored_unrotated_and_turned_at_their_own_tokens(artifacts):
    both = ["compression=keep_last", "position=post_rope"]
    live = compute_terms(artifacts, both)
    stored = compute_terms(artifacts, [*both, "source=store", "source.stored.dtype=float32"])
    torch.testing.assert_close(stored.kv, live.kv, rtol=1e-6, atol=0)
    assert not torch.allclose(live.keys, compute_terms(artifacts, both[:1]).keys, rtol=0.01)


def test_the_shuffled_control_over_a_store_is_that_over_the_live_teacher(artifacts):
    for press in PRESSES:
        live = compute_terms(artifacts, [press, "source=shuffled"])
        stored = compute_terms(artifacts, [press, *CONTROL, "source.of.stored.dtype=float32"])
        torch.testing.assert_close(stored.kv, live.kv, rtol=1e-6, atol=0)
        assert not torch.allclose(live.kv, compute_terms(artifacts, [press]).kv, rtol=0.01)


@pytest.mark.parametrize("press", PRESSES)
@pytest.mark.parametrize("dtype", ["bfloat16", "int8"])
@pytest.mark.parametrize("control", [False, True])
def test_in_fewer_bits_the_loss_moves_by_no_more_than_their_rounding(
    artifacts, press, dtype, control, monkeypatch
):
    source = CONTROL if control else ["source=store"]
    path = "source.of.stored.dtype" if control else "source.stored.dtype"
    live = compute_terms(artifacts, [press, *(["source=shuffled"] if control else [])])
    config = artifacts.config(press, *source, f"{path}={dtype}")
    (batch,) = artifacts.batches(config, "train_student", [ROWS])
    module = artifacts.distiller(config)
    stored = module(batch)[1]
    limit = bound_rounding(module, batch, monkeypatch)
    off = (stored.kv - live.kv).abs()
    assert 0 < off <= limit
    assert limit < (0.1 if dtype == "bfloat16" else 0.25) * live.kv  # or it would allow anything


def bound_rounding(module, batch, monkeypatch):
    """How far the rounding of rows can move the loss, to first and second order.

    |mean (r + d)^2 - mean r^2| <= mean (2 |r| e + e^2) for |d| <= e, where e is the error of a row
    through alignment (weights sum to 1), the projection's absolute values and interpolation.
    """
    from kvdistill.kv.shards import QuantisedRows

    absolute = copy.deepcopy(module.rooms)
    for branch in absolute.get_branches().values():
        branch.projection.keys.abs_()
        branch.projection.values.abs_()
        for name, buffer in branch.stats.named_buffers():
            if name.startswith("teacher"):
                buffer.zero_()
    pairs = list(module.iterate_targets(batch))
    module.rooms, objective = absolute, module.rooms
    with monkeypatch.context() as patch:
        patch.setattr(QuantisedRows, "dequantise", QuantisedRows.bound_error)
        errors = {layer: error for layer, _, error in module.iterate_targets(batch)}
    module.rooms = objective
    bounds = []
    for layer, own, target in pairs:
        mask = target.mask[:, None, :, None]
        for part in ("keys", "values"):
            scale = objective.average_target_std(layer, part)
            x, y, e = (getattr(kv, part) for kv in (own, target, errors[layer]))
            r, e = (((x - y) / scale).abs(), e / scale)
            each = ((2 * r * e + e * e) * mask).sum(dim=(1, 2, 3))
            count = target.mask.sum(dim=1).clamp(min=1) * x.shape[1] * x.shape[3]
            bounds.append((each / count).mean())
    return torch.stack(bounds).mean().detach()


@pytest.mark.parametrize("dtype", ["bfloat16", "int8"])
def test_a_number_is_off_by_no_more_than_its_stated_error_beside_a_huge_constant(dtype):
    from kvdistill.kv.shards import QuantisedRows

    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(300, 7, generator=generator) + 900 * torch.arange(7)
    rows[:, 3] = 5  # does not vary
    coded, at = QuantisedRows.quantise(rows, dtype), torch.tensor([4, 4, 299, *range(100)])
    off = (coded.dequantise(at).double() - rows[at].double()).abs()
    assert (off <= coded.bound_error(at)).all()
    share = (off / coded.bound_error(at))[:, 1:3].max()
    assert 0.5 < share <= 1  # the bound is no wish
    raw = (rows.bfloat16().float() - rows).abs()
    assert off[:, 4:].max() < 0.05 < raw[:, 4:].max()


def test_the_teacher_is_never_loaded_where_a_store_is_read(artifacts, monkeypatch):
    from kvdistill.models import load

    config = artifacts.config("source=store")
    (batch,) = artifacts.batches(config, "val", [ROWS])

    def no_body(*_, **__):
        raise AssertionError("a teacher's body is loaded")

    monkeypatch.setattr(load, "load_body", no_body)
    assert artifacts.distiller(config)(batch)[1].kv.isfinite()
    with pytest.raises(AssertionError, match="body is loaded"):
        artifacts.distiller(artifacts.config())


def open_store(artifacts, folder=None, **changes):
    """(teacher a's store as a run opens it, after some change of its request, request, config)."""
    from kvdistill.geometry import Geometry
    from kvdistill.kv.store import Store
    from kvdistill.train import inputs
    from kvdistill.train.objective import TeacherPipeline

    config = artifacts.config("source=store")
    reader = TeacherPipeline.from_config(config, Geometry.from_node(config["teachers"]["a"]))
    request = inputs.make_teacher_request(config, "a", artifacts.folders(config), reader)
    request = dataclasses.replace(request, store_folder=folder or request.store_folder, **changes)
    from kvdistill.config.build import build_node

    stored = build_node("source.stored", config["source"]["stored"])
    return Store(request, stored=stored), request, config


@pytest.mark.parametrize(
    "what", ["weights", "tokenizer", "texts", "layers", "compression", "dtype", "code version"]
)
def test_a_store_of_anything_else_is_refused_by_name(artifacts, what):
    from kvdistill.errors import ArtifactError

    _, request, _ = open_store(artifacts)
    with pytest.raises(ArtifactError, match=rf"kv-\w+ holds K and V of another {what} \("):
        open_store(artifacts, fingerprints={**request.fingerprints, what: "other"})


def test_a_fingerprint_names_what_was_changed(artifacts):
    from kvdistill.geometry import Geometry
    from kvdistill.train import inputs
    from kvdistill.train.objective import TeacherPipeline

    def fingerprints(*overrides):
        config = artifacts.config("source=store", *overrides)
        needs = artifacts.folders(config, kinds=("split", "model"))
        layer_pairs = TeacherPipeline.from_config(
            config, Geometry.from_node(config["teachers"]["a"])
        ).layer_pairs
        return inputs.fingerprint_store(config, "a", needs, layer_pairs)

    def differing(*overrides):
        first, second = fingerprints(), fingerprints(*overrides)
        return {name for name in first if first[name] != second[name]}

    assert differing("seed=7", "fusion=learnable", "student.build.seed=5") == set()
    assert differing("teachers.a.build.seed=9") == {"weights"}
    assert differing("budget.seq_len=16") == {"texts"}
    assert differing("student.build.max_digits=3") == {"texts"}
    assert differing("teachers.a.build.max_digits=3") == {"weights", "tokenizer"}
    assert differing("layers.range=0-2") == {"layers"}
    assert differing("compression.keep=0.25") == {"compression"}
    assert differing("source.stored.dtype=int8") == {"dtype"}


def test_a_text_that_is_not_stored_or_is_read_otherwise_is_refused(artifacts):
    from kvdistill.errors import ArtifactError

    store, _, config = open_store(artifacts)
    (batch,) = artifacts.batches(config, "val", [ROWS])
    tokens = batch.teachers["a"].tokens
    assert store.read_kv_cache(tokens, batch.ids)
    with pytest.raises(ArtifactError, match=r"text nowhere:cot is not in .*kv-"):
        store.read_kv_cache(tokens, [*batch.ids[:-1], "nowhere:cot"])
    tokens.ids[3, 1] += 1
    with pytest.raises(ArtifactError, match=f"text {batch.ids[3]} has other teacher tokens"):
        store.read_kv_cache(tokens, batch.ids)


def test_padding_and_company_do_not_change_what_is_read(artifacts):
    store, _, config = open_store(artifacts)
    alone, both = artifacts.batches(config, "val", [[5], [5, 9, 20]])
    one, more = (store.read_kv_cache(b.teachers["a"].tokens, b.ids)[0] for b in (alone, both))
    rows = one.row_of_token[0][one.row_of_token[0] >= 0]
    others = more.row_of_token[0][more.row_of_token[0] >= 0]
    assert torch.equal(one.flat_kv[rows], more.flat_kv[others])
    assert torch.equal(one.positions[rows], more.positions[others])


def test_an_altered_shard_is_named_before_a_run_reads_it(artifacts, tmp_path):
    from kvdistill import manifest
    from kvdistill.errors import ArtifactError

    folder = artifacts.folders(artifacts.config("source=store"))["kv.a"]
    copied = Path(shutil.copytree(folder, tmp_path / folder.name))
    assert manifest.verify_artifact(copied)["kept_tokens"] > 0
    path = copied / "shard-00000.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(ArtifactError, match=r"shard-00000.safetensors is altered since it was"):
        manifest.verify_artifact(copied)


@pytest.fixture
def new_folder(artifacts, monkeypatch):
    """A node of a store of many shards, its folder not yet built; and what builds it."""
    from kvdistill.plan.frozen_recipe import write_recipe
    from kvdistill.plan.graph import list_artifacts
    from kvdistill.train import store_layout

    config = artifacts.config("source=store")
    artifacts.folders(config, kinds=("split", "model"))
    node = dict(list_artifacts(config))["kv.a"]
    monkeypatch.setattr(store_layout, "SHARD_BYTES", 60_000)

    def make(name: str) -> Path:
        folder = artifacts.root / "artifacts" / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        write_recipe(node, folder)
        return folder

    return make


def read_contents(folder: Path) -> dict[str, bytes]:
    names = [*folder.glob("*.safetensors"), folder / "store.json"]
    return {path.name: path.read_bytes() for path in names}


@pytest.mark.parametrize("instant", ["between", "after a shard", "in a shard"])
def test_a_killed_build_continues_to_the_same_files(new_folder, monkeypatch, instant):
    from kvdistill.kv import shards

    whole, killed = new_folder("kv-whole"), new_folder("kv-killed")
    run_job(whole)
    assert len(list(whole.glob("shard-*"))) > 4
    count = 0

    def dying(original, at):
        def call(*given, **more):
            nonlocal count
            count += 1
            if count == 3 and at == "before":
                if instant == "in a shard":
                    (killed / ".shard-00002.safetensors.part").write_bytes(b"half")
                raise KeyboardInterrupt
            return original(*given, **more)

        return call

    with monkeypatch.context() as patch:
        if instant == "after a shard":  # which stands, but nothing says so
            patch.setattr(shards, "write_json", dying(shards.write_json, "before"))
        else:
            patch.setattr(shards.QuantisedRows, "save", dying(shards.QuantisedRows.save, "before"))
        with pytest.raises(KeyboardInterrupt):
            run_job(killed)
    assert not (killed / "manifest.json").exists()
    stamps = {path.name: path.stat().st_mtime_ns for path in killed.glob("shard-0000[01]*")}
    assert len(stamps) == 2
    run_job(killed)
    assert read_contents(killed) == read_contents(whole)
    assert {n: (killed / n).stat().st_mtime_ns for n in stamps} == stamps  # not artifacts again
    assert not (killed / "shards.json").exists()


def test_a_shard_spoilt_while_the_build_lay_idle_is_made_again(new_folder, monkeypatch):
    from kvdistill.train import build_store

    whole, killed = new_folder("kv-whole"), new_folder("kv-killed")
    run_job(whole)
    with monkeypatch.context() as patch:
        patch.setattr(
            build_store, "write_index", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt)
        )
        with pytest.raises(KeyboardInterrupt):
            run_job(killed)
    (killed / "shard-00001.safetensors").write_bytes(b"spoilt")
    run_job(killed)
    assert read_contents(killed) == read_contents(whole)


def test_too_little_disk_is_refused_before_anything_is_written(new_folder, monkeypatch):
    from kvdistill.errors import UserError
    from kvdistill.train import build_store

    usage = namedtuple("usage", "total used free")
    whole, folder = new_folder("kv-whole"), new_folder("kv-full")
    run_job(whole)
    rows = sum(path.stat().st_size for path in whole.glob("shard-*"))
    with monkeypatch.context() as patch:
        patch.setattr(build_store.shutil, "disk_usage", lambda _: usage(0, 0, 100_000))
        with pytest.raises(
            UserError, match=r"kv-full needs \d\.\d\d MB more, for [\d,]+ kept tokens .* 0.10 MB"
        ) as refused:
            run_job(folder)
    assert not list(folder.glob("*shard*"))
    needed = float(str(refused.value).split(" needs ")[1].split(" MB")[0]) * 1e6
    assert needed == pytest.approx(rows, rel=0.05)  # headers, means


@pytest.mark.parametrize("dtype", ["float16", "int4"])
def test_an_unknown_dtype_is_refused_when_the_plan_is_checked(artifacts, dtype):
    from kvdistill.errors import ConfigError
    from kvdistill.train.preflight import check_run_config

    with pytest.raises(ConfigError, match=f"source.stored.dtype={dtype} is none of float32"):
        check_run_config(artifacts.config("source=store", f"source.stored.dtype={dtype}"))
