"""Reports: what runs found, as a folder that opens offline in any browser.

``contents`` reads the runs, ``episodes``, ``overview`` and ``studies`` make charts of them,
``interactive`` and ``printed`` draw a chart for the screen and for paper, and ``page`` puts the
folder together.
"""

from equiload.experiments.report.page import write_report

__all__ = ["write_report"]
