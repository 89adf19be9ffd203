"""stage=adopt: makes a model a choice of its group, and says what it will be refused for.

Its file is read, and its tokenizer; no weights, and no torch in this process.
"""

import copy
import re
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from hydra.core.global_hydra import GlobalHydra

from kvdistill.cli.common import JobOverrides, console
from kvdistill.cluster.run_module import call_in_new_process
from kvdistill.config.compose import Config, compose
from kvdistill.errors import ConfigError
from kvdistill.plan import hub
from kvdistill.plan.hub_models import PRETRAINED, walk_mappings
from kvdistill.plan.model_files.complete_geometry import complete_geometries, states_geometry
from kvdistill.plan.model_files.decide_dtypes import decide_dtypes
from kvdistill.plan.model_files.describe_pairing import describe_geometry, describe_pair
from kvdistill.plan.model_files.locate_model import LocatedModel, locate_model
from kvdistill.plan.model_files.model_yaml import (
    STUDENT,
    TEACHER,
    render_model_files,
    write_model_files,
)

OWN = ("stage", "model", "role", "name")
"""Settings of this command that no other has."""
EXAMINER = "kvdistill.train.adoption.examine_model"


def adopt_command(job_overrides: JobOverrides, sweeps: Path) -> None:
    """Writes the model's YAML and says how it pairs with the command's other models.

    Raises ConfigError for what is no model, and for a YAML that is there and says otherwise.
    """
    if len(job_overrides) > 1:
        raise ConfigError("stage=adopt adopts one model a command. Leave -m out.")
    settings = compose(list(job_overrides[0]))
    name, role = str(settings["name"]), settings["role"]
    began = time.monotonic()
    model = locate_model(settings["model"])
    geometry = read_whole_geometry(model)
    seconds = time.monotonic() - began
    files = render_model_files(name, role, model, geometry)
    default = sweeps.parent / "conf"
    conf = find_conf_folder(default)
    paths = write_model_files(conf, files)
    print_line(f"{name} is a {role}, read from {model.file} in {seconds:.2f} s")
    print_line(f"  {describe_geometry(model, geometry)}")
    print_line(f"  written: {', '.join(map(str, paths))}")
    rest = [item for item in job_overrides[0] if item.partition("=")[0] not in OWN]
    choice = f"{'teachers' if role == TEACHER else STUDENT}={name}"
    config = compose_pair([*rest, choice])
    # The models of a scale that nobody chose are tiny, and no partners of this one.
    chosen = any(re.match("student|teacher|scale|arm", item) for item in rest)
    for line in examine_pairing(config, role, paired=chosen):
        print_line(f"  {line}")
    where = [] if conf == default else ["--config-dir", str(conf)]
    print_line(f"try: python launch.py {' '.join([*where, 'stage=plan', *rest, choice])}")


def print_line(line: str) -> None:
    """A line of any length, none of whose characters is markup."""
    console.print(line, soft_wrap=True, markup=False, highlight=False)


def read_whole_geometry(model: LocatedModel) -> dict[str, Any]:
    """What its file states and, where that is not all, what its class adds in transformers."""
    geometry = model.geometry
    if states_geometry({"geometry": geometry}) and "tied_embeddings" in geometry:
        return geometry
    node = {"_target_": PRETRAINED, **model.source}
    return {**call_in_new_process(EXAMINER, "read_class_geometry", node), **geometry}


def find_conf_folder(default: Path) -> Path:
    """Where a user's own choices lie: the folder of --config-dir, or conf/ itself."""
    loader = GlobalHydra.instance().config_loader()
    for element in loader.get_search_path().get_path():
        if element.provider == "command-line" and element.path.startswith("file://"):
            return Path(element.path.removeprefix("file://"))
    return default


def compose_pair(overrides: Sequence[str]) -> Config:
    """The config of a command with the model, as far as it is known without a network."""
    config = copy.deepcopy(compose(overrides))
    for node in walk_mappings([config["student"], config["teachers"]]):
        if node.get("_target_") == PRETRAINED and node.get("hub") is not None:
            repo = hub.Repo(node["hub"], "model", str(node.get("revision") or "main"))
            commit = hub.resolve_commit(repo, online=False).commit
            node["revision"] = commit or "0" * 40  # type: ignore[index]  # a dict of the copy
    complete_geometries(config, online=False)
    decide_dtypes(config)
    return config


def examine_pairing(config: Config, role: str, *, paired: bool) -> Iterator[str]:
    """What the model is refused for and, where it is `paired`, how each teacher suits the student.

    In a process of its own, which has torch; it asks no network.
    """
    teachers = {f"teachers.{name}": node for name, node in config["teachers"].items()}
    place = STUDENT if role == STUDENT else next(iter(teachers))
    request = {"config": config, "role": place, "paired": paired}
    answer = call_in_new_process(EXAMINER, "examine_model", request, HF_HUB_OFFLINE="1")
    if not answer["refusals"]:
        yield "nothing of it is refused"
    for use, why in answer["refusals"].items():
        yield f"refused for {use}: {why}"
    for other, tokens in answer["tokens"].items():
        yield from describe_pair(config, teachers[place if other == STUDENT else other], tokens)
    if not paired:
        yield "with student=NAME (or teachers=NAME) it is compared with another model"
