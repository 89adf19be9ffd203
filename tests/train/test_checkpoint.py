"""A run that is killed, anywhere, ends as if it had not been."""

import os
import signal
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.train.runs import assert_same_weights, read_lines

pytestmark = pytest.mark.integration

Make = Callable[..., Any]
ROOMS = ("fusion=learnable", "fusion.teacher_dropout=0.5", "projection=linear",
         "loss/balance=gradient_norm", "loss.balance.every=3")  # fmt: skip


def kill_self(_: Any = None, *__: Any, **___: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def assert_killed(work: Callable[[], object]) -> None:
    """Does the work in a process of its own, which must die of SIGKILL before its end."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # torch's threads do not matter here
        child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


def drop_seconds(trainer: Any) -> list[dict[str, Any]]:
    """The curves without measured seconds."""
    return [
        {k: v for k, v in line.items() if k not in ("train_s", "speed")}
        for line in read_lines(trainer)
    ]


def assert_equal_runs(one: Any, other: Any) -> None:
    assert_same_weights(one, other)
    assert drop_seconds(one) == drop_seconds(other)
    assert one.curves.sum_over_ranks() == other.curves.sum_over_ranks()
    if one.routing is not None:
        assert one.routing.to_table() == other.routing.to_table()


def kill_at_call(call: Callable[..., Any], number: int) -> Callable[..., Any]:
    """The function, until its call `number`, which kills."""
    calls = []

    def call_or_kill(*arguments: Any, **named: Any) -> Any:
        calls.append(0)
        return kill_self() if len(calls) == number else call(*arguments, **named)

    return call_or_kill


AT = {
    "before any checkpoint": ("kvdistill.train.trainer", "clip_grads_with_norm_", 1),
    "after a checkpoint": ("kvdistill.train.trainer", "clip_grads_with_norm_", 3),
    "writing the weights": ("kvdistill.train.checkpoint", "save_model", 2),
    "writing the optimiser": ("torch", "save", 4),
    "before the checksums": ("kvdistill.train.checkpoint", "write_checksums", 2),
    "before the first checksums": ("kvdistill.train.checkpoint", "write_checksums", 1),
    "in rotation": ("shutil", "rmtree", 4),
}


def test_a_run_killed_anywhere_ends_in_the_same_bits(
    trained: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    import importlib

    # Lines of three steps, so that sums are carried over a checkpoint.
    how = {"evaluate": 2, "logging_steps": 3, "save_steps": 1}
    whole = trained(*ROOMS, **how)
    for where, (module, name, number) in AT.items():
        with monkeypatch.context() as patch:
            patched_module = importlib.import_module(module)
            patch.setattr(patched_module, name, kill_at_call(getattr(patched_module, name), number))
            assert_killed(lambda where=where: trained(*ROOMS, name=where, **how))
        assert_equal_runs(whole, trained(*ROOMS, name=where, **how))


def test_a_line_cut_short_is_written_again(trained: Make, tmp_path: Path) -> None:
    whole = trained()
    with pytest.raises(KeyboardInterrupt):
        trained(name="cut", stop=3)
    with (tmp_path / "cut/curves.jsonl").open("a") as file:
        file.write('{"step": 3, "spl')
    assert_equal_runs(whole, trained(name="cut"))


def test_a_run_killed_after_training_reports_the_same(trained: Make) -> None:
    whole = trained(*ROOMS, evaluate=4)
    trained(*ROOMS, evaluate=4, name="again")
    again = trained(*ROOMS, evaluate=4, name="again")
    assert_equal_runs(whole, again)
    assert again.state.global_step == 4


def flip_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


def cut_end(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-2])


def test_a_spoilt_checkpoint_is_named_and_the_one_before_it_used(
    trained: Make, tmp_path: Path
) -> None:
    from kvdistill.train.checkpoint import find_newest

    with pytest.raises(KeyboardInterrupt):
        trained(teachers=(), name="spoilt", save_steps=1, stop=4)
    checkpoints = tmp_path / "spoilt/checkpoints"
    last = checkpoints / "checkpoint-3"
    files = [path for path in last.iterdir() if path.name != "training_args.bin"]
    assert len(files) == 8
    for path in files:
        kept = path.read_bytes()
        for spoil in (flip_byte, cut_end, Path.unlink):
            spoil(path)
            resume_point = find_newest(checkpoints, {})
            assert resume_point.folder == checkpoints / "checkpoint-2", (path.name, spoil)
            (fault,) = resume_point.faults
            assert "checkpoint-3 is not used" in fault
            path.write_bytes(kept)
    assert find_newest(checkpoints, {}).folder == last
    flip_byte(last / "optimizer.pt")
    assert_same_weights(
        trained(teachers=(), save_steps=1), trained(teachers=(), name="spoilt", save_steps=1)
    )


def test_two_whole_checkpoints_are_kept(trained: Make, tmp_path: Path) -> None:
    from kvdistill.train.checkpoint import describe_fault, list_checkpoints

    trained(teachers=(), name="run", save_steps=1)
    left = list_checkpoints(tmp_path / "run/checkpoints")
    assert [path.name for path in left] == ["checkpoint-3", "checkpoint-4"]
    assert not any(map(describe_fault, left))


# PEFT asks by a name that transformers is about to drop.
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing.*:FutureWarning")
def test_what_lora_leaves_as_it_was_is_in_no_checkpoint(trained: Make, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    from kvdistill.train.checkpoint import load_weights

    lora = ("adapter=lora", "adapter.rank=2", "fusion=learnable")
    whole = trained(*lora, name="whole")
    with pytest.raises(KeyboardInterrupt):
        trained(*lora, name="stopped", save_steps=1, stop=3)
    folder = tmp_path / "stopped/checkpoints/checkpoint-2"
    names = load_file(folder / "distiller.safetensors").keys()
    ours = [name for name in names if name.startswith("student.")]
    assert ours
    assert all("lora_" in name for name in ours)
    assert any(not name.startswith("student.") for name in names)  # the fusion's own
    assert_same_weights(whole, trained(*lora, name="stopped", save_steps=1))
    save_file({}, tmp_path / "distiller.safetensors")
    with pytest.raises(RuntimeError, match=r"distiller.safetensors lacks \[.*lora_A.*'\] and has"):
        load_weights(whole.module, tmp_path)


def test_another_artefact_is_refused_by_name(tmp_path: Path) -> None:
    from kvdistill.errors import ArtifactError
    from kvdistill.train.checkpoint import find_newest, write_checksums

    folder = tmp_path / "checkpoint-1"
    folder.mkdir()
    write_checksums(folder, {"split": Path("artifacts/split-a")})
    assert find_newest(tmp_path, {"split": Path("elsewhere/split-a")}).folder == folder
    with pytest.raises(ArtifactError, match=r"split split-a, but the run reads split-b"):
        find_newest(tmp_path, {"split": Path("artifacts/split-b")})


def test_nothing_is_resumed_where_nothing_is_whole(tmp_path: Path) -> None:
    from kvdistill.train.checkpoint import find_newest

    (tmp_path / "checkpoint-7").mkdir()
    resume_point = find_newest(tmp_path, {})
    assert resume_point.folder is None
    assert "not written to its end" in resume_point.faults[0]


def test_seconds_go_on_from_the_checkpoint(trained: Make, tmp_path: Path) -> None:
    from kvdistill.files import read_json, write_json
    from kvdistill.train.checkpoint import write_checksums

    with pytest.raises(KeyboardInterrupt):
        trained(teachers=(), name="timed", stop=3)
    folder = tmp_path / "timed/checkpoints/checkpoint-2"
    write_json(folder / "curves_0.json", read_json(folder / "curves_0.json") | {"seconds": 1000.0})
    (folder / "checksums.json").unlink()
    write_checksums(folder, {})
    assert trained(teachers=(), name="timed").curves.train_seconds > 1000


@pytest.mark.parametrize("name", ["optimizer.pt", "scheduler.pt", "rng_state.pth"])
def test_what_would_run_when_a_checkpoint_is_read_does_not(
    name: str, trained: Make, tmp_path: Path
) -> None:
    import pickle

    from kvdistill.train import checkpoint
    from tests.models.pickles import PickleBomb

    with pytest.raises(KeyboardInterrupt):
        trained(teachers=(), name="hostile", stop=3)
    folder = checkpoint.find_newest(tmp_path / "hostile/checkpoints", {}).folder
    assert folder is not None
    with (folder / name).open("wb") as file:
        pickle.dump(PickleBomb(tmp_path / "ran"), file, protocol=2)
    (folder / checkpoint.CHECKSUMS).unlink()
    checkpoint.write_checksums(folder, {})  # so that only how it is read protects
    with pytest.raises(pickle.UnpicklingError):
        trained(teachers=(), name="hostile")
    assert not (tmp_path / "ran").exists()
