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
    key = (part, *overrides)
    if key not in artifacts.terms:
        config = artifacts.config(*overrides)
        (batch,) = artifacts.batches(config, part, [ROWS])
        artifacts.terms[key] = artifacts.distiller(config)(batch)[1]
    return artifacts.terms[key]


@pytest.mark.parametrize("press", PRESSES)
@pytest.mark.parametrize("part", ["train_student", "val"])
def test_in_float32_a_stored_batch_has_the_loss_of_the_live_teacher(artifacts, press, part):
    live = compute_terms(artifacts, [press], part)
    stored = compute_terms(artifacts, [press, "source.read=stored"], part)
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
    from kvdistill.kv.quantise import QuantisedRows

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


def copy_store(artifacts, folder):
    """A copy of teacher a's store."""
    original = artifacts.folders(artifacts.config("source=store"))["kv.a"]
    return Path(shutil.copytree(original, folder / original.name))


def read_header(path):
    from kvdistill.kv.shards import ShardHeader

    with path.open("rb", buffering=0) as file:
        return ShardHeader.read(file, path)


def find_rows(path, text):
    """The byte behind a text's rows in a shard."""
    header = read_header(path)
    texts = header.contents["texts"]
    place = [each["id"] for each in texts].index(text)
    rows = header.tensors["rows"]
    return rows.start + sum(each["rows"] for each in texts[: place + 1]) * rows.row_bytes


def flip_byte(path, at):
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def test_a_byte_that_changed_is_named_before_it_reaches_a_loss(artifacts, tmp_path, monkeypatch):
    from kvdistill import manifest
    from kvdistill.errors import ArtifactError
    from kvdistill.train import inputs

    folder = copy_store(artifacts, tmp_path)
    shard = folder / "shard-00000.safetensors"
    config = artifacts.config("source=store")
    batches = artifacts.batches(config, "train_student", [[5], [9], [20], [5]])
    flip_byte(shard, find_rows(shard, batches[1].ids[0]) - 1)
    # A job begins with a look at names and sizes: nothing is hashed.
    assert manifest.verify_artifact(folder)["kept_tokens"] > 0
    original = inputs.make_teacher_request

    def request_copy(config, name, *more):
        request = original(config, name, *more)
        return dataclasses.replace(request, store_folder=folder) if name == "a" else request

    monkeypatch.setattr(inputs, "make_teacher_request", request_copy)
    module = artifacts.distiller(config)

    def refuse(batch):
        try:
            module(batch)
        except ArtifactError as error:
            return str(error)

    refused = list(map(refuse, module.prefetch_each(batches)))
    # The text alone whose byte it is.
    assert [each is None for each in refused] == [True, False, True, True]
    assert "shard-00000.safetensors is altered since it was built. Delete" in refused[1]
    module.close_teachers()


def test_a_shard_that_is_cut_or_gone_is_named_when_a_job_begins(artifacts, tmp_path):
    from kvdistill import manifest
    from kvdistill.errors import ArtifactError

    folder = copy_store(artifacts, tmp_path)
    path = folder / "shard-00000.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ArtifactError, match=r"shard-00000.safetensors is altered since it was"):
        manifest.verify_artifact(folder)
    path.unlink()
    with pytest.raises(ArtifactError, match=r"shard-00000.safetensors is missing since it was"):
        manifest.verify_artifact(folder)


def test_what_is_read_ahead_is_what_is_read_in_place_and_hashes_a_text_once(artifacts, monkeypatch):
    from kvdistill.kv import store_reader

    digested = []
    original = store_reader.digest_stored_text
    monkeypatch.setattr(
        store_reader, "digest_stored_text", lambda *parts: digested.append(1) or original(*parts)
    )
    ahead, _, config = open_store(artifacts)
    direct, _, _ = open_store(artifacts)
    batches = artifacts.batches(config, "train_student", [[5, 9], [20], [5, 9, 20]])
    read = [(batch.teachers["a"].tokens, batch.ids) for batch in batches]
    for each in read:
        ahead.prefetch(*each)
    for each in read:
        for one, other in zip(ahead.read_kv_cache(*each), direct.read_kv_cache(*each), strict=True):
            for name in ("flat_kv", "row_of_token", "positions"):
                assert torch.equal(getattr(one, name), getattr(other, name))
    ahead.close()
    # Three texts for each of the two; two threads may both have proven one.
    assert 6 <= len(digested) <= 9


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


