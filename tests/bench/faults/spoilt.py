"""Files of a finished study that were cut, flipped, emptied or removed behind its back."""

import random
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.bench.faults.study import Calm, Ended, copy

FILES = (
    "artifacts/split-*/train_student.jsonl", "artifacts/split-*/val.jsonl",
    "artifacts/model-*/model/model.safetensors", "artifacts/model-*/model/tokenizer.json",
    "artifacts/kv-*/shard-00000.safetensors", "artifacts/kv-*/index.safetensors",
    "artifacts/kv-*/store.json", "artifacts/calibration-*/calibration.safetensors",
    "artifacts/validation-*/validation_report.json", "artifacts/eval-*/answers.jsonl",
    "artifacts/model-*/manifest.json", "artifacts/kv-*/config.yaml",
    "runs/nano/runs/*/results.json", "runs/nano/runs/*/items.parquet",
    "runs/nano/runs/*/curves.jsonl", "runs/nano/runs/*/routing.json",
    "runs/nano/runs/*/manifest.json", "runs/nano/runs/*/config.yaml",
    "runs/nano/runs/*/status.json", "runs/nano/plan.json", "runs/nano/budget.json",
)  # fmt: skip


def cut(path: Path, chance: random.Random) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: chance.randrange(len(data))])


def flip(path: Path, chance: random.Random) -> None:
    data = bytearray(path.read_bytes())
    data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    path.write_bytes(data)


SPOIL: dict[str, Callable[[Path, random.Random], None]] = {
    "flipped": flip,
    "cut": cut,
    "emptied": lambda path, _: path.write_bytes(b""),
    "removed": lambda path, _: path.unlink(),
}


def faults(
    calm: Calm, place: Path, chance: random.Random, quick: bool
) -> Iterator[tuple[str, str]]:
    """One file a fault. A run's manifest is removed too, so that every artefact is read again.

    Not that of the run whose own file is the fault: then its manifest is what has to notice.
    """
    cases = [(pattern, how) for pattern in FILES for how in SPOIL]
    for pattern, how in chance.sample(cases, 1) if quick else cases:
        root = copy(calm.root, place / "root")
        path = chance.choice(sorted(root.glob(pattern)))
        again = sorted(root.glob("runs/nano/runs/seed1-*/manifest.json"))
        others = [one for one in again if one.parent != path.parent]
        if others:
            chance.choice(others).unlink()
        SPOIL[how](path, chance)
        yield f"{path.relative_to(root)} {how}", outcome(calm, root, calm.run(root))
        shutil.rmtree(root)


def outcome(calm: Calm, root: Path, ended: Ended) -> str:
    """Same, refused or wrong; what the line says to delete is deleted, and the command repeated."""
    refusals = []
    while ended.code != 0 and len(refusals) < 3:
        refusals.append(ended.stderr)
        advice = re.search(r"[Dd]elete (\S+?)\.? and repeat", ended.stderr)
        if not ended.clear or advice is None:
            return f"wrong: exit code {ended.code}, {ended.stderr}"
        target = Path(advice[1])
        assert target.is_relative_to(root)
        shutil.rmtree(target) if target.is_dir() else target.unlink()
        ended = calm.run(root)
    last = calm.judge(root, ended)
    return f"refused: {' | '.join(refusals)}" if refusals and last == "same" else last
