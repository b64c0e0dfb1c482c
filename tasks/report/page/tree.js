// The tree: groups of topics, in layers. A click filters the map; the panel beside the map shows the parts of a group.

const nodes = new Map((summary.tree || []).map((node) => [node.node, { ...node, children: [] }]));
for (const node of nodes.values()) {
  node.topics ??= [node.topic];
  nodes.get(node.parent)?.children.push(node);
}
const treeRoots = [...nodes.values()].filter((node) => node.parent === null);

const isChosen = (node) => (node.topic === null ? state.group?.node === node.node : state.topic === node.topic);
function choose(node) {
  if (node.topic !== null) select(node.topic);
  else change({ topic: null, group: isChosen(node) ? null : { node: node.node, topics: new Set(node.topics) } });
}

// --- the section of the tree; children are drawn when their node is opened for the first time ---

function treeItem(node, level) {
  const line = el("div", { class: "line" },
    el("span", { class: "twist", "aria-hidden": "true" }),
    node.topic === null ? el("span", { class: "dot", "aria-hidden": "true" }) : swatch(colourOf(node.topic)),
    untrusted(node.name),
    el("span", { class: "number", text: count(node.size) }),
    el("span", { class: "count", text: node.topic === null ? plural(node.topics.length, "topic") : "" }));
  const item = el("li", { role: "treeitem", "aria-level": level, "aria-selected": "false", tabindex: "-1", "data-node": node.node }, line);
  if (node.children.length) item.setAttribute("aria-expanded", "false");
  return item;
}

const nodeOf = (item) => nodes.get(item.dataset.node);
const isOpen = (item) => item.getAttribute("aria-expanded") === "true";
function openItem(item, open) {
  if (!item.hasAttribute("aria-expanded")) return;
  item.setAttribute("aria-expanded", String(open));
  let inside = item.querySelector(":scope > ul");
  if (open && !inside) {
    const level = Number(item.getAttribute("aria-level")) + 1;
    inside = el("ul", { role: "group" }, ...nodeOf(item).children.map((child) => treeItem(child, level)));
    item.append(inside);
    markTree();
  }
  if (inside) inside.hidden = !open;
}

function focusItem(item) {
  if (!item) return;
  byId("tree").querySelectorAll('[tabindex="0"]').forEach((other) => other.setAttribute("tabindex", "-1"));
  item.setAttribute("tabindex", "0");
  item.focus();
}

function chooseItem(item) {
  choose(nodeOf(item));
  if (state.matches) byId("map-section").scrollIntoView({ block: "start" });
}

const shownItems = () => [...byId("tree").querySelectorAll('[role="treeitem"]')].filter((item) => !item.closest("ul[hidden]"));
const TREE_KEYS = {
  ArrowRight: (item) => (isOpen(item) ? focusItem(item.querySelector('[role="treeitem"]')) : openItem(item, true)),
  ArrowLeft: (item) => (isOpen(item) ? openItem(item, false) : focusItem(item.parentElement.closest('[role="treeitem"]'))),
  ArrowDown: (item) => focusItem(shownItems()[shownItems().indexOf(item) + 1]),
  ArrowUp: (item) => focusItem(shownItems()[shownItems().indexOf(item) - 1]),
  Home: () => focusItem(shownItems()[0]),
  End: () => focusItem(shownItems().at(-1)),
  Enter: chooseItem,
  " ": chooseItem,
};

function markTree() {
  for (const item of byId("tree").querySelectorAll('[role="treeitem"]')) item.setAttribute("aria-selected", String(isChosen(nodeOf(item))));
}

function drawTree() {
  if (nodes.size < 2) return; // without topics there is no tree, and one topic is none
  byId("tree-section").hidden = false;
  byId("tree-link").hidden = false;
  const layers = Math.max(...[...nodes.values()].map((node) => node.layer));
  byId("tree-note").textContent = `${plural(topics.length, "topic")} in ${plural(layers, "layer")} of groups. Select a node to see only its documents on the map.`;
  byId("tree").append(...treeRoots.map((node) => treeItem(node, 1)));
  for (const item of byId("tree").children) openItem(item, true);
  byId("tree").firstElementChild.setAttribute("tabindex", "0");
  byId("tree").addEventListener("click", (event) => {
    const item = event.target.closest('[role="treeitem"]');
    if (!item || !event.target.closest(".line")) return;
    focusItem(item);
    if (event.target.closest(".twist")) openItem(item, !isOpen(item));
    else chooseItem(item);
  });
  byId("tree").addEventListener("keydown", (event) => {
    const item = event.target.closest('[role="treeitem"]');
    if (!item || !TREE_KEYS[event.key] || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    TREE_KEYS[event.key](item);
  });
  onChange(markTree);
}

// --- a group in the panel beside the map ---

function nodeButton(node, mark = "") {
  const sign = node.topic === null ? el("span", { class: "dot", "aria-hidden": "true" }) : swatch(colourOf(node.topic));
  return el("li", {}, el("button", { type: "button", "data-node": node.node, onclick: () => choose(node) },
    sign, untrusted(`${mark}${node.name}`), el("span", { class: "number", text: count(node.size) })));
}

function groupDetail(node) {
  const heaviest = Math.max(...node.weights, 1e-12);
  const bars = node.keywords.map((word, k) => el("li", {}, untrusted(word), el("i", { bar: css("--accent"), width: `${(100 * Math.max(0, node.weights[k])) / heaviest}%` })));
  const above = nodes.get(node.parent);
  return el("div", { class: "detail" },
    el("h3", {}, untrusted(node.name)),
    el("p", { class: "sub", text: `Group ${node.node} · ${plural(node.topics.length, "topic")} · ${plural(node.size, "document")} · ${percent(node.size / Math.max(1, summary.n_documents))}` }),
    el("ul", { class: "bars", "aria-label": "Keywords by weight" }, ...bars),
    el("p", { class: "caption", text: "Inside this group" }),
    el("ul", { class: "topic-list" }, ...node.children.map((child) => nodeButton(child)), ...(above ? [nodeButton(above, "↑ ")] : [])));
}

drawTree();
