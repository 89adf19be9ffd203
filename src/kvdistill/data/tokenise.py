"""Tokenised texts: ids, which tokens are answer, and the byte span of each token.

Spans come from the tokens' own bytes, not from a fast tokenizer's character offsets: those repeat
a character that is split over several tokens, and lose the space before a word. Tokenizers whose
tokens stand for no bytes are refused (see `token_bytes`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int
from transformers import PreTrainedTokenizerBase

from kvdistill.alignment.base import Spans
from kvdistill.data.prompt_style import RenderedText
from kvdistill.data.token_bytes import list_token_bytes
from kvdistill.errors import ConfigError


@dataclass(frozen=True)
class TokenisedText:
    """One text; the end-of-text token, if it fits, is last and covers no byte."""

    ids: Int[np.ndarray, " seq"]
    answer: Bool[np.ndarray, " seq"]
    """True on tokens that end past the prompt, so on one that crosses its end, and on EOS."""
    spans: Spans
    truncated: bool

    def truncate(self, length: int) -> "TokenisedText":
        """Its first `length` tokens; marked as truncated if any is lost."""
        if length >= len(self.ids):
            return self
        return TokenisedText(
            ids=self.ids[:length],
            answer=self.answer[:length],
            spans=Spans(self.spans.starts[:length], self.spans.ends[:length]),
            truncated=True,
        )


class Tokeniser:
    """Tokenises texts with one fast tokenizer. BOS is not added, EOS is."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, setting: str) -> None:
        """`setting` is the config path that chose the tokenizer, named in errors.

        Raises ConfigError for a slow tokenizer, one whose tokens do not say their bytes, and one
        without an end-of-text token.
        """
        if not tokenizer.is_fast:
            raise ConfigError(
                f"{setting}: {type(tokenizer).__name__} is a slow tokenizer; kvdistill needs a "
                "fast one (tokenizer.json). Convert it with transformers and save it."
            )
        if tokenizer.eos_token_id is None:
            raise ConfigError(
                f"{setting}: the tokenizer has no end-of-text token. Set eos_token in its "
                "tokenizer_config.json."
            )
        self.tokenizer, self.setting = tokenizer, setting
        self.eos_token_id = int(tokenizer.eos_token_id)
        # Many causal models' tokenizers have no pad token.
        self.pad_token_id = (
            self.eos_token_id if tokenizer.pad_token_id is None else int(tokenizer.pad_token_id)
        )
        """Fills up the rows of a batch; masked, so that any id would do."""
        self.token_bytes = list_token_bytes(tokenizer, setting)
        self.token_lengths = np.array(
            [0 if piece is None else len(piece) for piece in self.token_bytes], dtype=np.int64
        )

    def __call__(self, texts: Sequence[RenderedText]) -> list[TokenisedText]:
        """Every text, untruncated. Raises ConfigError where its tokens' bytes are not its own."""
        if not texts:
            return []
        # One call for all, as fast tokenizers work on a batch in parallel. No special tokens: BOS
        # would be a token without bytes before the text; EOS is added below.
        ids_by_text = self.tokenizer(
            [text.text for text in texts],
            add_special_tokens=False,
            return_attention_mask=False,
            return_token_type_ids=False,
            verbose=False,
        )["input_ids"]
        return [
            self._tokenise_text(text, ids) for text, ids in zip(texts, ids_by_text, strict=True)
        ]

    def _tokenise_text(self, text: RenderedText, ids: list[int]) -> TokenisedText:
        text_bytes = text.text.encode()
        prefix_bytes = self._count_prefix_bytes(text, text_bytes, ids)
        token_ids = np.array([*ids, self.eos_token_id], dtype=np.int64)
        # The end-of-text token covers nothing and ends where the text does.
        ends = np.full(len(token_ids), len(text_bytes))
        # The tokens' bytes are known to be the text's, so that their lengths add up to positions.
        np.cumsum(self.token_lengths[token_ids[:-1]], out=ends[:-1])
        if prefix_bytes:
            # Only the first tokens can lie in a space that the tokenizer put before the text.
            ends[:-1] = (ends[:-1] - prefix_bytes).clip(min=0)
        starts = np.zeros_like(ends)
        starts[1:] = ends[:-1]
        answer = ends > len(text.prompt.encode())
        answer[-1] = True
        return TokenisedText(
            ids=token_ids, answer=answer, spans=Spans(starts, ends), truncated=False
        )

    def _count_prefix_bytes(self, text: RenderedText, text_bytes: bytes, ids: list[int]) -> int:
        """Bytes that the tokenizer put before the text: 1 for SentencePiece's dummy prefix, or 0.

        Raises ConfigError where the tokens' bytes are not the text's.
        """
        pieces = [self.token_bytes[i] for i in ids]
        # None is an unknown token, under which any bytes may lie.
        if None not in pieces:
            covered = b"".join(pieces)  # type: ignore[arg-type]
            if covered == text_bytes:
                return 0
            if covered == b" " + text_bytes:
                return 1
        raise ConfigError(
            f"{self.setting}: the tokens of text {text.id!r} do not spell its bytes, so they "
            "cannot be aligned with another tokenizer's. Use a tokenizer that neither drops nor "
            "rewrites characters, or remove the text."
        )
