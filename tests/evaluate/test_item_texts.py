"""What is kept of an item's texts, and of whose nothing is."""

import pytest

from kvdistill.data.leakage import Leakage
from kvdistill.errors import UserError
from kvdistill.evaluate.harness import evaluate, load_tasks
from kvdistill.evaluate.item_texts import is_private
from kvdistill.evaluate.leak_check import list_task_sets
from kvdistill.evaluate.suite import Suite
from tests.evaluate.tiny_models import SEVEN, make_tiny_model, write_right_answer


@pytest.fixture
def seven(benchmarks):
    return Suite(
        name="seven", tasks=SEVEN, limit=54, max_gen_toks=40, data_root=str(benchmarks),
        shots={"gsm8k": 0, "math500": 0, "bbh": 0},
    )  # fmt: skip


@pytest.mark.integration
def test_question_gold_answer_and_response_are_kept_of_all_but_gpqa(seven, oracle, tokenizer):
    evaluation = evaluate(oracle(seven, {}, write_right_answer), tokenizer, seven, {})
    for item in evaluation.items:
        if item.task == "gpqa":
            assert (item.question, item.target, item.response) == (None, None, None)
        else:
            assert len(item.question) > 5
            assert item.target in item.response
    by_task = {item.task: item for item in evaluation.items}
    assert by_task["cmmlu"].question.endswith("\nA. x\nB. x\nC. x\nD. x")
    assert by_task["truthfulqa"].response.startswith("Fact")
    assert by_task["gsm8k"].response == f" it follows. #### {by_task['gsm8k'].target}"


def test_a_wrong_choice_is_the_response(seven, oracle, tokenizer):
    suite = Suite(name="t", tasks=["truthfulqa"], data_root=seven.data_root)
    evaluation = evaluate(oracle(suite, {}, lambda *_: " Magic"), tokenizer, suite, {})
    assert {item.response for item in evaluation.items} == {"Magic"}


def test_no_text_of_gpqa_reaches_a_file_or_the_terminal(seven, tokenizer, tmp_path, capfd):
    suite = Suite(name="g", tasks=["gpqa"], data_root=seven.data_root)
    evaluate(make_tiny_model(tokenizer), tokenizer, suite, {}, cache=tmp_path)
    written = "".join(path.read_text() for path in tmp_path.rglob("*.jsonl")) + "".join(
        capfd.readouterr()
    )
    assert len(written) > 100
    assert "Which is" not in written


def test_a_leak_of_gpqa_is_told_without_its_text(seven):
    suite = Suite(name="g", tasks=["gpqa", "gsm8k"], data_root=seven.data_root)
    tasks, _ = load_tasks(suite, {})
    sets = {documents.name: documents for documents in list_task_sets(suite, tasks)}
    assert (sets["gpqa"].private, sets["gsm8k"].private) == (True, False)
    for name, shown in (("gpqa", False), ("gsm8k", True)):
        (pair,) = [
            pair
            for pair in Leakage()(
                [sets[name], type(sets[name])("t", "train", sets[name].documents)]
            ).pairs
            if pair.hits and pair.method == "exact"
        ]
        words = sets[name].documents[0].text.lower().split()[0]
        assert pair.shown[0].shared.startswith(words) is shown


def test_lm_evals_own_gpqa_is_private_too(seven):
    tasks, _ = load_tasks(Suite(name="g", tasks=["gsm8k"], data_root=seven.data_root), {})
    assert is_private("builtin:gpqa_main_zeroshot", tasks["gsm8k"])
    assert not is_private("builtin:gsm8k", tasks["gsm8k"])


def test_where_gpqa_is_missing_the_way_to_it_is_said(tmp_path, tokenizer):
    suite = Suite(name="g", tasks=["gpqa"], data_root=str(tmp_path))
    with pytest.raises(UserError, match=r"no gpqa/gpqa_main/train.jsonl there. Put a copy of"):
        evaluate(make_tiny_model(tokenizer), tokenizer, suite, {})
