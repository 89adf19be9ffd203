"""Items divided among two ranks: what one rank finds, whoever of them answers."""

import multiprocessing
import os
import pickle
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from torch import distributed as dist

from kvdistill.errors import UserError
from kvdistill.evaluate import harness
from kvdistill.evaluate.backends.batch_sizes import BatchSizes
from kvdistill.evaluate.backends.hf import CachedHFLM
from kvdistill.evaluate.suite import Suite
from tests.evaluate.tiny_models import NANO, byte_tokenizer, make_tiny_model

SUITE = Suite(name="n", tasks=NANO, batch_size=4, max_gen_toks=12)


def score(records: Path, cache: Path | None, suite: Suite = SUITE, **given: Any) -> Any:
    """An evaluation of the tiny model on the records."""
    tokenizer = byte_tokenizer()
    model = make_tiny_model(tokenizer)
    return harness.evaluate(model, tokenizer, suite, {"test": records}, None, cache, **given)


def run_rank(rank: int, folder: Path, records: Path, cache: Path | None, *, broken: bool) -> None:
    """One of two ranks; writes what it got, or the error, and how many answers it computed."""
    torch.set_num_threads(1)
    store = dist.FileStore(str(folder / "store"), 2)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=2)
    computed = []
    compute = CachedHFLM._compute

    def count(self: CachedHFLM, kind: str) -> None:
        computed.append(len(self._pending))
        if broken and rank == 1:
            raise UserError("rank 1 cannot")
        compute(self, kind)

    CachedHFLM._compute = count
    try:
        result: Any = score(records, cache, divide=True)
    except UserError as error:
        result = str(error)
    (folder / f"rank{rank}").write_bytes(pickle.dumps((result, sum(computed))))
    os._exit(0)  # what pytest would do at the end is the parent's


def run_two_ranks(folder: Path, records: Path, cache: Path | None, *, broken: bool = False) -> Any:
    """(result, answers computed) of each rank."""
    folder.mkdir()
    fork = multiprocessing.get_context("fork")
    ranks = [
        fork.Process(
            target=run_rank, args=(rank, folder, records, cache), kwargs={"broken": broken}
        )
        for rank in (0, 1)
    ]
    for rank in ranks:
        rank.start()
    for rank in ranks:
        rank.join(100)
    return [pickle.loads((folder / f"rank{rank}").read_bytes()) for rank in (0, 1)]


@pytest.mark.integration
def test_two_ranks_find_what_one_does_each_having_answered_half(
    nano_records: Path, tmp_path: Path
) -> None:
    alone = score(nano_records, None)
    (first, ours), (second, theirs) = run_two_ranks(tmp_path / "a", nano_records, tmp_path)
    for each in (first, second):
        pd.testing.assert_frame_equal(pd.DataFrame(each.items), pd.DataFrame(alone.items))
        assert (each.macro, each.tasks) == (alone.macro, alone.tasks)
    assert abs(ours - theirs) <= 2
    assert ours + theirs > 80
    # Each kept its answers in a file of its own, and whoever comes next reads both.
    names = sorted(path.name for path in tmp_path.glob("eval-*/*"))
    assert names == ["answers.1.jsonl", "answers.jsonl"]
    (again, ours), (_, theirs) = run_two_ranks(tmp_path / "b", nano_records, tmp_path)
    assert (ours, theirs) == (0, 0)
    assert again.items == alone.items
    assert score(nano_records, tmp_path).batches == {}


@pytest.mark.integration
def test_what_one_rank_refuses_ends_the_other_too(nano_records: Path, tmp_path: Path) -> None:
    results = run_two_ranks(tmp_path / "a", nano_records, None, broken=True)
    assert [result for result, _ in results] == ["rank 1 cannot"] * 2


@pytest.mark.integration
def test_the_size_of_a_batch_changes_no_item(
    nano_records: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = score(nano_records, None)
    assert alone.batches == {"generate_until": [4], "loglikelihood": [4]}
    automatic = score(
        nano_records, None, Suite(name="n", tasks=NANO, batch_size="auto", max_gen_toks=12)
    )
    assert automatic.batches == {"generate_until": [16], "loglikelihood": [16]}
    assert automatic.items == alone.items
    # As on a GPU with room for a few rows only: long requests in small batches, short in large.
    make = BatchSizes.of_model

    def pretend_gpu(model: Any, fixed: int, *, automatic: bool) -> BatchSizes:
        from kvdistill.geometry import Geometry
        from kvdistill.models.geometry import read_geometry

        assert automatic
        assert make(model, fixed, automatic=True).free_bytes is None  # a CPU's batches are fixed
        return BatchSizes(fixed, Geometry(**read_geometry(model.config)), 4, 1_500_000)

    monkeypatch.setattr(BatchSizes, "of_model", pretend_gpu)
    sized = score(
        nano_records, None, Suite(name="n", tasks=NANO, batch_size="auto", max_gen_toks=12)
    )
    assert len({*sized.batches["generate_until"], *sized.batches["loglikelihood"]}) > 1
    assert sized.items == alone.items
