"""From records to the report's folder: one page, figures, tables, and the claims as files."""

import json
import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from kvdistill.errors import ConfigError
from kvdistill.files import write_json, write_text
from kvdistill.records import SCHEMA_VERSION
from kvdistill.report.figures.style import write_figures
from kvdistill.report.format import title_tasks
from kvdistill.report.render import render_page
from kvdistill.report.sections.content import gather_content
from kvdistill.report.table_files import write_table
from kvdistill.stats.analysis import Analysis, analyse_study
from kvdistill.stats.load import build_long_table, load_study
from kvdistill.stats.seed_tests import STARS_LEGEND
from kvdistill.stats.selftest import run_selftest_for_study
from kvdistill.stats.settings import read_settings
from kvdistill.stats.study import Study
from kvdistill.stats.verdicts import Verdict, judge_claims, judge_levels

REPLACED_FOLDERS = ("figures", "tables")
"""Folders inside the output that a rebuild replaces."""


def build_report(
    study_folders: Sequence[Path], output: Path, settings: Mapping[str, Any] | None = None
) -> Path:
    """Writes the report of one study, or of several joined, and returns its index.html.

    The same records give the same bytes. `settings` is the resolved `stats` group.
    """
    if not study_folders:
        raise ConfigError("study must name at least one study to report on.")
    checked_settings = read_settings(settings)
    study = load_study(study_folders)
    analyses = analyse_study(study, checked_settings)
    verdicts = judge_claims(study, checked_settings)
    selftest = (
        run_selftest_for_study(study, checked_settings) if checked_settings.selftest else None
    )
    content = gather_content(study, analyses, verdicts, checked_settings, selftest)
    # Only now that everything is computed: an error above leaves the old report whole.
    shutil.rmtree(output / "tables", ignore_errors=True)
    write_json(output / "verdicts.json", describe_verdicts(verdicts))
    write_figures(content.iter_figures(), output / "figures")
    for table in content.iter_tables():
        write_table(table, output / "tables")
    write_json(output / "significance.json", describe_comparisons(study, analyses))
    write_text(output / "significance.txt", "\n".join(content.lines) + f"\n\n{STARS_LEGEND}.\n")
    if selftest is not None:
        write_json(output / "selftest.json", {"schema_version": SCHEMA_VERSION, **selftest})
    results = pa.Table.from_pandas(build_long_table(study), preserve_index=False)
    # The metadata names the version of pandas: other bytes for the same records.
    pq.write_table(results.replace_schema_metadata(None), output / "results.parquet")
    write_text(output / "index.html", render_page(content))
    return output / "index.html"


def check_output(output: Path) -> None:
    """Raises ConfigError for a folder whose own `figures` or `tables` a report would replace."""
    for name in REPLACED_FOLDERS:
        if (output / name).exists() and not (output / "verdicts.json").is_file():
            raise ConfigError(
                f"report.output={output} has a folder {name} that no report wrote, and that would "
                f"be replaced. Choose another."
            )


def describe_comparisons(study: Study, analyses: Mapping[str, Analysis]) -> dict[str, Any]:
    """significance.json: every comparison; shares in [0, 1], null where unknown."""
    return {
        "schema_version": SCHEMA_VERSION,
        "study": study.name,
        "legend": STARS_LEGEND,
        "tasks": title_tasks(study.tasks),
        "questions": {
            name: {
                "baseline": analysis.baseline,
                "comparisons": {
                    label: {
                        e: replace_nonfinite(asdict(d)) for e, d in comparison.differences.items()
                    }
                    for label, comparison in analysis.comparisons.items()
                },
                "contrasts": {
                    label: {"view": one.view, "differs": [asdict(d) for d in one.contrast]}
                    for label, one in analysis.comparisons.items()
                },
            }
            for name, analysis in analyses.items()
        },
    } | {"units": "shares, not points"}


def replace_nonfinite(value: Any) -> Any:
    """JSON has no infinity: what is unbounded (degrees of freedom, say) is null."""
    if isinstance(value, Mapping):
        return {key: replace_nonfinite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [replace_nonfinite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def describe_verdicts(verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """verdicts.json."""
    claims = [json.loads(json.dumps(asdict(verdict), allow_nan=False)) for verdict in verdicts]
    return {"schema_version": SCHEMA_VERSION, "levels": judge_levels(verdicts), "claims": claims}
