"""The page says of a router how much the task decides, in nats, beside the permutation p."""

import numpy as np
import pytest

from kvdistill.report.sections.routing import build_routing_section
from kvdistill.stats.analysis import analyse_question
from kvdistill.stats.load import load_study
from kvdistill.stats.settings import Settings
from tests.stats import fake

SETTINGS = Settings(resamples=999)


@pytest.mark.parametrize(("tilt", "side"), [(0.002, "below"), (0.3, "at or above")])
def test_nats_and_p_stand_under_the_weights(tmp_path, tilt, side):
    study = fake.write_study(tmp_path, {"q": {"fixed": 0.0, "learnable": 0.1}}, untrained=())
    for path in study.glob("runs/*/routing.json"):
        weights = {
            task: {"a": {"0": 0.5 + tilt * np.sin(i)}, "b": {"0": 0.5 - tilt * np.sin(i)}}
            for i, task in enumerate(fake.TASKS)
        }
        fake.write_json(path, {"schema_version": 1, "weights": weights})
    records = load_study([study])
    analysis = analyse_question(records, records.questions["q"], SETTINGS)
    ((figure, _),) = build_routing_section(analysis, SETTINGS)
    assert [row[0].text for row in figure.data.rows] == ["big", "b"]
    assert f"nats, {side} stats.routing_min_nats=0.01; permutation p" in figure.description


def test_one_teacher_alone_has_no_weights_to_show(tmp_path):
    study = fake.write_study(tmp_path, {"q": {"fixed": 0.0, "learnable": 0.1}}, untrained=())
    for path in study.glob("runs/*/routing.json"):
        weights = {task: {"a": {"0": 1.0}} for task in fake.TASKS}
        fake.write_json(path, {"schema_version": 1, "weights": weights})
    records = load_study([study])
    analysis = analyse_question(records, records.questions["q"], SETTINGS)
    assert build_routing_section(analysis, SETTINGS) == []
