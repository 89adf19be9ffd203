"""The texts of an item: the question with its options, the gold answer, and the model's own.

Of a benchmark whose authors ask that it not be shown, nothing is kept: `private: true` in its task
file, and every GPQA task of lm-eval's own.
"""

from collections.abc import Mapping
from typing import Any

from lm_eval.api.task import Task

QUESTION_COLUMNS = ("question", "problem", "input", "Question")
"""What the benchmarks call their question."""
LETTERS = "ABCD"
PREFIX = "builtin:"
"""How a suite names a task of lm-eval's own."""


def is_private(key: str, task: Task) -> bool:
    """Whether the task's items may stand in no file and in no message."""
    return bool((task.config.metadata or {}).get("private")) or "gpqa" in key


def format_question(key: str, task: Task, doc: Mapping[str, Any]) -> str:
    """The question with its options: the text that a leak check compares with others."""
    if key.startswith(PREFIX):
        text = task.doc_to_text(doc)
        return text if isinstance(text, str) else "\n".join(map(str, task.doc_to_choice(doc)))
    question = next(str(doc[name]) for name in QUESTION_COLUMNS if name in doc)
    options = [doc[letter] for letter in LETTERS] if "A" in doc else doc.get("options", ())
    lettered = zip(LETTERS, options, strict=False)
    return "\n".join([question, *(f"{letter}. {option}" for letter, option in lettered)])


def collect_texts(key: str, task: Task, sample: Mapping[str, Any]) -> dict[str, Any]:
    """question, target and response of one of lm-eval's samples; empty of a private task."""
    if is_private(key, task):
        return {}
    doc = sample["doc"]
    if task.OUTPUT_TYPE == "generate_until":
        # As the model wrote it: the filtered one is the extracted answer.
        target, response = str(sample["target"]), sample["resps"][0][0]
    else:
        # Sums over tokens, as the verdict has them: not divided by length.
        logs = [response[0] for response in sample["filtered_resps"]]
        choices = task.doc_to_choice(doc)
        target = get_choice(choices, sample["target"])
        response = get_choice(choices, logs.index(max(logs)))
    return {"question": format_question(key, task, doc), "target": target, "response": response}


def get_choice(choices: list[Any], index: Any) -> str:
    """The choice at an index; lm-eval's own tasks may give the text itself."""
    at_choice = isinstance(index, int) and 0 <= index < len(choices)
    return str(choices[index] if at_choice else index)