@pytest.mark.parametrize("instant", ["between", "in a shard"])
def test_a_killed_build_continues_to_the_same_files(new_folder, monkeypatch, instant):
    from kvdistill.train import build_store

    whole, killed = new_folder("kv-whole"), new_folder("kv-killed")
    run_job(whole)
    assert len(list(whole.glob("shard-*"))) > 4
    original = build_store.write_shard

    def die_at_third(folder, number, *more):
        if number == 2:
            if instant == "in a shard":
                (killed / ".shard-00002.safetensors.part").write_bytes(b"half")
            raise KeyboardInterrupt
        original(folder, number, *more)

    with monkeypatch.context() as patch:
        patch.setattr(build_store, "write_shard", die_at_third)
        with pytest.raises(KeyboardInterrupt):
            run_job(killed)
    assert not (killed / "manifest.json").exists()
    stamps = {path.name: path.stat().st_mtime_ns for path in killed.glob("shard-0000[01]*")}
    assert len(stamps) == 2
    run_job(killed)
    assert read_contents(killed) == read_contents(whole)
    assert {n: (killed / n).stat().st_mtime_ns for n in stamps} == stamps  # not written again
    assert not list(killed.glob(".*.part"))


def test_a_shard_spoilt_or_of_another_store_while_the_build_lay_idle_is_made_again(
    new_folder, monkeypatch
):
    from kvdistill import layout
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
    flip_byte(killed / "shard-00002.safetensors", -1)
    shutil.copyfile(killed / "shard-00004.safetensors", killed / "shard-00003.safetensors")
    shutil.copyfile(killed / "shard-00004.safetensors", layout.shard_path(killed, 999))
    run_job(killed)
    assert read_contents(killed) == read_contents(whole)


def fill_on_two_ranks(rank: int, folders: list[str], meeting: str) -> None:
    """Fills each folder's store with another rank."""
    from tests.train.ranks import join_two_ranks

    with join_two_ranks(rank, Path(meeting)):
        from kvdistill.plan.frozen_recipe import read_recipe
        from kvdistill.train import build_store, store_layout

        store_layout.SHARD_BYTES = 60_000
        for folder in map(Path, folders):
            node = read_recipe(folder)
            needs = {role: folder.parent / name for role, name in node.needs.items()}
            facts = build_store.build_kv_store(node.recipe, needs, folder, lambda *_: None)
            assert bool(facts) == (rank == 0)


def test_ranks_share_what_is_missing_and_leave_what_one_would(new_folder, monkeypatch):
    from kvdistill import distributed

    whole, shared = new_folder("kv-whole"), new_folder("kv-shared")
    run_job(whole)
    monkeypatch.setattr(distributed, "count_ranks", lambda: 2)
    monkeypatch.setattr(distributed, "gather_count", lambda own: [own, own])
    written = []
    # One after the other here: each thinks that of the other's half nothing is there.
    for rank in (1, 0):
        monkeypatch.setattr(distributed, "get_rank", lambda rank=rank: rank)
        run_job(shared)
        written.append({int(path.name[6:11]) for path in shared.glob("shard-*")})
        if rank:
            assert not (shared / "store.json").exists()
            (shared / "manifest.json").unlink()
    every = set(range(len(list(whole.glob("shard-*")))))
    assert written == [{number for number in every if number % 2}, every]
    assert read_contents(shared) == read_contents(whole)


