"""What an arm declares that it sets: only that may set it apart from the arms beside it."""

import re
from collections.abc import Iterable

from kvdistill.config.compose import Config
from kvdistill.config.hydra_internals import list_choice_settings
from kvdistill.plan.sweep import read_setting_path

KEY_IN_LABEL = re.compile(r"(?:^|[\s(])([\w./@]+)=")
WHOLE_GROUPS = ("arm", "scale")
"""Groups whose files choose of other groups: what they set is declared with them."""


def list_declared(
    overrides: Iterable[str], label: str, config: Config, *, automatic: bool
) -> list[str]:
    """Dotted paths that a question sets for one of its arms, those of groups among them.

    Args:
        overrides: of the sweep's arm and its point of the axes; none without a sweep.
        label: what the tables call the arm; settings that it names are declared.
        config: of one of its runs.
        automatic: whether the label is the name of the arm (`arm=`), as no file gives one.
    """
    keys = [*(item.partition("=")[0] for item in overrides), *KEY_IN_LABEL.findall(label)]
    paths = [read_setting_path(key) for key in keys] + (["arm"] if automatic else [])
    for group in WHOLE_GROUPS:
        if group in paths:
            paths += list_choice_settings(group, str(config["choices"][group]))
    if "arm" in paths:
        paths += [read_setting_path(key) for key in config["fixes"]]
    if "budget.match" in paths:
        paths.append("budget.total_tokens")
    return list(dict.fromkeys(paths))
