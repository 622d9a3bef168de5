"""The command `report`: show a run as one HTML page, still figures and tables.

There are 17 files, since each section of the page that computes something has its own.
"""

from mergekit_cycleqd.report.write import FORMATS, Format, write_report

__all__ = ["FORMATS", "Format", "write_report"]
