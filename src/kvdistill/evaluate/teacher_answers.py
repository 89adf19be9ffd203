"""A teacher's own answers to the student half's questions, each judged as a scored item is.

Every question is asked once in each template of the style. In a chat it is the teacher's own
template that asks: what is trained on is rendered by the student's. What is written so far is kept
beside the answers, so that a job that was killed goes on at the batch it was in; batches do not
depend on what was written before.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kvdistill import layout
from kvdistill.config.build import build_node
from kvdistill.data.prompt_style import Style
from kvdistill.data.rows.teacher_answers import TeacherAnswer, measure_answers, write_answer_file
from kvdistill.data.split import read_split_part
from kvdistill.errors import UserError
from kvdistill.evaluate.backends.batch_sizes import BatchSizes
from kvdistill.evaluate.benchmarks import parse_record
from kvdistill.evaluate.grading.extract import INVALID, extract_formula, extract_record_answer
from kvdistill.evaluate.grading.graders import grade_exact, grade_math
from kvdistill.evaluate.response_cache import CachedResponse, ResponseCache, hash_request
from kvdistill.geometry import Geometry
from kvdistill.models import load
from kvdistill.models.attention.implementation import set_reading_attention
from kvdistill.models.generation.stopping import NonFiniteLogitsError
from kvdistill.models.generation.write_answers import (
    Decoding,
    Prompt,
    WrittenText,
    encode_prompt,
    write_answers,
)
from kvdistill.plan import flops
from kvdistill.plan.graph import ONLY
from kvdistill.plan.resources.evaluation_memory import DEFAULT_BATCH
from kvdistill.records import Record

PART = "train_student"
"""Of the split: what the student is trained on, and no teacher of ours has seen."""
FORMULA_SIGNS = ("\\", "^", "_", "$")
"""In a gold answer: it is mathematics as LaTeX writes it, and compared as such."""


@dataclass(frozen=True)
class Question:
    """A record asked in one template."""

    record: Record
    style: str
    prompt: Prompt
    length: int
    """Of the prompt, in the teacher's tokens."""

    def make_key(self, decoding: Decoding) -> str:
        """What its answer is kept under."""
        return hash_request("answer", [self.prompt.id, self.prompt.text, asdict(decoding)])


def build_answers(
    recipe: Mapping[str, Any],
    needs: Mapping[str, Path],
    folder: Path,
    progress: Callable[[int, int], None],
) -> dict[str, Any]:
    """Writes answers.jsonl, and returns how many are right, how long they are and what they took.

    Raises UserError for a teacher whose logits are no numbers.
    """
    node, role = recipe["teachers"][ONLY], f"teacher.{ONLY}"
    style: Style = build_node("style", recipe["style"])
    decoding = Decoding(**recipe["decoding"], stops=style.list_stops())
    tokenizer = load.load_tokenizer(node, role, needs.get(role))
    questions = list_questions(read_split_part(needs["split"], PART), style, tokenizer)
    kept = ResponseCache(folder / layout.WRITTEN)
    if any(each.make_key(decoding) not in kept for each in questions):
        model = load.load_model(node, role, needs.get(role))
        model = load.place_for_scoring(model, node, role).eval()
        set_reading_attention(model, recipe.get("train", {}), role)
        write_missing(model, tokenizer, questions, decoding, kept, progress)
    written = [WrittenText(**kept[each.make_key(decoding)].response) for each in questions]
    answers = [judge_answer(*each) for each in zip(questions, written, strict=True)]
    write_answer_file(folder, answers)
    (folder / layout.WRITTEN).unlink()
    lengths = [each.prompt_tokens + each.tokens for each in written]
    load_read = flops.TokenLoad(sum(lengths), sum(length * length for length in lengths))
    return measure_answers(answers) | {
        "prompt_tokens": sum(each.prompt_tokens for each in written),
        "flops": flops.forward_flops(Geometry.from_node(node), load_read),
    }


def list_questions(
    records: Sequence[Record], style: Style, tokenizer: PreTrainedTokenizerBase
) -> list[Question]:
    """Every record in every template, in their order; `tokenizer` is the teacher's."""
    asking, questions = replace(style, mask_prompt=True), []  # else a text has no prompt of its own
    for record in records:
        for text in asking.render(record, tokenizer):
            prompt = Prompt(text.id, text.prompt, markup=style.chat)
            length = len(encode_prompt(tokenizer, prompt))
            questions.append(Question(record, text.style, prompt, length))
    return questions


def write_missing(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    questions: Sequence[Question],
    decoding: Decoding,
    kept: ResponseCache,
    progress: Callable[[int, int], None],
) -> None:
    """Has the model answer whatever is not kept yet, and keeps each batch once it is whole."""
    sizes = BatchSizes.of_model(model, DEFAULT_BATCH, automatic=True)
    done = 0
    for batch in batch_questions(questions, sizes, decoding.max_new_tokens):
        done += len(batch)
        keys = [each.make_key(decoding) for each in batch]
        if any(key not in kept for key in keys):
            try:
                written = write_answers(model, tokenizer, [each.prompt for each in batch], decoding)
            except NonFiniteLogitsError as error:
                raise UserError(
                    f"the teacher gives non-finite logits (NaN or infinity) to record "
                    f"{batch[error.row].record.id}, so it cannot answer. Check its weights and its "
                    f"dtype."
                ) from error
            for key, answer in zip(keys, written, strict=True):
                kept[key] = CachedResponse(asdict(answer))
        progress(done, len(questions))


def batch_questions(
    questions: Sequence[Question], sizes: BatchSizes, new_tokens: int
) -> Iterator[list[Question]]:
    """The questions by length, the longest first, so that little of a batch is padding."""
    waiting = sorted(questions, key=lambda each: (-each.length, each.prompt.id))
    while waiting:
        size = sizes.choose_size(waiting[0].length + new_tokens, generated=True)
        yield waiting[:size]
        waiting = waiting[size:]


def judge_answer(question: Question, written: WrittenText) -> TeacherAnswer:
    """The answer with whether it is right."""
    record = question.record
    return TeacherAnswer(
        record=record.id,
        style=question.style,
        text=written.text,
        tokens=written.tokens,
        ended=written.ended,
        right=is_right(written.text, record),
    )


def is_right(text: str, record: Record) -> bool:
    """Whether a text comes to the record's answer, by the extractors and graders of the tasks.

    Mathematics is compared by math-verify. An answer that stands alone, as in `style=direct`,
    announces itself by nothing, and is taken as it is.
    """
    doc = parse_record(asdict(record))
    if any(sign in record.answer for sign in FORMULA_SIGNS) and not doc["letters"]:
        formula = extract_formula(text)
        return formula is not None and bool(grade_math(doc, [formula])["correct"])
    answer = extract_record_answer(text, doc)
    bare = text.strip() if len(text.strip().splitlines()) == 1 else INVALID
    return bool(grade_exact(doc, [bare if answer is None else answer])["correct"])
