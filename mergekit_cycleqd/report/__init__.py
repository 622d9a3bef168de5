"""`mergekit-cycleqd report`: a run to look at, as one HTML file, figures and tables."""

from mergekit_cycleqd.report.write import FORMATS, Format, write_report

__all__ = ["FORMATS", "Format", "write_report"]
