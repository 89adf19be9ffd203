"""Texts that the project's own teachers and tokenizers are made of, for records of any kind."""

import json

import pytest

from kvdistill.data.prompt_style import RenderedText, Style
from kvdistill.data.tokenise import Tokeniser
from kvdistill.models.nano_training import encode_text, render_split
from tests.data.factories import FAMILIES, make_family_tokenizer, make_record

COT = {"prompt": "Q: {question}", "answer": " {rationale} #### {answer}"}
DIRECT = {"prompt": "Q: {question}", "answer": " {answer}"}


def test_a_record_without_a_rationale_is_rendered_by_the_templates_that_need_none(tmp_path):
    records = [make_record(1), make_record(2, rationale="")]
    lines = [json.dumps(vars(record)) + "\n" for record in records]
    (tmp_path / "train_teachers.jsonl").write_text("".join(lines), encoding="utf-8")
    texts = render_split(tmp_path, Style(templates={"cot": COT, "direct": DIRECT}))
    assert [text.id for text in texts] == ["r1:cot", "r1:direct", "r2:direct"]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_teacher_trained_here_reads_a_text_as_its_students_do(family):
    tokenizer = make_family_tokenizer(family)
    text = RenderedText(id="x:s", task="t", style="s", prompt="how many <eos>?", answer=" apples")
    read = Tokeniser(tokenizer, "teacher")([text])[0]
    assert encode_text(tokenizer, text.prompt, text.answer).ids == read.ids.tolist()
