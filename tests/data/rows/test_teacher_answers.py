"""Which of a teacher's answers are trained on, under which ids, and how they lie on disk."""

import json

import pytest

from kvdistill import layout
from kvdistill.data.prompt_style import Style
from kvdistill.data.rows.teacher_answers import (
    TeacherAnswer,
    choose_answers,
    describe_answers,
    measure_answers,
    read_answer_file,
    render_answers,
    write_answer_file,
)
from kvdistill.errors import ArtifactError, ConfigError
from tests.data.factories import make_byte_level_tokenizer, make_record

STYLE = Style(
    templates={
        "cot": {"prompt": "Q: {question}\nR:", "answer": " {rationale} #### {answer}"},
        "direct": {"prompt": "Q: {question}\nA:", "answer": " {answer}"},
    }
)
RECORDS = [make_record(1), make_record(2)]


def answer(number: int = 1, style: str = "cot", text: str = " so #### 3", **facts) -> TeacherAnswer:
    known = {"tokens": 4, "ended": True, "right": True} | facts
    return TeacherAnswer(record=RECORDS[number - 1].id, style=style, text=text, **known)


def test_a_text_is_the_question_with_the_teachers_answer_and_says_whose():
    texts = render_answers(
        RECORDS, STYLE, make_byte_level_tokenizer(), {"a": [answer(2), answer(1, "direct", " 3")]},
        "teacher",
    )  # fmt: skip
    assert [text.id for text in texts] == [
        f"{RECORDS[0].id}:direct@a", f"{RECORDS[1].id}:cot@a",
    ]  # fmt: skip
    assert texts[1].prompt == f"Q: {RECORDS[1].question}\nR:"
    assert texts[1].answer == " so #### 3"
    assert texts[1].task == RECORDS[1].task


def test_each_teachers_answer_is_a_text_of_its_own_in_the_teachers_order():
    answers = {"b": [answer(text=" b")], "a": [answer(text=" a")]}
    texts = render_answers(RECORDS, STYLE, make_byte_level_tokenizer(), answers, "teacher")
    assert [text.answer for text in texts] == [" b", " a"]
    # The row that controls keep apart is the record, whoever answered it.
    assert {text.id.rpartition(":")[0] for text in texts} == {RECORDS[0].id}


@pytest.mark.parametrize("fault", [{"ended": False}, {"text": " \n"}])
def test_what_was_cut_off_or_is_empty_is_never_trained_on(fault):
    for choice in ("teacher", "right_teacher"):
        assert choose_answers([answer(), answer(2, **fault)], choice) == [answer()]


def test_right_teacher_leaves_out_questions_that_no_teacher_answers_rightly():
    wrong = answer(2, right=False)
    answers = {"a": [answer(), wrong], "b": [answer(right=False), wrong]}
    texts = render_answers(RECORDS, STYLE, make_byte_level_tokenizer(), answers, "right_teacher")
    assert [text.id for text in texts] == [f"{RECORDS[0].id}:cot@a"]
    assert describe_answers(answers, "right_teacher") == (
        "a: 1 of 2 answers are trained on (0.50 right, 0 cut off, 0 empty); "
        "b: 0 of 2 answers are trained on (0.00 right, 0 cut off, 0 empty)"
    )


def test_where_no_answer_is_left_the_run_is_refused_with_the_numbers():
    with pytest.raises(ConfigError, match=r"data.answers=right_teacher leaves no text: a: 0 of 1"):
        render_answers(
            RECORDS, STYLE, make_byte_level_tokenizer(), {"a": [answer(right=False)]},
            "right_teacher",
        )  # fmt: skip


def test_answers_are_read_as_they_were_written(tmp_path):
    answers = [answer(text=" one\u2028line\n"), answer(2, ended=False, right=False)]
    write_answer_file(tmp_path, answers)
    assert read_answer_file(tmp_path) == answers
    (tmp_path / layout.ANSWERS).write_text(json.dumps({"record": "r"}) + "\n")
    with pytest.raises(ArtifactError, match=r"answers.jsonl row 1 is no answer"):
        read_answer_file(tmp_path)


def test_a_summary_counts_what_every_choice_trains_on():
    answers = [answer(), answer(2, right=False, tokens=8), answer(1, "direct", ended=False)]
    assert measure_answers(answers) == {
        "answers": 3, "right_share": 2 / 3, "mean_tokens": 16 / 3, "cut": 1, "empty": 0,
        "kept": {"teacher": 2, "right_teacher": 1},
    }  # fmt: skip
