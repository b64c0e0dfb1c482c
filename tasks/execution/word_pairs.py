"""Word pairs: texts of scripts without spaces, cut without a segmenter -> one line in the log."""

from __future__ import annotations

from topicflow.tasks.core.words.segmenters import ICU, PAIRS_USED
from topicflow.tasks.log import LOG


def say_if_pairs_were_used(stage: str) -> None:
    """Log one line if pairs of letters were used as words since the last call."""
    if not PAIRS_USED.is_set():
        return
    PAIRS_USED.clear()
    LOG.warning(
        "%s: the texts contain Chinese, Japanese, Thai, Lao, Khmer or Burmese, and %s is not installed; pairs of "
        "letters are used as words; install it with: pip install 'topicflow[words]'",
        stage,
        ICU,
    )
