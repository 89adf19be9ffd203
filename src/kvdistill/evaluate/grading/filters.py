"""The extractors by the names the task files use, each in the form of lm-eval's custom filter."""

from kvdistill.evaluate.grading import second_reading
from kvdistill.evaluate.grading.bbh import extract_bbh_answer, extract_bbh_direct_answer
from kvdistill.evaluate.grading.extract import (
    extract_after_mark,
    extract_exam_letter,
    extract_formula,
    extract_record_answer,
    make_filter,
    make_text_filter,
)
from kvdistill.evaluate.grading.read_number import extract_number

after_mark = make_text_filter(extract_after_mark)
number = make_text_filter(extract_number)
formula = make_text_filter(extract_formula)
record_answer = make_filter(extract_record_answer)
"""A letter, a number or a text, as the gold answer of the record is one of them."""
exam_letter = make_filter(extract_exam_letter)
bbh_answer = make_filter(extract_bbh_answer)
"""An option, a truth value, a number or a list: the forms of BBH's answers."""
bbh_direct_answer = make_filter(extract_bbh_direct_answer)
"""The same, where the prompt leaves no room for reasoning."""

by_math_verify = make_filter(second_reading.read_by_math_verify)
bbh_by_math_verify = make_filter(second_reading.read_bbh_again)
last_of_kind = make_filter(second_reading.read_last)
