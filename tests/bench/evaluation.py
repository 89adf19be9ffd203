"""What an evaluation costs over plain generation, and whether its items hold still.

    python -m tests.bench.evaluation [--quick] [--model FOLDER --gguf FILE --data-root FOLDER]

With a model and local copies of the benchmarks it also sets our verdicts beside those of lm-eval's
own tasks: on the same prompts where the two are meant to agree, on the same outputs elsewhere, for
the first --rows rows of each file (0 leaves that out).
"""

import argparse
import dataclasses
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from time import process_time

import torch
from lm_eval import evaluator
from lm_eval.api.model import LM
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    PreTrainedTokenizerFast,
)

from kvdistill.evaluate import builtin
from kvdistill.evaluate.harness import evaluate, load_tasks
from kvdistill.evaluate.isolation import silence_lm_eval
from kvdistill.evaluate.response_cache import ResponseCache, hash_request
from kvdistill.evaluate.suite import Suite
from tests.evaluate.tiny_models import byte_tokenizer, make_tiny_model, write_jsonl

SAME_PROMPT = {
    "truthfulqa": "builtin:truthfulqa_mc1",
    "truthfulqa_mc2": "builtin:truthfulqa_mc2",
    "cmmlu": "builtin:cmmlu",
    "ceval": "builtin:ceval-valid",
}
SAME_OUTPUT = {
    "gsm8k_direct": "gsm8k",
    "math500_direct": "hendrycks_math500",
    "bbh_direct": "bbh_zeroshot",
}
TEXT = {"gsm8k": "question", "hendrycks_math500": "problem", "bbh_zeroshot": "input"}


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--model", type=Path)
    parser.add_argument("--gguf")
    parser.add_argument("--data-root", type=Path)
    parser.add_argument("--rows", type=int, default=2)
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(1)  # processor seconds of threads that wait for each other say nothing
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        figures = nano(work, *((40, [16]) if chosen.quick else (200, [1, 16])))
        bounds = {"overhead_nano": 0.25, "nano_items_that_differ": 0}
        if chosen.model is not None and not chosen.quick:
            extra = {"gguf_file": chosen.gguf} if chosen.gguf else {}
            model = AutoModelForCausalLM.from_pretrained(chosen.model, dtype="float32", **extra)
            tokenizer = AutoTokenizer.from_pretrained(chosen.model, **extra)
            figures |= {"overhead_model": overhead_gsm8k(model, tokenizer, chosen.data_root)}
            bounds |= {"overhead_model": 0.15}
            if chosen.rows > 0:
                small = shorten_data(chosen.data_root, work / "data", chosen.rows)
                figures |= agreement(model, tokenizer, small, work)
                bounds |= {"same_prompt_differ": 0}
    ok = all(figures[key] <= bound for key, bound in bounds.items())
    say(json.dumps({"name": "evaluation", "figures": figures, "bounds": bounds, "ok": ok}))
    return 0 if ok else 1


def nano(work: Path, items: int, sizes: Sequence[int]) -> dict[str, float]:
    """A nano-sized random model that never stops, on generated sums."""
    tokenizer: PreTrainedTokenizerFast = byte_tokenizer()
    model = make_tiny_model(tokenizer, hidden_size=96, num_hidden_layers=4)
    rows = [
        {
            "id": str(n), "source": "bench", "task": "nano_arithmetic", "rationale": "",
            "question": f"How much is {n} and {3 * n}{' then' * (n % 9)}?", "answer": str(4 * n),
        }
        for n in range(items)
    ]  # fmt: skip
    data = {"test": write_jsonl(work / "test.jsonl", rows)}
    suite = Suite(name="n", tasks=["nano_arithmetic"], batch_size=64, max_gen_toks=64)
    prompts = [f"Question: {row['question']}\nReasoning:" for row in rows]
    evaluate(model, tokenizer, dataclasses.replace(suite, limit=8), data)  # warm-up
    ours, plain = [], []  # processor seconds: others on the machine do not count
    for _ in range(3):
        began = process_time()
        first = evaluate(model, tokenizer, suite, data)
        ours.append(process_time() - began)
        plain.append(plain_generation(model, tokenizer, prompts, ["Question:"], 64, 64))
    others = [
        evaluate(model, tokenizer, dataclasses.replace(suite, batch_size=size), data)
        for size in sizes
    ]
    differ = sum(a != b for other in others for a, b in zip(first.items, other.items, strict=True))
    return {
        "evaluate_nano_s": min(ours),
        "generate_nano_s": min(plain),
        "overhead_nano": min(ours) / min(plain) - 1,
        "nano_items_that_differ": differ,
    }


def overhead_gsm8k(model, tokenizer, root: Path) -> float:
    """Share of time over plain generation on fifty GSM8K items."""
    suite = Suite(
        name="g", tasks=["gsm8k"], limit=50, batch_size=10, max_gen_toks=48, data_root=str(root)
    )
    with silence_lm_eval():
        tasks, _ = load_tasks(suite, {})
    task = tasks["gsm8k"]
    prompts = [task.doc_to_text(doc) for doc in task.eval_docs]
    stops = task.config.generation_kwargs["until"]
    evaluate(model, tokenizer, dataclasses.replace(suite, limit=2), {})
    began = process_time()
    evaluate(model, tokenizer, suite, {})
    ours = process_time() - began
    return ours / plain_generation(model, tokenizer, prompts, stops, 10, 48) - 1


