"""Byte-level BPE tokenizers trained on the split's own text.

Of two kinds: one reads digits singly (Qwen), one packs up to three (Llama 3), so that a teacher of
the other family reads the same text in other tokens.
"""

from collections.abc import Iterable

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

EOS = "<|endoftext|>"
PAD = "<|pad|>"

PRETOKEN_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}{{1,{max_digits}}}"
    r"| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
"""Pre-tokenisation of Qwen2 and Llama 3, which differ in the digits alone."""


def train_tokenizer(
    texts: Iterable[str], vocab_size: int, max_digits: int
) -> PreTrainedTokenizerFast:
    """A lossless tokenizer of at most `vocab_size` tokens, EOS and padding among them."""
    tokenizer = Tokenizer(models.BPE())
    pretoken = Regex(PRETOKEN_PATTERN.format(max_digits=max_digits))
    # With NFC and Qwen2's pattern, the class that transformers loads for Qwen2 tokenises alike.
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(pretoken, "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[EOS, PAD],
        # All 256 bytes, so that no text is unknown.
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=EOS, pad_token=PAD)
