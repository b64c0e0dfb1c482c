"""Report page: title and data blocks -> one self-contained HTML text; a run's record is inserted later.

Everything that comes from documents, topics or config is data: it is in `<script type="application/json">` blocks with
`<`, `>` and `&` escaped, and the page's own script shows it only with `textContent`. The content security policy allows
no network and only the scripts whose digests it lists.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import math
import re
from collections.abc import Iterable, Mapping
from importlib import resources
from typing import Any

from topicflow.tasks.errors import ArtifactError

PAGE_FOLDER = "page"
"""Folder beside this file with the files of the page."""

STYLES = ("page.css", "tree.css", "tools.css")
FIRST_SCRIPTS = (
    "elements.js", "data.js", "state.js", "head.js", "changes.js", "columns.js", "whole_texts.js", "reader.js",
    "csv.js", "documents.js", "panel.js", "topic_table.js", "by_topic.js", "quality.js", "duplicates.js", "tree.js",
    "controls.js", "link.js",
)  # fmt: skip
"""Scripts before Plotly's: what writes texts and tables; elements.js is part of a sweep's page, too."""

LAST_SCRIPTS = (
    "map.js",
    "select_on_map.js",
    "charts.js",
    "similarity.js",
    "time.js",
    "more_charts.js",
    "start.js",
)
"""Scripts that draw with Plotly."""

PACKAGE_FILES = ("top.html", "page.html", *STYLES, *FIRST_SCRIPTS, *LAST_SCRIPTS)
"""Files of the folder that make up every page."""

OPTIONAL_PARTS: Mapping[str, str | None] = {
    "periods": "Trends",
    "groups": "Groups",
    "shares": None,
    "seeds": "Seeds",
}
"""Parts of the page that are there only with a data block of the same name, and their names among the links; each has a
script `<part>.js`, and a named one a section `<part>.html`. Without them the page is the same, byte for byte."""

RUN_PLACE = '<script type="application/json" id="run">null</script>'
"""Position of a run's record. No document can contain it, because data has no unescaped `<`."""

_TOKEN = re.compile(r"<!--@(\w+)-->")
_UNSAFE = re.compile("[<>&\u2028\u2029\ud800-\udfff]")


def script_json(value: Any) -> str:  # noqa: ANN401  (anything that JSON can represent)
    """Return `value` as JSON for a `<script>` element of a UTF-8 page.

    Notes
    -----
    `<`, `>`, `&`, U+2028, U+2029 and lone surrogates are escaped, so no text can end the element, open a comment, or
    fail to encode. NaN and infinities become null; types that JSON lacks (paths, dates) become their text.
    """
    try:
        text = _json(value)
    except (
        ValueError,
        TypeError,
    ):  # a float or a key that JSON lacks; looking for one takes longer than writing what has none
        text = _json(_finite(value))
    return _UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _json(value: Any) -> str:  # noqa: ANN401
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=_plain, allow_nan=False)


def _plain(value: Any) -> Any:  # noqa: ANN401
    """Return a mapping of another type than dict as one, and everything else that JSON lacks as text."""
    return dict(value) if isinstance(value, Mapping) else str(value)


def build_page(title: str, blocks: Mapping[str, Any]) -> str:
    """Return the report as one HTML text that needs no other file.

    Parameters
    ----------
    title : str
        Title of the page and the window.
    blocks : mapping of str to JSON values
        Data by element id, in the order of the page.

    Notes
    -----
    Plotly's script is 4.8 MB of the page; the rest is data. It comes after the script that writes the text and the
    tables, so that these appear before the browser has read it.
    """
    from plotly.offline import get_plotlyjs

    more = [part for part in OPTIONAL_PARTS if part in blocks]
    named = {part: name for part, name in OPTIONAL_PARTS.items() if part in more and name is not None}
    scripts = [*LAST_SCRIPTS[:-1], *(f"{part}.js" for part in more), LAST_SCRIPTS[-1]]
    first, plotly, last = read_parts(FIRST_SCRIPTS), get_plotlyjs(), read_parts(scripts)
    parts = {
        "kind": "topics",
        "policy": policy(first, plotly, last, compiles=True),
        "style": read_parts(STYLES),
        "first": first,
        "links": "".join(f'\n  <a href="#{part}-section">{name}</a>' for part, name in named.items()),
        "after_time": "".join(f"\n\n{read_part(f'{part}.html')}" for part in named),
        "plotly": plotly,
        "last": last,
    }
    return filled_page(read_part("page.html"), title, blocks, parts)


def filled_page(body: str, title: str, blocks: Mapping[str, Any], parts: Mapping[str, str]) -> str:
    """Return a page from its body: with its head, title, data blocks, place of the run's record, and parts by name."""
    everything = {
        "title": html.escape(title.encode("utf-8", "replace").decode()),
        "data": "\n".join(data_block(name, value) for name, value in blocks.items()),
        "run": RUN_PLACE,
        **parts,
    }
    return _TOKEN.sub(lambda found: everything[found[1]], f"{read_part('top.html')}\n{body}")


def finish_report(page: str, run: Mapping[str, Any]) -> str:
    """Return the page with the record of a run.

    Parameters
    ----------
    page : str
        The result of `build_page`.
    run : mapping
        The run's record: run_id, name, created, seconds, stages, versions, device, config.

    Raises
    ------
    ArtifactError
        If the page has no place for a record, or already contains one.
    """
    before, place, after = page.partition(RUN_PLACE)
    if not place:
        msg = "report: the page has no place for the run's record; delete the report's artifact and run again"
        raise ArtifactError(msg)
    return before + data_block("run", run) + after


def data_block(name: str, value: Any) -> str:  # noqa: ANN401
    """Return data as an element of a page that its script reads by this id."""
    return f'<script type="application/json" id="{name}">{script_json(value)}</script>'


def _finite(value: Any) -> Any:  # noqa: ANN401
    """Return JSON values with None for floats that JSON lacks."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value


def policy(*scripts: str, compiles: bool = False) -> str:
    """Return the content security policy that allows only these scripts and no network.

    `compiles` allows 'unsafe-eval': Plotly's WebGL traces compile their drawing commands; they read no document text.
    """
    digests = " ".join(
        f"'sha256-{base64.b64encode(hashlib.sha256(s.encode()).digest()).decode()}'" for s in scripts
    )
    evaluated = " 'unsafe-eval'" if compiles else ""
    return (
        f"default-src 'none'; script-src {digests}{evaluated}; style-src 'unsafe-inline'; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'"
    )


def read_part(name: str) -> str:
    """Return one of the files of the page."""
    folder = resources.files("topicflow.tasks.report").joinpath(PAGE_FOLDER)
    return folder.joinpath(name).read_text(encoding="utf-8").strip()


def read_parts(names: Iterable[str]) -> str:
    """Return files of the page, one after the other."""
    return "\n".join(read_part(name) for name in names)
