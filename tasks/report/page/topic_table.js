// --- table of topics ---

const COLUMNS = [
  { key: "topic", title: "No.", end: true, value: (topic) => topic.topic },
  { key: "name", title: "Topic", value: (topic) => topic.name.toLowerCase() },
  { key: "size", title: "Documents", end: true, down: true, value: (topic) => topic.size },
  { key: "share", title: "Share", down: true, value: (topic) => topic.size },
  ...(timeline ? [{ key: "trend", title: "Trend", value: (topic) => ["rising", "none", "falling"].indexOf(trendOf(topic.topic)) }] : []),
  { key: "keywords", title: "Keywords", value: (topic) => (topic.keywords[0] || "").toLowerCase() },
];
// Rising and falling are told by an arrow and a word; the section of the chart says how it is tested.
const ARROWS = { rising: "↗", falling: "↘" };
function trendMark(topic) {
  const trend = trendOf(topic);
  return trend in ARROWS ? [el("span", { class: `trend ${trend}`, title: `${trend}: its share changes more than by chance` }, el("span", { "aria-hidden": "true", text: `${ARROWS[trend]} ` }), trend)] : [];
}
const ROWS_AT_ONCE = 100;
const order = { key: "topic", down: false, all: false };

function drawTableHead() {
  const cells = COLUMNS.map((column) => el("th", { scope: "col", class: column.end ? "end" : "", "data-key": column.key },
    el("button", { type: "button", text: column.title, onclick: () => sortBy(column) })));
  byId("topic-table").tHead.rows[0].replaceChildren(el("th", { scope: "col" }, el("span", { class: "unseen", text: "Example documents" })), ...cells);
}

function sortBy(column) {
  order.down = order.key === column.key ? !order.down : Boolean(column.down);
  order.key = column.key;
  drawTable();
}

function sortedTopics() {
  const value = COLUMNS.find((column) => column.key === order.key).value;
  const sign = order.down ? -1 : 1;
  return [...topics].sort((a, b) => {
    const [u, v] = [value(a), value(b)];
    return sign * (typeof u === "string" ? u.localeCompare(v) : u - v) || a.topic - b.topic;
  });
}

function drawTable() {
  for (const cell of byId("topic-table").tHead.querySelectorAll("th[data-key]")) {
    cell.setAttribute("aria-sort", cell.dataset.key !== order.key ? "none" : order.down ? "descending" : "ascending");
  }
  const shown = order.all ? sortedTopics() : sortedTopics().slice(0, ROWS_AT_ONCE);
  const rows = shown.map(topicRow);
  const none = el("tr", {}, el("td", { colspan: COLUMNS.length + 1, class: "empty", text: "No topics were found: every document is an outlier. Try a smaller cluster.min_cluster_size." }));
  byId("topic-table").tBodies[0].replaceChildren(...(rows.length ? rows : [none]));
  byId("all-topics").hidden = shown.length === topics.length;
  byId("all-topics").textContent = `Show all ${plural(topics.length, "topic")}`;
  markChosen();
}

function topicRow(topic) {
  const colour = colourOf(topic.topic);
  const share = topic.size / Math.max(1, summary.n_documents);
  const largest = Math.max(...topics.map((other) => other.size));
  const heaviest = Math.max(...topic.weights, 1e-12);
  const words = topic.keywords.map((word, k) => el("li", {}, untrusted(word), el("i", { bar: colour, width: `${(2.6 * Math.max(0, topic.weights[k])) / heaviest}rem` })));
  const open = el("button", { type: "button", class: "open", "aria-expanded": "false", "aria-label": `Example documents of topic ${topic.topic}` });
  open.addEventListener("click", () => toggleExamples(open, topic));
  return el("tr", { class: "topic", "data-topic": topic.topic },
    el("td", {}, ...(topic.examples.length ? [open] : [])),
    numberCell(topic.topic),
    el("td", {}, topicLink(topic.topic)),
    numberCell(count(topic.size)),
    el("td", {}, el("div", { class: "share" }, el("span", { class: "number", text: percent(share) }), el("i", { bar: colour, width: `${(100 * topic.size) / largest}%` }))),
    ...(timeline ? [el("td", {}, ...trendMark(topic.topic))] : []),
    el("td", {}, el("ul", { class: "words" }, ...words)));
}

function toggleExamples(open, topic) {
  const row = open.closest("tr");
  const opened = open.getAttribute("aria-expanded") === "true";
  open.setAttribute("aria-expanded", String(!opened));
  if (opened) row.nextElementSibling.remove();
  else row.after(el("tr", { class: "examples" }, el("td", { colspan: COLUMNS.length + 1 }, el("ul", { class: "documents" }, ...topic.examples.map((example) => exampleItem(topic.topic, example, topic.examples))))));
}

function showOnMap(topic) {
  if (state.topic !== topic || state.group) change({ topic, group: null });
  else select(topic);
  if (state.topic !== null) byId("map-section").scrollIntoView({ block: "start" });
}

// The name of a topic in a table, with whatever follows it; a click shows the topic on the map.
function topicLink(topic, ...more) {
  const button = el("button", { type: "button", title: "Show on the map", onclick: () => showOnMap(topic) }, untrusted(nameOf(topic)));
  return el("div", { class: "name" }, swatch(colourOf(topic)), button, ...more);
}

function markChosen() {
  for (const row of document.querySelectorAll("#topic-table tr.topic")) {
    const topic = Number(row.dataset.topic);
    row.classList.toggle("chosen", state.group ? state.group.topics.has(topic) : topic === state.topic);
  }
}

