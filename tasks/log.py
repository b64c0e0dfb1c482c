"""Log: where every part of the project says what it does; the screen, run.log and Prefect listen."""

from __future__ import annotations

import logging

LOG = logging.getLogger("topicflow")

DETAILS = logging.getLogger("topicflow_details")
"""What only run.log is told: which of several ways a stage took."""
DETAILS.setLevel(logging.INFO)
DETAILS.propagate = False
