"""Pages made from the code: `make config-page` writes docs/configuration.md and a drawing in docs/architecture.md.

tests/unit/test_pages.py says when they are stale.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from pydantic import BaseModel

from tests.structure import ROOT, folder_graph, import_graph
from topicflow.configs.flows.names import FLOWS
from topicflow.configs.flows.serving import RetentionSchedule, ScheduleConfig, ServeConfig
from topicflow.configs.read import explain

CONFIGURATION = ROOT / "docs" / "configuration.md"
ARCHITECTURE = ROOT / "docs" / "architecture.md"

Row = tuple[str, str, str, str]
"""Key, type and bounds, default, description."""

COMMANDS = {
    "topic_model": "run",
    "train_classifier": "classify",
    "deduplicate": "dedup",
    "update_topics": "update",
    "tune_embeddings": "tune",
    "build_index": "index",
    "sweep": "sweep",
}
"""The command that runs each flow."""

_HEAD = """# Configuration

<!-- This page is made by `make config-page` from the config's own types. Do not edit it. -->

Every key of every config. `topicflow config explain cluster` prints the same, and `--flow` chooses the flow.
`configs/production.toml` is a file with every key of a topic model.

- A config is a TOML file. `--set section.key=value` changes one value of it for one run, and may be repeated.
- An unknown key is an error that names the nearest key; a value out of bounds is an error that names the bound.
- Every key of a stage's section is part of the key of that stage's artifact. No key of `[runtime]` is.
- There is no inheritance between files, and no environment variable changes a result.

