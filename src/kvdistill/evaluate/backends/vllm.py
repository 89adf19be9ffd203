"""lm-eval's vLLM model in the place of its Hugging Face one: `tasks.backend=vllm`.

Imported only where a suite names it, as it needs the extra `vllm`. vLLM shows no logits, so what is
refused is a log-probability that is not finite; a model that writes from NaN goes unseen.
"""

import gc
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import copy, deepcopy
from importlib.metadata import version
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from accelerate import dispatch_model
from accelerate.hooks import remove_hook_from_submodules
from lm_eval.api.instance import Instance
from lm_eval.models.vllm_causallms import VLLM
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kvdistill.errors import UserError
from kvdistill.evaluate.cached_lm import CachedLM, Progress
from kvdistill.evaluate.response_cache import ResponseCache, hash_request
from kvdistill.evaluate.suite import Suite
from kvdistill.models.model_folder import write_model_folder


def make_engine_settings(suite: Suite, dtype: torch.dtype, gpus: int = 1) -> dict[str, Any]:
    """Arguments of lm-eval's VLLM other than the folder of weights; the rest is its default.

    `gpus`: over how many the weights are divided (tensor parallel).
    """
    return {
        "tensor_parallel_size": gpus,
        "dtype": str(dtype).removeprefix("torch."),
        "max_length": suite.max_length,
        # All at once: vLLM makes batches of its own, and is slow where it is handed small ones.
        "batch_size": "auto",
    }


def make_cache_settings(suite: Suite) -> dict[str, Any]:
    """What of the engine can change a response: part of the cache's key."""
    return {"backend": "vllm", "version": version("vllm"), "max_length": suite.max_length}


class CachedVLLM(CachedLM, VLLM):
    """A model that vLLM reads from a folder, for all tasks of a suite."""

    reserved_tokens = 1  # vLLM writes a token even where log-probabilities alone are asked for

    def __init__(
        self,
        folder: Path,
        settings: dict[str, Any],
        responses: ResponseCache,
        progress: Progress | None,
    ) -> None:
        super().__init__(pretrained=str(folder), **settings)
        self.attach_cache(responses, progress)
        self._keys: dict[str, str] = {}

    def cache_response(self, kind: str, request: Sequence[Any], response: Any) -> None:
        if kind == "loglikelihood" and not math.isfinite(response[0]):
            (name, *_) = (r.task_name for r in self._pending if r.args == tuple(request))
            raise UserError(
                f"task {name}: the model gives a log-probability of {response[0]}, so nothing can "
                "be scored. Check its training and its dtype."
            )
        super().cache_response(kind, request, response)

    def _cache_key(self, kind: str, request: Sequence[Any]) -> str:
        # lm-eval reports a generation with vLLM's settings, not with those it was asked with.
        if kind == "generate_until":
            return self._keys[request[0]]
        return super()._cache_key(kind, request)

    def _compute(self, kind: str) -> None:
        if kind != "generate_until":
            super()._compute(kind)
            return
        # One prompt may come with several settings; among requests of like settings, which are
        # computed together, the prompt alone identifies the request.
        by_settings = sorted(self._pending, key=_get_generation_settings)
        for _, requests in groupby(by_settings, _get_generation_settings):
            self._pending = list(requests)
            self._keys = {r.args[0]: hash_request(kind, r.args) for r in self._pending}
            super()._compute(kind)

    @staticmethod
    def modify_gen_kwargs(*args: Any, **kwargs: Any) -> tuple[dict[str, Any], list[str], int]:
        # Greedy unless the task sets a temperature: vLLM samples at temperature 1 by default.
        settings, stop, max_tokens = VLLM.modify_gen_kwargs(*args, **kwargs)
        return {"temperature": 0.0} | settings, stop, max_tokens

    def _model_generate(
        self, requests: list[list[int]], generate: bool = False, sampling_params: Any = None
    ) -> Any:
        outputs = super()._model_generate(requests, generate, sampling_params)
        if generate:
            self.truncated.extend(output.outputs[0].finish_reason == "length" for output in outputs)
        return outputs


def _get_generation_settings(request: Instance) -> str:
    return repr(request.args[1])


@contextmanager
def open_vllm(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, suite: Suite,
    responses: ResponseCache, progress: Progress | None,
) -> Iterator[CachedVLLM]:  # fmt: skip
    """A context in which vLLM holds these weights; `model` is moved off the GPU meanwhile.

    The weights travel through a temporary folder, which vLLM loads them from.
    """
    device, device_map = model.device, getattr(model, "hf_device_map", None)
    with TemporaryDirectory() as name:
        # Saving writes into the config, which is hashed for the cache: a copy is saved instead.
        twin = copy(model)
        twin.config = deepcopy(model.config)
        write_model_folder(twin, tokenizer, name)
        if device_map is not None:
            remove_hook_from_submodules(model)  # a model that accelerate has spread does not move
        model.to("cpu")  # type: ignore[arg-type]  # wrongly stubbed
        _free_memory()
        try:
            gpus = len(set(device_map.values())) if device_map is not None else 1
            settings = make_engine_settings(suite, model.dtype, gpus)
            lm = CachedVLLM(Path(name), settings, responses, progress)
            yield lm
            del lm.model  # the engine ends with its last reference
        finally:
            _free_memory()
            if device_map is not None:
                dispatch_model(model, device_map)
            else:
                model.to(device)  # type: ignore[arg-type]


def _free_memory() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
