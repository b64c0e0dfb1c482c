"""Log: the logger of all parts of the project; the screen, run.log and Prefect read it."""

from __future__ import annotations

import logging

LOG = logging.getLogger("topicflow")

DETAILS = logging.getLogger("topicflow_details")
"""Logger of details that only run.log shows, such as the method that a stage chose."""
DETAILS.setLevel(logging.INFO)
DETAILS.propagate = False
