"""One self-contained page (and its JSON twin) from a run's own folder. Reads the run, never trains."""

from ahalab.report.html import write_report
from ahalab.report.picture import write_picture

__all__ = ["write_picture", "write_report"]
