"""Stands where vLLM would: a transformers model behind the calls that lm-eval's class makes of it.

This is not vLLM, so nothing that passes here says that vLLM works. What is under test is lm-eval's
own class between this and us: that it takes our settings, and that its answers reach our items.
"""

import importlib.metadata
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

VERSION = "0.33.0"
PATCHED_MODULES = ("lm_eval.models.vllm_causallms", "kvdistill.evaluate.backends.vllm")
"""Modules that hold the stand-in once they are imported."""


class LLM:
    def __init__(self, model, *, dtype, max_model_len, **rest):
        self.settings = {"dtype": dtype, "max_model_len": max_model_len, **rest}
        self.model = AutoModelForCausalLM.from_pretrained(model, dtype=dtype).eval()
        self.tokenizer = AutoTokenizer.from_pretrained(model)
        window = max_model_len or self.model.config.max_position_embeddings
        self.llm_engine = SimpleNamespace(model_config=SimpleNamespace(max_model_len=window))

    @torch.no_grad()
    def generate(self, prompts, sampling_params=None, *, use_tqdm=True, lora_request=None):
        return [
            self.score(prompt["prompt_token_ids"]) if settings.prompt_logprobs
            else self.write(prompt["prompt_token_ids"], settings)
            for prompt, settings in zip(prompts, sampling_params, strict=True)
        ]  # fmt: skip

    def next_log_probs(self, ids):
        return self.model(torch.tensor([ids])).logits[0].log_softmax(-1)

    def score(self, ids):
        logs = [None]
        for token, row in zip(ids[1:], self.next_log_probs(ids), strict=False):
            top = int(row.argmax())
            logs.append({k: SimpleNamespace(logprob=float(row[k])) for k in (token, top)})
        return SimpleNamespace(prompt_logprobs=logs)

    def write(self, ids, settings):
        assert settings.temperature == 0
        new, text, reason = [], "", "length"
        while len(new) < settings.max_tokens and reason == "length":
            new.append(int(self.next_log_probs([*ids, *new])[-1].argmax()))
            text = self.tokenizer.decode(new)
            if new[-1] == self.tokenizer.eos_token_id or any(
                stop in text for stop in settings.stop
            ):
                reason = "stop"
        return SimpleNamespace(outputs=[SimpleNamespace(text=text, finish_reason=reason)])


def make_sampling_params(*, temperature=1.0, prompt_logprobs=None, max_tokens=16, stop=(), **_):
    return SimpleNamespace(
        temperature=temperature, prompt_logprobs=prompt_logprobs, max_tokens=max_tokens, stop=stop
    )


def install(monkeypatch):
    """Puts the stand-in where `import vllm` finds it."""
    holds = {
        "vllm": {"LLM": LLM, "SamplingParams": make_sampling_params, "TokensPrompt": dict},
        "vllm.lora": {},
        "vllm.lora.request": {"LoRARequest": None},
        "vllm.renderers": {},
        "vllm.renderers.hf": {
            "resolve_chat_template": lambda tokenizer, **_: tokenizer.chat_template
        },
        "vllm.tokenizers": {
            "get_tokenizer": lambda place, **_: AutoTokenizer.from_pretrained(place)
        },
    }
    for name, members in holds.items():
        module = ModuleType(name)
        module.__spec__ = ModuleSpec(name, None, is_package=True)
        module.__path__ = []
        module.__dict__.update(members)
        monkeypatch.setitem(sys.modules, name, module)
    real = importlib.metadata.version
    monkeypatch.setattr(
        importlib.metadata, "version", lambda name: VERSION if name == "vllm" else real(name)
    )