@pytest.mark.slow  # two processes begin anew
def test_two_ranks_fill_the_store_that_one_would(new_folder, tmp_path, monkeypatch):
    from kvdistill.train import build_store

    whole, together, begun = (new_folder(f"kv-{name}") for name in ("whole", "together", "begun"))
    run_job(whole)
    original = build_store.write_shard

    def die_at_fourth(folder, number, *more):
        if number == 3:
            raise KeyboardInterrupt
        original(folder, number, *more)

    with monkeypatch.context() as patch:
        patch.setattr(build_store, "write_shard", die_at_fourth)
        with pytest.raises(KeyboardInterrupt):
            run_job(begun)
    stamps = {path.name: path.stat().st_mtime_ns for path in begun.glob("shard-0000[012]*")}
    folders = [str(together), str(begun)]
    torch.multiprocessing.spawn(fill_on_two_ranks, args=(folders, str(tmp_path)), nprocs=2)
    assert read_contents(together) == read_contents(begun) == read_contents(whole)
    assert {n: (begun / n).stat().st_mtime_ns for n in stamps} == stamps


def test_ranks_that_share_a_teacher_in_parts_read_as_often_as_each_other(new_folder, monkeypatch):
    from kvdistill import distributed
    from kvdistill.kv.online import Online
    from kvdistill.plan.frozen_recipe import read_recipe
    from kvdistill.train import build_store

    folder = new_folder("kv-parts")
    node = read_recipe(folder)
    needs = {role: folder.parent / name for role, name in node.needs.items()}
    plan = dataclasses.replace(build_store.plan_store(node.recipe, needs), in_step=True)
    reads = []
    original = Online.run_body
    monkeypatch.setattr(Online, "run_body", lambda self, x: reads.append(1) or original(self, x))
    # The second of two ranks, whose first reads one batch more.
    monkeypatch.setattr(distributed, "get_rank", lambda: 1)
    monkeypatch.setattr(distributed, "count_ranks", lambda: 2)
    monkeypatch.setattr(distributed, "gather_count", lambda own: [own + 3, own])
    teacher = Online(plan.layout.request)
    build_store.write_missing_shards(folder, plan, [0, 1, 2], teacher, lambda *_: None)
    assert [path.name for path in folder.glob("shard*")] == ["shard-00001.safetensors"]
    batches = len(list(build_store.batch_texts(plan.shards[1])))
    assert len(reads) == batches + 3


def test_too_little_disk_is_refused_before_anything_is_written(new_folder, monkeypatch):
    from kvdistill.errors import UserError
    from kvdistill.train import build_store

    usage = namedtuple("usage", "total used free")
    whole, folder = new_folder("kv-whole"), new_folder("kv-full")
    run_job(whole)
    headers = [read_header(path) for path in whole.glob("shard-*")]
    tensors = [header.tensors[name] for header in headers for name in ("rows", "tokens")]
    rows = sum(each.stop - each.start for each in tensors)
    with monkeypatch.context() as patch:
        patch.setattr(build_store.shutil, "disk_usage", lambda _: usage(0, 0, 100_000))
        with pytest.raises(
            UserError, match=r"kv-full needs \d\.\d\d MB more, for [\d,]+ kept tokens .* 0.10 MB"
        ) as refused:
            run_job(folder)
    assert not list(folder.glob("*shard*"))
    needed = float(str(refused.value).split(" needs ")[1].split(" MB")[0]) * 1e6
    assert needed == pytest.approx(rows, abs=5_000)  # in MB with two places


@pytest.mark.parametrize("dtype", ["float16", "int4"])
def test_an_unknown_dtype_is_refused_when_the_plan_is_checked(artifacts, dtype):
    from kvdistill.errors import ConfigError
    from kvdistill.train.preflight import check_run_config

    with pytest.raises(ConfigError, match=f"source.stored.dtype={dtype} is none of float32"):
        check_run_config(artifacts.config("source=store", f"source.stored.dtype={dtype}"))
