"""A teacher's answers to the student half: all asked, each judged, and a killed job goes on."""

from dataclasses import replace

import pytest

from kvdistill import layout
from kvdistill.data.prompt_style import Style
from kvdistill.data.rows.teacher_answers import read_answer_file
from kvdistill.data.split import read_split_part
from kvdistill.evaluate import teacher_answers
from kvdistill.evaluate.teacher_answers import build_answers, is_right, list_questions
from kvdistill.geometry import Geometry
from kvdistill.plan import flops
from tests.data.factories import make_record
from tests.evaluate.test_leak_check import NANO, write_split
from tests.evaluate.tiny_models import byte_tokenizer, make_tiny_model

GEOMETRY = {
    "layers": 2, "hidden_size": 32, "intermediate_size": 64, "heads": 4, "kv_heads": 2,
    "head_dim": 8, "vocab_size": 320, "tied_embeddings": False,
}  # fmt: skip
STYLE = {
    "_target_": "kvdistill.data.prompt_style.Style",
    "templates": {
        "cot": {
            "prompt": "Question: {question}\nReasoning:",
            "answer": " {rationale} #### {answer}",
        }
    },
}
RECIPE = {
    "teachers": {"only": {"name": "t", "dtype": "float32", "geometry": GEOMETRY}},
    "style": STYLE,
    "decoding": {"max_new_tokens": 4, "temperature": 0.0, "seed": 0},
}


@pytest.fixture(scope="module")
def needs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("answers")
    tokenizer = byte_tokenizer()
    make_tiny_model(tokenizer, vocab_size=320).save_pretrained(folder / "teacher" / layout.MODEL)
    tokenizer.save_pretrained(folder / "teacher" / layout.MODEL)
    write_split(folder / "split", NANO[:60], near="report")
    return {"split": folder / "split", "teacher.only": folder / "teacher"}


def build(needs, folder, **changes):
    folder.mkdir(exist_ok=True)
    seen = []
    facts = build_answers(RECIPE | changes, needs, folder, lambda *counts: seen.append(counts))
    return facts, read_answer_file(folder), seen


def test_every_question_of_the_students_half_is_answered_once(needs, tmp_path):
    facts, answers, seen = build(needs, tmp_path / "a")
    records = read_split_part(needs["split"], "train_student")
    assert [each.record for each in answers] == [record.id for record in records]
    assert facts["answers"] == len(records)
    assert seen[-1] == (len(records), len(records))
    assert {path.name for path in (tmp_path / "a").iterdir()} == {layout.ANSWERS}


def test_writing_is_counted_token_by_token(needs, tmp_path):
    facts, answers, _ = build(needs, tmp_path / "a")
    style = Style(templates=STYLE["templates"])
    questions = list_questions(
        read_split_part(needs["split"], "train_student"), style, byte_tokenizer()
    )
    lengths = [q.length + a.tokens for q, a in zip(questions, answers, strict=True)]
    load = flops.TokenLoad(sum(lengths), sum(n * n for n in lengths))
    assert facts["flops"] == flops.forward_flops(Geometry(**GEOMETRY), load)
    assert facts["prompt_tokens"] == sum(each.length for each in questions)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_job_that_was_killed_goes_on_to_the_same_answers(
    needs, tmp_path, monkeypatch, temperature
):
    decoding = RECIPE["decoding"] | {"temperature": temperature}
    _, whole, _ = build(needs, tmp_path / "whole", decoding=decoding)
    write, calls = teacher_answers.write_answers, []

    def write_once(*arguments):
        calls.append(arguments)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return write(*arguments)

    monkeypatch.setattr(teacher_answers, "write_answers", write_once)
    with pytest.raises(KeyboardInterrupt):
        build(needs, tmp_path / "cut", decoding=decoding)
    assert not (tmp_path / "cut" / layout.ANSWERS).exists()
    batches = len(calls)
    _, resumed, _ = build(needs, tmp_path / "cut", decoding=decoding)
    assert resumed == whole
    # The batch that was whole is not written again.
    monkeypatch.setattr(teacher_answers, "write_answers", write)
    total = -(-len(whole) // teacher_answers.DEFAULT_BATCH)
    assert len(calls) - batches == total - 1


def test_a_prompt_that_is_trained_on_is_masked_where_it_is_asked(needs):
    records = read_split_part(needs["split"], "train_student")[:1]
    style = Style(templates=STYLE["templates"], mask_prompt=False)
    (question,) = list_questions(records, style, byte_tokenizer())
    assert question.prompt.text == f"Question: {records[0].question}\nReasoning:"


@pytest.mark.parametrize(
    ("gold", "text", "right"),
    [
        ("12", " 3 * 4 = 12 #### 12", True),
        ("12", " 3 * 4 = 12 #### 13", False),
        ("12", " 12", True),
        ("yes", " yes", True),
        ("yes", " it is #### no", False),
        (r"\frac{1}{2}", r" so it is #### 0.5", True),
        (r"\frac{1}{2}", r" so it is #### 0.25", False),
        ("yes", "", False),
    ],
)
def test_an_answer_is_judged_as_a_scored_item_is(gold, text, right):
    record = replace(make_record(1), question="How many?", answer=gold)
    assert is_right(text, record) is right


def test_a_letter_is_read_among_the_questions_options():
    question = "Which is a fruit?\nA. stone\nB. plum\nC. iron"
    record = replace(make_record(1), question=question, answer="B")
    assert is_right(" The stone is none. #### B", record)
    assert not is_right(" #### C", record)
