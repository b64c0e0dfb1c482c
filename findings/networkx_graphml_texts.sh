#!/usr/bin/env bash
# Guess, written down first: networkx.read_graphml reads back whatever networkx.write_graphml has written, or writing
# raises. A form feed, which text from a PDF has at the end of each page, is a text like any other.
#
# Seen: it depends on whether lxml is installed, which networkx uses if it is there. Without it the file is written
# without a word, and it is no XML: read_graphml raises ParseError; a carriage return comes back as a line feed. With it
# the same text is refused, and a carriage return comes back. (A writer has to leave out what XML 1.0 has no form for,
# and to write &#13; for a carriage return.)
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check networkx==3.6.1
cat >"$work/written.py" <<'PYTHON'
import sys
from importlib.metadata import version
from importlib.util import find_spec
from xml.etree.ElementTree import ParseError

import networkx as nx

path = sys.argv[1]
print("networkx", version("networkx"), "with lxml" if find_spec("lxml") else "without lxml")


def read_back(text):
    graph = nx.Graph()
    graph.add_node("page", text=text)
    try:
        nx.write_graphml(graph, path)
    except ValueError as error:
        return f"refused by write_graphml: {error}"
    try:
        return nx.read_graphml(path).nodes["page"]["text"]
    except ParseError as error:
        return f"written, then refused by read_graphml: {error}"


feed, ends = read_back("the first page\fthe second"), read_back("one\r\ntwo")
print("expected: both texts come back, or write_graphml refuses them")
print("a form feed:", repr(feed))
print("line ends \\r\\n:", repr(ends))
if find_spec("lxml"):
    surprising = feed.startswith("refused by write_graphml") and ends == "one\r\ntwo"
else:
    surprising = feed.startswith("written, then refused") and ends == "one\ntwo"
print("as recorded" if surprising else "CHANGED: look at findings/README.md")
sys.exit(0 if surprising else 1)
PYTHON
"$work/venv/bin/python" "$work/written.py" "$work/page.graphml"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check lxml==6.0.2
"$work/venv/bin/python" "$work/written.py" "$work/page.graphml"