"""


# --- the configuration --------------------------------------------------------------------------------------


def configuration() -> str:
    """Return the page of every key: sections that flows share once, then the sections of each flow."""
    sections = {flow: sections_of(model) for flow, model in FLOWS.items()}
    parts = [_HEAD + _contents(sections), _above_sections(sections)]
    titles: set[str] = set()
    for name, rows, flows in shared_sections(sections):
        title = name if name not in titles else f"{name} of {' and '.join(flows)}"
        titles.add(title)
        parts.append(f"## {title}\n\nIn {_listed(flows)}.\n\n{table(rows)}\n")
    return "\n".join([*parts, _serve()])


def sections_of(model: type[BaseModel]) -> dict[str, list[Row]]:
    """Return the rows of each section of a config; keys above all sections have an empty name."""
    found: dict[str, list[Row]] = {}
    for row in explain(model):
        name = row[0].partition(".")[0]
        is_section = "." in row[0] or row[1].startswith("section")
        found.setdefault(name if is_section else "", []).append(row)
    return found


def shared_sections(
    sections: Mapping[str, Mapping[str, list[Row]]],
) -> Iterator[tuple[str, list[Row], list[str]]]:
    """Yield each section once with the flows that have it in this form, in the order of their first appearance."""
    names = dict.fromkeys(name for found in sections.values() for name in found)
    for name in filter(None, names):
        variants: list[tuple[list[Row], list[str]]] = []
        for flow, found in sections.items():
            if name not in found:
                continue
            same = next((flows for rows, flows in variants if rows == found[name]), None)
            if same is None:
                variants.append((found[name], [flow]))
            else:
                same.append(flow)
        for rows, flows in variants:
            yield name, rows, flows


def table(rows: list[Row]) -> str:
    """Return rows as a Markdown table; a separate line describes a section, or one variant of it."""
    parts: list[str] = []
    for key, kind, default, description in rows:
        if kind.startswith("section"):
            variant = kind.partition("method = ")[2]
            is_default = any(row[0] == f"{key}.method" and row[2] == variant for row in rows)
            head = f"`[{key}]`" + (f' with `method = "{variant}"`' if variant else "")
            parts.append(f"\n{head}{' (the default)' if is_default else ''}: {_cell(description)}\n")
            continue
        if key.endswith(".method") and kind.startswith("'") and "|" not in kind:
            continue  # the heading of the variant says it
        if not parts or not parts[-1].startswith("| `"):
            parts.append("| key | type and bounds | default | meaning |\n|---|---|---|---|")
        cells = (f"`{key}`", _cell(kind), _default(default), _cell(description))
        parts.append(f"| {' | '.join(cells)} |")
    return "\n".join(parts).strip("\n")


def _contents(sections: Mapping[str, Mapping[str, list[Row]]]) -> str:
    lines = ["| flow | command | sections |", "|---|---|---|"]
    for flow, found in sections.items():
        assert flow in COMMANDS, f"COMMANDS of tests/made_pages.py does not say which command runs {flow}"
        named = ", ".join(f"`{name}`" for name in found if name)
        lines.append(f"| `{flow}` | `topicflow {COMMANDS[flow]}` | {named} |")
    lines.append("| | `topicflow serve` | `schedules`, `retention` |")
    return "\n".join(lines) + "\n"


def _above_sections(sections: Mapping[str, Mapping[str, list[Row]]]) -> str:
    """Return the table of the keys above all sections, with the default of each flow."""
    defaults: dict[tuple[str, str, str], dict[str, list[str]]] = {}
    for flow, found in sections.items():
        for key, kind, default, description in found.get("", []):
            defaults.setdefault((key, kind, description), {}).setdefault(default, []).append(flow)
    rows = ["| key | type and bounds | default | meaning |", "|---|---|---|---|"]
    for (key, kind, description), by_default in defaults.items():
        shown = [
            _default(default)
            + ("" if len(by_default) == 1 and len(flows) == len(FLOWS) else f" ({_listed(flows)})")
            for default, flows in by_default.items()
        ]
        rows.append(f"| `{key}` | {_cell(kind)} | {', '.join(shown)} | {_cell(description)} |")
    return "## Above all sections\n\n" + "\n".join(rows) + "\n"


def _serve() -> str:
    schedules = [(f"schedules.{key}", *rest) for key, *rest in explain(ScheduleConfig)]
    retention = [(f"retention.{key}", *rest) for key, *rest in explain(RetentionSchedule)]
    own = [row for row in explain(ServeConfig) if not row[0].startswith(("schedules", "retention"))]
    tables = [table([*own]), f"`[[schedules]]`, once for each schedule:\n\n{table(schedules)}"]  # type: ignore[arg-type]
    tables.append(f"`[retention]`, cleaning by schedule:\n\n{table(retention)}")  # type: ignore[arg-type]
    return "## topicflow serve\n\n" + "\n\n".join(tables) + "\n"


def _listed(flows: list[str]) -> str:
    return "all flows" if len(flows) == len(FLOWS) else ", ".join(f"`{flow}`" for flow in flows)


def _cell(text: str) -> str:
    return re.sub(r"\s+", " ", text).replace("|", "\\|").replace("<", "\\<").strip()


def _default(value: str) -> str:
    if value in {"", "None"}:
        return ""
    shown = value.lower() if value in {"True", "False"} else repr(value)[1:-1].replace("\\\\", "\\")
    return f"`{shown}`".replace("|", "\\|")


# --- the drawing of imports ---------------------------------------------------------------------------------

_BEGIN, _END = "<!-- made: imports -->", "<!-- end -->"


def with_drawing(page: str) -> str:
    """Return the page of the architecture with the drawing of today's imports in its place."""
    before, begin, rest = page.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    assert begin, f"docs/architecture.md has lost {_BEGIN}"
    assert end, f"docs/architecture.md has lost {_END}"
    return f"{before}{_BEGIN}\n```mermaid\n{drawing()}\n```\n{_END}{after}"


def drawing() -> str:
    """Return the folders and the imports between them as a Mermaid drawing, without those that follow from others."""
    graph = folder_graph(import_graph())
    reached = {folder: _reached(folder, graph) for folder in graph}
    lines = ["graph TD"]
    lines += [f'    {_node(folder)}["{folder.replace(".", "/")}"]' for folder in sorted(graph)]
    for folder in sorted(graph):
        others = graph[folder]
        direct = [each for each in sorted(others) if not any(each in reached[o] for o in others - {each})]
        lines += [f"    {_node(folder)} --> {_node(each)}" for each in direct]
    return "\n".join(lines)


def _reached(folder: str, graph: Mapping[str, set[str]]) -> set[str]:
    """Return every folder that one imports from, directly or not."""
    found: set[str] = set()
    waiting = [folder]
    while waiting:
        for other in graph.get(waiting.pop(), set()) - found:
            found.add(other)
            waiting.append(other)
    return found


def _node(folder: str) -> str:
    return folder.replace(".", "_")


def main() -> None:
    """Write the pages."""
    CONFIGURATION.write_text(configuration(), encoding="utf-8")
    ARCHITECTURE.write_text(with_drawing(ARCHITECTURE.read_text(encoding="utf-8")), encoding="utf-8")
    for path in (CONFIGURATION, ARCHITECTURE):
        print(f"wrote {path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path}")


if __name__ == "__main__":
    main()
