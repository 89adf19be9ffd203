"""Loaders of each benchmark's rows: the `custom_dataset` of tasks/*.yaml.

Every document gets an `id`, a `chance` (the score of guessing) and, where the answer is free,
a `target`. lm-eval passes a task file's `metadata` as keywords, and with it the suite's settings:
`data_root`, `limit`, `shots`, `records`.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from datasets import Dataset

from kvdistill.data.rows.markup import strip_calculator_marks
from kvdistill.errors import ConfigError
from kvdistill.evaluate.exemplars import read_bbh_shots, read_math_shots
from kvdistill.evaluate.grading import bbh
from kvdistill.evaluate.grading.letters import list_options, parse_letter
from kvdistill.evaluate.task_data import (
    MissingDataError,
    Row,
    assign_ids,
    digest_text,
    make_test_set,
    read_jsonl,
    read_rows,
)

Tests = dict[str, Dataset]
LETTERS = "ABCD"
"""Of an exam's options."""


def load_records(
    *,
    records: Mapping[str, str],
    split: str,
    limit: int | None,
    family: str | None = None,
    **_: Any,
) -> Tests:
    """The project's own rows of one task family (or all), from a file of the split artefact."""
    if split not in records:
        raise MissingDataError(f"no {split} records were given; a run passes those of its split.")
    path = Path(records[split])
    rows = [row for row in read_jsonl(path) if family in (None, row["task"])]
    if not rows:
        raise MissingDataError(
            f"{path} has no record of task {family}; it comes with another data set."
        )
    docs = [parse_record(row) for row in rows]
    if family is None:
        # All families in one task: they are its subjects, so that a sample is spread over them.
        docs = [{**doc, "id": f"{doc['family']}/{doc['id']}"} for doc in docs]
    return make_test_set(docs, limit)


def parse_record(row: Mapping[str, Any]) -> Row:
    """A document of a record: with `letters` and the index `gold` where it is a choice."""
    options = list_options(row["question"])
    # A free answer to a question with "A." lines is no choice; its gold answer is then no letter.
    letter = parse_letter(row["answer"], options) if len(options) > 1 else None
    letters = list(options) if letter else []
    return {
        "id": row["id"],
        "family": row["task"],
        "question": row["question"],
        "target": letter or row["answer"],
        "letters": letters,
        "gold": letters.index(letter) if letter else -1,
        "chance": 1 / len(letters) if letters else 0.0,
    }


def load_gsm8k(*, limit: int | None, shots: int, pool: str = "train", **where: Any) -> Tests:
    """Grade-school word problems; the gold answer follows the rationale's `####`."""
    rows = assign_ids(read_rows(**locate_rows(where)), "question")
    examples = read_few_shot_examples(where, pool, shots)
    worked = [{"question": row["question"], **_split_rationale(row["answer"])} for row in examples]
    return make_test_set(
        [
            {**row, **_split_rationale(row["answer"]), "shots": worked, "chance": 0.0}
            for row in rows
        ],
        limit,
    )


def load_gsm8k_likelihood(**where: Any) -> Tests:
    """GSM8K with `worked`: the source's own answer as a text in the study's CoT form."""
    return {
        split: rows.map(lambda row: {"worked": f"{row['rationale']} #### {row['target']}"})
        for split, rows in load_gsm8k(**where).items()
    }


def _split_rationale(answer: str) -> Row:
    """`rationale` and `target` of an answer of GSM8K."""
    rationale, _, target = answer.rpartition("####")
    return {"rationale": strip_calculator_marks(rationale).strip(), "target": target.strip()}


def load_math500(*, limit: int | None, shots: int, **where: Any) -> Tests:
    """Competition problems, by subject; the gold answer is LaTeX. Up to four worked examples."""
    by_subject = defaultdict(list)
    for row in read_rows(**locate_rows(where)):
        by_subject[row["subject"].lower().replace(" ", "_")].append(row)
    worked = read_math_shots()[:shots] if shots else []
    rows = [
        {**row, "target": row["answer"], "shots": worked, "chance": 0.0}
        for subject, members in by_subject.items()
        for row in assign_ids(leave_out_shown(members, worked, "problem"), "problem", subject)
    ]
    return make_test_set(rows, limit)


def load_bbh(*, limit: int | None, shots: int, subjects: Mapping[str, str], **where: Any) -> Tests:
    """BIG-Bench Hard: 27 subtasks, each with one line that says what to do (`about`).

    With examples, up to three a subtask, that line is the one they were published under.
    """
    known = read_bbh_shots(tuple(subjects)) if shots else {}
    rows = []
    for subject, own_line in subjects.items():
        about, examples = known.get(subject, (own_line, []))
        worked = examples[:shots]
        members = read_rows(**locate_rows(where, config=subject))
        rows += [
            {
                **row,
                "about": about,
                "shots": worked,
                "chance": bbh.compute_chance(row["input"], row["target"]),
            }
            for row in assign_ids(leave_out_shown(members, worked, "input"), "input", subject)
        ]
    return make_test_set(rows, limit)


