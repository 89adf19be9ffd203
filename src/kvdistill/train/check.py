"""Builds every distinct arm's rooms, so that what they refuse is refused before anything is queued.

`python -m kvdistill.train.check`: configs on stdin; exit code 2 and one line on stderr.
"""

import json
import sys

import torch

from kvdistill.config.build import build
from kvdistill.config.compose import Config
from kvdistill.errors import UserError
from kvdistill.plan.graph import stored
from kvdistill.plan.identity import digest
from kvdistill.train.rooms import Rooms, Weights


def check(config: Config) -> None:
    """Raises ConfigError for what a strategy refuses of this config; allocates no weights."""
    build("style", config["style"])
    build("data.source", config["data"]["source"])
    Weights.of(config)
    if (spec := stored(config["source"])) is not None:
        build("source.stored", spec)
    if config["teachers"]:
        with torch.device("meta"):
            Rooms(config)


def main() -> int:
    """Checks each distinct config once."""
    try:
        distinct = {digest({**c, "seed": 0}): c for c in json.load(sys.stdin) if c["trained"]}
        for config in distinct.values():
            check(config)
    except UserError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
