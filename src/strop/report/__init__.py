"""One self-contained HTML page per run: what changed, how sure that is, and how it was measured."""

from strop.report.page import write_report

__all__ = ["write_report"]
