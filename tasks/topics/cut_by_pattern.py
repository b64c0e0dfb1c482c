"""Cut by pattern: a separate process, which can be killed: JSON [pattern, texts, hold_s] in, a line for each text out.

Python's regular expressions block the interpreter while they search, so that nothing in the same process can stop one
that backtracks.
"""

from __future__ import annotations

import json
import re
import sys
import time
from itertools import chain


def main() -> None:
    """Write a line after reading, then a line with each text's words; delay no line by more than `hold_s`."""
    pattern, texts, hold_s = json.load(sys.stdin)
    find = re.compile(pattern).findall
    written = 0.0
    for line in chain(["[]"], (json.dumps(find(text)) for text in texts)):
        sys.stdout.write(line + "\n")
        if time.monotonic() - written >= hold_s:
            sys.stdout.flush()
            written = time.monotonic()


if __name__ == "__main__":
    main()
