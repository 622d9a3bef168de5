"""The command `report`: show a run as one HTML page, still figures and tables."""

from mergekit_cycleqd.report.write import FORMATS, Format, write_report

__all__ = ["FORMATS", "Format", "write_report"]
