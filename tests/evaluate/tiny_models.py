"""Tiny models and rows for the tests of this room."""

import json
from pathlib import Path

import torch
import yaml
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
)
from transformers.modeling_outputs import CausalLMOutput

from kvdistill.evaluate import harness

NANO = [
    "nano_arithmetic",
    "nano_algebra",
    "nano_logic",
    "nano_choice",
    "nano_truth",
    "nano_chinese",
    "nano_exam",
]
SEVEN = ["gsm8k", "math500", "bbh", "gpqa", "truthfulqa", "cmmlu", "ceval"]


def byte_tokenizer():
    """Every byte is a token, with a few merges."""
    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=["<eos>", "<pad>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    raw.train_from_iterator(["Question: what is it?\nReasoning: so #### 3\nAnswer: A"] * 3, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=raw, eos_token="<eos>", pad_token="<pad>")


def make_tiny_model(tokenizer, kind="qwen2", seed=0, **instead):
    """A random decoder; its weights depend on the seed alone."""
    shape = {
        "vocab_size": len(tokenizer),
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 2048,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": None,
        **instead,
    }
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        if kind == "llama":
            return LlamaForCausalLM(LlamaConfig(**shape))
        return Qwen2ForCausalLM(Qwen2Config(**shape))


class Oracle(LlamaForCausalLM):
    """Writes what it was told to after each prompt; says nothing after any other."""

    def learn(self, tokenizer, pairs):
        self.pad, self.end = tokenizer.pad_token_id, tokenizer.eos_token_id
        self.next = {}
        for prompt, answer in pairs:
            ids = [*tokenizer.encode(prompt + answer), self.end]
            assert ids[: len(tokenizer.encode(prompt))] == tokenizer.encode(prompt)
            self.next |= {hash(tuple(ids[:i])): ids[i] for i in range(1, len(ids))}
        return self

    def prepare_inputs_for_generation(self, input_ids, attention_mask=None, **kwargs):
        return {"input_ids": input_ids}

    def forward(self, input_ids, attention_mask=None, **kwargs):
        logits = torch.zeros(*input_ids.shape, self.config.vocab_size)
        for row, ids in enumerate(input_ids.tolist()):
            start = next((i for i, token in enumerate(ids) if token != self.pad), len(ids))
            for t in range(start, len(ids)):
                token = self.next.get(hash(tuple(ids[start : t + 1])), self.end)
                logits[row, t, token] = 30.0
        return CausalLMOutput(logits=logits)


def write_right_answer(task, doc):
    """The gold answer, in the form the task asks for."""
    if task.OUTPUT_TYPE == "multiple_choice":
        return f" {task.doc_to_choice(doc)[task.doc_to_target(doc)]}"
    return f" it follows. #### {doc['target']}"


def write_jsonl(path: Path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")
    return path


def list_subjects(task):
    """The subjects a task file names."""
    text = (harness.TASKS / f"{task}.yaml").read_text(encoding="utf-8")
    return yaml.safe_load(text.replace("!function ", ""))["metadata"]["subjects"]
