"""The page people look at data with, and the card that goes beside a data set.

`write_report` writes one HTML file that opens offline; `prefdata report`, `prefdata validate --report` and generation
runs all use it.
"""

from prefdata.report.build import Limits, write_report
from prefdata.report.sources import sources_of

__all__ = ["Limits", "sources_of", "write_report"]
