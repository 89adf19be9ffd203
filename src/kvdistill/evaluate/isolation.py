"""Contexts in which an evaluation changes nothing of the process, the model or the terminal.

lm-eval leaves the model in eval mode, moves python's random state and lets a model's own generation
settings (a repetition penalty, say) into greedy decoding. Here all of that is kept or put back, so
that an evaluation in the middle of training changes nothing of it.
"""

import contextlib
import logging
import random
from collections.abc import Iterator
from functools import lru_cache, partial

import lm_eval.api.task
import lm_eval.utils
import numpy as np
import torch
from tqdm import tqdm
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kvdistill.errors import UserError


@contextlib.contextmanager
def preserve_state(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> Iterator[None]:
    """Restore every random state, the model's mode and the tokenizer's padding afterwards.

    Inside, the model's generation settings hold the end tokens alone. Raises UserError for a
    tokenizer without an end-of-text token.
    """
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else None
    training, own, use_cache = model.training, model.generation_config, model.config.use_cache
    # lm-eval sets the pad token and flips the side in place.
    pad, side = tokenizer.pad_token, tokenizer.padding_side
    if tokenizer.eos_token_id is None:
        raise UserError("the tokenizer has no end-of-text token, so no generation would ever end.")
    ends = own.eos_token_id if isinstance(own.eos_token_id, list) else [own.eos_token_id]
    ends = sorted({*ends, tokenizer.eos_token_id} - {None})
    try:
        # Settings that a model brings (a repetition penalty) would change greedy decoding.
        model.generation_config = type(own).from_dict({"eos_token_id": ends})
        model.config.use_cache = True
        yield
    finally:
        model.generation_config, model.config.use_cache = own, use_cache
        model.train(training)
        tokenizer.pad_token, tokenizer.padding_side = pad, side
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])
        if cuda is not None:
            torch.cuda.set_rng_state_all(cuda)


@contextlib.contextmanager
def silence_lm_eval() -> Iterator[None]:
    """Keep lm-eval's log lines and progress bars off the terminal; errors still show."""
    logger = logging.getLogger("lm_eval")
    level, bar = logger.level, lm_eval.api.task.tqdm
    compiled = lm_eval.utils.env.from_string
    logger.setLevel(logging.ERROR)
    lm_eval.api.task.tqdm = partial(tqdm, disable=True)
    # Compiling the same template for every document is a tenth of a small model's time.
    lm_eval.utils.env.from_string = lru_cache(compiled)
    try:
        yield
    finally:
        logger.setLevel(level)
        lm_eval.api.task.tqdm = bar
        lm_eval.utils.env.from_string = compiled
