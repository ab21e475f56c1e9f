"""The page people look at data with, and the card that goes beside a data set.

`write_report` writes one HTML file that opens offline; `prefdata report`, `prefdata validate --report` and generation
runs all use it.
"""

from prefdata.report.build import Limits, write_report

__all__ = ["Limits", "write_report"]
