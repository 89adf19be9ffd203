"""What the ledger of a run is computed from."""

import json
from pathlib import Path


def test_when_a_run_converged(tmp_path: Path) -> None:
    from kvdistill.train.run_ledger import find_convergence

    scores = [0.0, 0.2, 0.55, 0.5, 0.6]
    lines = [{"step": 10 * i, "split": "val", "exact_match": x, "train_s": 1.0 * i}
             for i, x in enumerate(scores)]  # fmt: skip
    path = tmp_path / "curves.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)))
    assert find_convergence(path) == {"score": "exact_match", "step": 20, "train_s": 2.0}
    path.write_text("\n".join(json.dumps(line | {"exact_match": 0.0}) for line in lines))
    assert find_convergence(path) is None