def plain_generation(model, tokenizer, prompts, stops, size, new_tokens) -> float:
    """Processor seconds for the same prompts, longest first, with transformers alone."""
    began = process_time()
    tokenizer.padding_side = "left"
    model.eval()
    own, model.generation_config = model.generation_config, GenerationConfig()
    prompts = sorted(prompts, key=lambda p: -len(tokenizer.encode(p)))
    for start in range(0, len(prompts), size):
        batch = tokenizer(prompts[start : start + size], return_tensors="pt", padding=True)
        with torch.no_grad():
            out = model.generate(
                input_ids=batch["input_ids"], attention_mask=batch["attention_mask"],
                max_new_tokens=new_tokens, do_sample=False, stop_strings=stops,
                tokenizer=tokenizer, eos_token_id=tokenizer.eos_token_id,
                pad_token_id=tokenizer.pad_token_id,
            )  # fmt: skip
        tokenizer.batch_decode(out[:, batch["input_ids"].shape[1] :])
    model.generation_config = own
    return process_time() - began


def shorten_data(root: Path, folder: Path, rows: int) -> Path:
    """A data root with the first rows of every evaluation file; worked examples stay whole."""
    for path in root.rglob("*"):
        if path.suffix not in (".jsonl", ".md") or path.parent == root:
            continue
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        many = 12 * rows if path.parts[-3:-1] != ("bbh",) and len(lines) > 20 else rows
        kept = lines if path.suffix == ".md" or path.stem in ("dev", "train") else lines[:many]
        target = folder / path.relative_to(root)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text("".join(kept), encoding="utf-8")
    return folder


def agreement(model, tokenizer, root: Path, work: Path) -> dict[str, int]:
    """Items on which our tasks and lm-eval's differ, by task."""
    figures: dict[str, int] = {"same_prompt_differ": 0}
    base = Suite(
        name="a", tasks=["cmmlu"], batch_size=8, max_length=2048, max_gen_toks=160,
        data_root=str(root),
    )  # fmt: skip
    for ours, theirs in SAME_PROMPT.items():
        pairs = same_prompt(model, tokenizer, base, ours, theirs)
        figures[f"{ours}_pairs"] = len(pairs)
        figures["same_prompt_differ"] += sum(abs(a - b) > 1e-6 for a, b in pairs)
    for ours, theirs in SAME_OUTPUT.items():
        figures |= same_output(model, tokenizer, base, ours, theirs, work)
    return figures


def same_prompt(model, tokenizer, base, ours, theirs) -> list[tuple[float, float]]:
    """(our verdict, theirs) of every prompt that both tasks ask, each task scored on its own."""
    first, second = (
        {item.prompt_hash: item.correct for item in scored.items}
        for task in (ours, theirs)
        for scored in [evaluate(model, tokenizer, dataclasses.replace(base, tasks=[task]), {})]
    )
    return [(first[key], second[key]) for key in first.keys() & second.keys()]


def same_output(model, tokenizer, base, ours, theirs, work) -> dict[str, int]:
    """Both verdicts on what the model wrote to our prompt."""
    suite = dataclasses.replace(base, tasks=[ours])
    folder = work / f"answers-{ours}"
    result = evaluate(model, tokenizer, suite, {}, cache=folder)
    answers = ResponseCache(next(folder.glob("eval-*/answers.jsonl")))
    with silence_lm_eval():
        tasks, _ = load_tasks(suite, {})
        task = tasks[ours]
        column = TEXT[theirs]
        texts, mine = {}, {}
        for doc, item in zip(task.eval_docs, result.items, strict=True):
            request = [task.doc_to_text(doc), task.config.generation_kwargs]
            texts[doc[column]] = answers[hash_request("generate_until", request)].response
            mine[doc[column]] = item.correct
        members = builtin.load_builtin(builtin.PREFIX + theirs, base)
        scored = evaluator.evaluate(Replay(texts, column), {"tasks": members}, bootstrap_iters=0)
    counts: Counter[str] = Counter()
    for samples in scored["samples"].values():
        for sample in samples:
            text = sample["doc"][column]
            if text not in mine:
                continue
            verdicts = int(mine[text]), int(sample["exact_match"])
            counts[f"{ours}_{sample['filter']}_{verdicts}"] += 1
            if verdicts[0] != verdicts[1]:
                gold = str(sample["target"])[-40:]
                say(f"# {ours} {sample['filter']} {verdicts} gold={gold!r} {texts[text][-160:]!r}")
    return dict(counts)


class Replay(LM):
    """Says what was said before, by the text of the question."""

    def __init__(self, texts, column) -> None:
        super().__init__()
        self.texts, self.column = texts, column

    def generate_until(self, requests):
        return [self.texts.get(request.doc[self.column], "") for request in requests]

    def loglikelihood(self, requests):
        raise NotImplementedError

    def loglikelihood_rolling(self, requests):
        raise NotImplementedError


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
