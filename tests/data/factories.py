"""Small tokenizers and records, made in process."""

import json

from tokenizers import (
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import PreTrainedTokenizerFast

from kvdistill.records import Record

TOKENIZER_CORPUS = [
    "Question: how many apples are there in the basket?\nReasoning: 3 + 4 = 7 #### 7",
    "\u95ee\u9898: \u82f9\u679c\u6709\u591a\u5c11\u4e2a?\n\u7b54\u6848: 7",
] * 4


def make_byte_level_tokenizer(vocabulary=400, specials=("<eos>",)):
    """Like GPT-2, Qwen and Llama 3: pieces are bytes."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    bpe.train_from_iterator(
        TOKENIZER_CORPUS,
        trainers.BpeTrainer(
            vocab_size=vocabulary,
            special_tokens=list(specials),
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    return PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token="<eos>")


FAMILIES = ("qwen", "llama3", "gemma", "llama2", "smollm2", "gpt2", "eos_behind")


def make_family_tokenizer(family):
    """A small tokenizer with a family's post-processor: what it puts around a text by itself.

    Qwen, SmolLM2 (whose bos_token begins a turn) and GPT-2 put nothing, Llama 3, Gemma and Llama 2
    BOS; `eos_behind` puts EOS behind each text, as tokenizers with add_eos_token do.
    """
    if family in ("gemma", "llama2"):
        tokenizer = make_byte_fallback_tokenizer(prepend=family == "llama2")
    else:
        tokenizer = make_byte_level_tokenizer(specials=("<eos>", "<bos>"))
        tokenizer.bos_token = {"qwen": None, "gpt2": "<eos>"}.get(family, "<bos>")
    template = {
        "llama3": f"{tokenizer.bos_token} $A", "gemma": f"{tokenizer.bos_token} $A",
        "llama2": f"{tokenizer.bos_token} $A", "smollm2": "$A", "eos_behind": "$A <eos>",
    }.get(family)  # fmt: skip
    byte_level = processors.ByteLevel(trim_offsets=False)
    steps = [] if family in ("gemma", "llama2", "smollm2") else [byte_level]
    if template is not None:
        added = [name for name in template.split() if name != "$A"]
        ids = [(name, tokenizer.convert_tokens_to_ids(name)) for name in added]
        steps.append(processors.TemplateProcessing(single=template, special_tokens=ids))
    tokenizer.backend_tokenizer.post_processor = processors.Sequence(steps)
    return tokenizer


def make_byte_fallback_tokenizer(prepend=True):
    """Like Llama 2 and Mistral: a space before the text, and bytes for unknown characters."""
    bpe = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    prefix = [normalizers.Prepend("\u2581")] if prepend else []
    bpe.normalizer = normalizers.Sequence([*prefix, normalizers.Replace(" ", "\u2581")])
    bpe.decoder = decoders.Sequence(
        [
            decoders.Replace("\u2581", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            *([decoders.Strip(" ", 1, 0)] if prepend else []),
        ]
    )
    specials = ["<unk>", "<s>", "</s>"]
    lone = [f"<0x{byte:02X}>" for byte in range(256)]
    bpe.train_from_iterator(
        ["hello world, how many apples"] * 4,
        trainers.BpeTrainer(vocab_size=350, special_tokens=[*specials, *lone], show_progress=False),
    )
    state = json.loads(bpe.to_str())
    # As in the released models, lone bytes are ordinary pieces.
    state["added_tokens"] = state["added_tokens"][: len(specials)]
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(state)),
        unk_token="<unk>",
        bos_token="<s>",
        eos_token="</s>",
    )


def make_word_level_tokenizer():
    """A tokenizer whose tokens do not say their bytes."""
    words = Tokenizer(models.WordLevel({"<unk>": 0, "<eos>": 1, "a": 2}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=words, unk_token="<unk>", eos_token="<eos>")


def make_record(number=0, question=None, task="sums", **values):
    """A record whose question differs from every other number's in words too."""
    word = "".join(chr(ord("a") + int(digit)) for digit in f"{number:05d}")
    defaults = {
        "id": f"r{number}",
        "source": "toy",
        "rationale": f"because of {word}",
        "answer": str(number),
    }
    return Record(task=task, question=question or f"what is {word}?", **(defaults | values))
