"""Whether a run can compare next-token distributions, asked before anything is queued."""

from typing import Any

from kvdistill.config.build import build_node, check_node, resolve_target, walk_targets
from kvdistill.config.compose import Config
from kvdistill.errors import ConfigError
from kvdistill.kv.base import TeacherKV
from kvdistill.logits.objective import check_mixture
from kvdistill.models.answer_head import split_causal_lm
from kvdistill.models.attention.small_copy import build_small_copy
from kvdistill.models.attention.trace import TraceError


def check_distributions(config: Config) -> None:
    """Raises ConfigError for what a strategy of the logits group refuses, vocabularies apart.

    These are compared once tokenizers are there: a model that the project makes has none before.
    """
    node = config["logits"]
    if not node["weight"]:
        return
    names = list(config["teachers"])
    mix = build_node("logits.teachers", node["teachers"], teachers=names)
    build_node("logits.distance", node["distance"], temperature=node["temperature"])
    check_node("logits.vocabulary", node["vocabulary"])
    vocabulary = resolve_target("logits.vocabulary", node["vocabulary"])
    check_mixture(config, mixes=mix.mixes_probabilities, shared=vocabulary.shared)


def check_answer_source(config: Config) -> None:
    """Raises ConfigError for a source that gives no states of answers, or one inside it."""
    for path, node in walk_targets("source", config["source"]):
        target = resolve_target(path, node)
        if issubclass(target, TeacherKV) and not target.gives_answers:
            raise ConfigError(
                f"source={config['choices']['source']} changes K and V alone, and would leave the "
                f"teachers' next-token distributions as they are. Use logits=none, or "
                f"source=shuffled as the control."
            )


def check_head(teacher: Any, role: str) -> None:
    """Raises ConfigError, naming `role`, where a teacher's head does not come apart from it.

    `teacher` is its transformers config. One of which no small copy can be made is left to the job.
    """
    try:
        model = build_small_copy(teacher, 1)
    except TraceError:
        return
    split_causal_lm(model, role)
