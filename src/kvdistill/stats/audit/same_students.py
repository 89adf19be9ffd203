"""Arms that trained one student under two names: what is set apart in them had no effect.

Scores alone do not show it (two arms may tie), and settings do not either (they differ). The bytes
of the weights do.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations

from kvdistill import layout
from kvdistill.stats.study import Arm, QuestionRecords, Run

WEIGHTS = ".safetensors"


def find_same_students(questions: Mapping[str, QuestionRecords]) -> Iterator[str]:
    """A sentence for every two arms of a question whose students are equal in all shared seeds.

    Arms that share a run by its identity are left out: a plan says that they are one.
    """
    for question in questions.values():
        for one, other in combinations(question.arms.values(), 2):
            if seeds := list_same_seeds(one, other):
                yield (
                    f"{question.name}: {one.label} and {other.label} trained the same student, to "
                    f"the bit, with seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}: "
                    f"they are one arm under two names, and no comparison of them says anything. "
                    f"Compare what python launch.py stage=why run=ID says of both."
                )


def list_same_seeds(one: Arm, other: Arm) -> Sequence[int]:
    """The seeds that both have finished; empty where a student differs in any of them."""
    shared = sorted(
        seed for seed in set(one.runs) & set(other.runs)
        if one.runs[seed].done and other.runs[seed].done
    )  # fmt: skip
    pairs = [(one.runs[seed], other.runs[seed]) for seed in shared]
    same = [is_same_student(*pair) for pair in pairs]
    return shared if same and all(same) else []


def is_same_student(one: Run, other: Run) -> bool:
    """Whether two trained runs kept weights of the same digests."""
    weights = digest_weights(one)
    trained_apart = one.trained and other.trained and one.identity != other.identity
    return bool(trained_apart and weights and weights == digest_weights(other))


def digest_weights(run: Run) -> Mapping[str, str]:
    """File of the student's weights -> its digest, as the manifest has them."""
    files = run.manifest.get("files") or {}
    return {
        name: digest for name, digest in files.items()
        if name.startswith(f"{layout.MODEL}/") and name.endswith(WEIGHTS)
    }  # fmt: skip
