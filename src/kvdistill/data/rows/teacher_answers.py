"""What a teacher wrote to the student half's questions, and which of it is trained on.

Sequence-level distillation (Kim and Rush 2016, arXiv 1606.07947): the student is fine-tuned on the
teacher's own outputs. An answer that ran out of tokens, or is empty, is left out by every choice:
an end-of-text token would stand where the teacher had none. `right_teacher` leaves out the wrong
ones as well, and so each question that no teacher answers rightly.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerBase

from kvdistill import layout
from kvdistill.config.check_texts import RIGHT_TEACHER, TEACHER
from kvdistill.data.prompt_style import RenderedText, Style
from kvdistill.errors import ArtifactError, ConfigError
from kvdistill.files import write_text
from kvdistill.records import Record


@dataclass(frozen=True, kw_only=True)
class TeacherAnswer:
    """One answer: a row of answers.jsonl."""

    record: str
    """Id of the record whose question was asked."""
    style: str
    """Name of the template that it was asked in."""
    text: str
    """As it was written, from behind the prompt."""
    tokens: int
    """The teacher's own, the one that ended it counted in."""
    ended: bool
    """False where the tokens ran out."""
    right: bool
    """Whether it comes to the record's answer."""

    @property
    def whole(self) -> bool:
        """Whether it can be trained on: it says something, and ended."""
        return self.ended and bool(self.text.strip())


def write_answer_file(folder: Path, answers: Sequence[TeacherAnswer]) -> None:
    """Writes answers.jsonl whole, an answer a line."""
    lines = [json.dumps(asdict(answer), ensure_ascii=False) + "\n" for answer in answers]
    write_text(folder / layout.ANSWERS, "".join(lines))


def read_answer_file(folder: Path) -> list[TeacherAnswer]:
    """What `write_answer_file` wrote. Raises ArtifactError for a file that is not that."""
    path = folder / layout.ANSWERS
    names = {field.name for field in fields(TeacherAnswer)}
    try:
        # Divided as bytes: `str.splitlines` would also divide at a U+2028 in an answer.
        rows = [json.loads(line) for line in path.read_bytes().split(b"\n") if line]
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{path} cannot be read: {error}. Repeat the command.") from error
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, dict) or set(row) != names:
            raise ArtifactError(f"{path} row {number} is no answer with {sorted(names)}.")
    return [TeacherAnswer(**row) for row in rows]


def choose_answers(answers: Sequence[TeacherAnswer], choice: str) -> list[TeacherAnswer]:
    """Those that `data.answers` trains on: the whole ones, of which `right_teacher` wants right."""
    return [each for each in answers if each.whole and (each.right or choice != RIGHT_TEACHER)]


def render_answers(
    records: Sequence[Record],
    style: Style,
    tokenizer: PreTrainedTokenizerBase,
    answers: Mapping[str, Sequence[TeacherAnswer]],
    choice: str,
) -> list[RenderedText]:
    """A text for each answer that is trained on, record after record, template after template.

    `answers` are by teacher, in whose order they stand; `tokenizer` is the student's. A text's id
    is `record:template@teacher`. Raises ConfigError where none is left.
    """
    chosen: dict[tuple[str, str], list[tuple[str, TeacherAnswer]]] = {}
    for role, written in answers.items():
        for each in choose_answers(written, choice):
            chosen.setdefault((each.record, each.style), []).append((role, each))
    texts = []
    for record in records:
        for name in style.templates:
            for role, each in chosen.get((record.id, name), ()):
                text = style.render_answer(record, name, each.text, tokenizer)
                texts.append(rename_text(text, f"{text.id}@{role}"))
    if not texts:
        raise ConfigError(
            f"data.answers={choice} leaves no text: {describe_answers(answers, choice)}. Use "
            f"data.answers=gold, another teacher, or a larger data.decoding.max_new_tokens."
        )
    return texts


def rename_text(text: RenderedText, id: str) -> RenderedText:
    """The same text under another id."""
    return RenderedText(**{**vars(text), "id": id})


def describe_answers(answers: Mapping[str, Sequence[TeacherAnswer]], choice: str) -> str:
    """`a: 120 of 240 answers are trained on (0.61 right, 12 cut off, 0 empty)`, by teacher."""
    return "; ".join(
        f"{role}: {len(choose_answers(written, choice))} of {len(written)} answers are trained on "
        f"({measure_answers(written)['right_share']:.2f} right, "
        f"{sum(not each.ended for each in written)} cut off, "
        f"{sum(each.ended and not each.text.strip() for each in written)} empty)"
        for role, written in answers.items()
    )


def measure_answers(answers: Sequence[TeacherAnswer]) -> dict[str, Any]:
    """How many there are and are trained on, which share is right, and how long they are."""
    count = len(answers)
    return {
        "answers": count,
        "right_share": sum(each.right for each in answers) / max(count, 1),
        "mean_tokens": sum(each.tokens for each in answers) / max(count, 1),
        "cut": sum(not each.ended for each in answers),
        "empty": sum(each.ended and not each.text.strip() for each in answers),
        "kept": {
            choice: len(choose_answers(answers, choice)) for choice in (TEACHER, RIGHT_TEACHER)
        },
    }
