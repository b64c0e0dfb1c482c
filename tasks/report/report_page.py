"""Report page: title and data blocks -> one self-contained HTML text; a run's record is put in afterwards.

Everything that comes from documents, topics or config is data: it lies in `<script type="application/json">`
blocks with `<`, `>` and `&` escaped, and the page's own script shows it with `textContent` alone. The content
security policy allows no network and only the scripts whose digests it lists.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import math
import re
from collections.abc import Mapping
from importlib import resources
from typing import Any

from topicflow.tasks.errors import ArtifactError

PACKAGE_FILES = ("report_page.html", "report_page.css", "report_page.js", "report_map.js", "report_charts.js")
"""What lies beside this file and becomes the page."""

RUN_PLACE = '<script type="application/json" id="run">null</script>'
"""Where a run's record goes. No document can hold it: data has no unescaped `<`."""

_TOKEN = re.compile(r"<!--@(\w+)-->")
_UNSAFE = re.compile("[<>&\u2028\u2029\ud800-\udfff]")


def script_json(value: Any) -> str:  # noqa: ANN401  (anything JSON can hold)
    """Return `value` as JSON that can stand inside a `<script>` element of a UTF-8 page.

    Notes
    -----
    `<`, `>`, `&`, U+2028, U+2029 and lone surrogates are written as escapes, so no text can end the element,
    open a comment, or fail to encode. NaN and infinities become null; what JSON lacks (paths, dates) its text.
    """
    text = json.dumps(_finite(value), ensure_ascii=False, separators=(",", ":"), default=str)
    return _UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def build_page(title: str, blocks: Mapping[str, Any]) -> str:
    """Return the report as one HTML text that needs nothing else.

    Parameters
    ----------
    title : str
        Heading and window title.
    blocks : mapping of str to JSON values
        Data by element id, in the order in which they stand on the page.

    Notes
    -----
    Plotly's script is 4.8 MB of the page; the rest is data. It stands behind the script that writes the text and
    the tables, so that these are there before it is read.
    """
    from plotly.offline import get_plotlyjs

    page, style, first, drawing, charts = (_read(name) for name in PACKAGE_FILES)
    plotly, last = get_plotlyjs(), f"{drawing}\n{charts}"
    parts = {
        "title": html.escape(title.encode("utf-8", "replace").decode()),
        "policy": _policy(first, plotly, last),
        "style": style,
        "data": "\n".join(_block(name, value) for name, value in blocks.items()),
        "run": RUN_PLACE,
        "first": first,
        "plotly": plotly,
        "last": last,
    }
    return _TOKEN.sub(lambda found: parts[found[1]], page)


def finish_report(page: str, run: Mapping[str, Any]) -> str:
    """Return the page with the record of a run in it.

    Parameters
    ----------
    page : str
        What `build_page` returned.
    run : mapping
        The run's record: run_id, name, created, seconds, stages, versions, device, config.

    Raises
    ------
    ArtifactError
        When the page has no place for a record, or has one already.
    """
    before, place, after = page.partition(RUN_PLACE)
    if not place:
        msg = "report: the page has no empty place for the run's record; remove the report's artifact and run again"
        raise ArtifactError(msg)
    return before + _block("run", run) + after


def _block(name: str, value: Any) -> str:  # noqa: ANN401
    return f'<script type="application/json" id="{name}">{script_json(value)}</script>'


def _finite(value: Any) -> Any:  # noqa: ANN401
    """Return JSON values with None for floats that JSON does not have."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value


def _policy(*scripts: str) -> str:
    """Return the content security policy that lets these scripts run and nothing be fetched.

    Plotly's WebGL traces compile their drawing commands, which needs 'unsafe-eval'; they read no document text.
    """
    digests = " ".join(
        f"'sha256-{base64.b64encode(hashlib.sha256(s.encode()).digest()).decode()}'" for s in scripts
    )
    return (
        f"default-src 'none'; script-src {digests} 'unsafe-eval'; style-src 'unsafe-inline'; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'"
    )


def _read(name: str) -> str:
    return resources.files("topicflow.tasks.report").joinpath(name).read_text(encoding="utf-8").strip()