def leave_out_shown(rows: Sequence[Row], shots: Sequence[Row], column: str) -> list[Row]:
    """The rows less those that stand among the worked examples: what is shown is not asked."""
    shown = {" ".join(shot[column].split()) for shot in shots}
    return [row for row in rows if " ".join(str(row[column]).split()) not in shown]


def load_exam(
    *, limit: int | None, shots: int, subjects: Mapping[str, str], pool: str,
    columns: Mapping[str, str], **where: Any,
) -> Tests:  # fmt: skip
    """Four-choice questions by subject (CMMLU, C-Eval), with that subject's own worked examples.

    `columns` says what the benchmark calls its `question` and its `answer`.
    """
    rows = []
    for subject, about in subjects.items():
        subject_where = {**where, "config": subject}
        pool_rows = read_few_shot_examples(subject_where, pool, shots)
        worked = [_parse_exam_row(row, columns) for row in pool_rows]
        rows += [
            {
                **_parse_exam_row(row, columns),
                "id": row["id"],
                "about": about,
                "shots": worked,
                "chance": 0.25,
            }
            for row in assign_ids(
                read_rows(**locate_rows(subject_where)), columns["question"], subject
            )
        ]
    return make_test_set(rows, limit)


def load_written_exam(**where: Any) -> Tests:
    """The rows of `load_exam` with `letters` and the `target` among them, for a written letter."""
    return {
        split: rows.map(lambda row: {"letters": list(LETTERS), "target": LETTERS[row["gold"]]})
        for split, rows in load_exam(**where).items()
    }


def _parse_exam_row(row: Row, columns: Mapping[str, str]) -> Row:
    """`question`, `answer`, the index `gold`, and the options under their letters."""
    return {
        "question": str(row[columns["question"]]).strip(),
        "answer": row[columns["answer"]].strip(),
        "gold": LETTERS.index(row[columns["answer"]].strip()),
        **{letter: str(row[letter]) for letter in LETTERS},
    }


def load_truthfulqa(*, limit: int | None, targets: str, **where: Any) -> Tests:
    """Questions people answer wrongly, with true and false choices (`targets`: mc1 or mc2).

    The files put the true choice first; here it stands where the question's digest says, so that a
    model whose choices all tie is not right.
    """
    rows = []
    for row in assign_ids(read_rows(**locate_rows(where)), "question"):
        pairs = list(
            zip(
                row[f"{targets}_targets"]["choices"],
                row[f"{targets}_targets"]["labels"],
                strict=True,
            )
        )
        pairs = order_options(pairs, row["question"])
        labels = [int(label) for _, label in pairs]
        rows.append(
            {
                "id": row["id"],
                "question": row["question"],
                "choices": [choice for choice, _ in pairs],
                "labels": labels,
                "gold": labels.index(1),
                "chance": sum(labels) / len(labels),
            }
        )
    return make_test_set(rows, limit)


def load_gpqa(*, limit: int | None, **where: Any) -> Tests:
    """Graduate-level questions, gated; the options' order is a function of the question alone."""
    rows = []
    for row in assign_ids(read_rows(**locate_rows(where)), "Question"):
        wrong = [row[f"Incorrect Answer {index}"] for index in (1, 2, 3)]
        options = [
            (str(row["Correct Answer"]).strip(), True),
            *((str(x).strip(), False) for x in wrong),
        ]
        options = order_options(options, row["Question"])
        rows.append(
            {
                "id": row["id"],
                "question": str(row["Question"]).strip(),
                "options": [option for option, _ in options],
                "gold": [right for _, right in options].index(True),
                "chance": 0.25,
            }
        )
    return make_test_set(rows, limit)


def order_options(options: Sequence[tuple[str, Any]], question: str) -> list[tuple[str, Any]]:
    """The options in the order of a digest of question and option, and of nothing else."""
    return sorted(options, key=lambda option: digest_text(f"{question}\n{option[0]}"))


def read_few_shot_examples(where: Mapping[str, Any], split: str, shots: int) -> list[Row]:
    """The first `shots` rows of the split that holds the benchmark's own worked examples.

    Raises ConfigError where it has fewer.
    """
    pool = read_rows(**{**locate_rows(where), "split": split}) if shots else []
    if len(pool) < shots:
        raise ConfigError(
            f"tasks.shots={shots}: the {split} part of {where['folder']} has {len(pool)} rows to "
            "show. Ask for fewer."
        )
    return pool[:shots]


def locate_rows(where: Mapping[str, Any], **overrides: str) -> dict[str, Any]:
    """The keywords of `read_rows` among those of a task file, with some replaced."""
    keys = ("repo", "folder", "config", "split", "data_root")
    place = {key: overrides.get(key, where.get(key)) for key in keys}
    optional = {key: where[key] for key in ("files", "needs") if key in where}
    revision = (where.get("revisions") or {}).get(where.get("repo"), "main")
    return {**place, **optional, "revision": revision}
