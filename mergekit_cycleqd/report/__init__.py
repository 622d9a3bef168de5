"""The command `report`: show a run as one HTML page, still figures and tables.

There are 19 files, one for each part of the page.
"""

from mergekit_cycleqd.report.write import FORMATS, Format, write_report

__all__ = ["FORMATS", "Format", "write_report"]
