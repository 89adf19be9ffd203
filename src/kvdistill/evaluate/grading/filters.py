"""The extractors by the names the task files use, each in the form of lm-eval's custom filter."""

from kvdistill.evaluate.grading import bbh, extract
from kvdistill.evaluate.grading.extract import make_filter

after_mark = make_filter(extract.extract_after_mark)
number_after_mark = make_filter(extract.extract_number_after_mark)
number = make_filter(extract.extract_number)
lenient = make_filter(extract.extract_leniently)
explicit = make_filter(extract.extract_explicit)
bbh_answer = make_filter(bbh.extract_bbh_answer)
"""An option, a truth value, a number or a list: the forms of BBH's answers."""
bbh_direct_answer = make_filter(bbh.extract_bbh_direct_answer)
"""The same, where the prompt leaves no room for reasoning."""
