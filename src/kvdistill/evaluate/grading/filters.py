"""The extractors by the names the task files use, each in the form of lm-eval's custom filter."""

from kvdistill.evaluate.grading import bbh, extract
from kvdistill.evaluate.grading.extract import over_outputs

marked = over_outputs(extract.marked)
marked_number = over_outputs(extract.marked_number)
number = over_outputs(extract.number)
lenient = over_outputs(extract.lenient)
clear = over_outputs(extract.clear)
whole = over_outputs(str.strip)
phrase = over_outputs(bbh.answer)
"""An option, a truth value, a number or a list: the forms of BBH's answers."""
direct_phrase = over_outputs(bbh.direct_answer)
"""The same, where the model was asked for the answer alone."""
