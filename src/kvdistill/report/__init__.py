"""Claims to figures, tables and one HTML page. No torch: rebuilt on a laptop."""

from kvdistill.report.write import build

__all__ = ["build"]
