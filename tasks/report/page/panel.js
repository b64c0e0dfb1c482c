// --- panel next to the map: all topics, one topic, or the search results ---

// A document in a list; a click reads it whole.
function documentItem(text, read, words = [], from = null) {
  const body = untrusted("", "button");
  body.classList.add("read");
  body.setAttribute("type", "button");
  body.append(...marked(text, words));
  body.addEventListener("click", read);
  return el("li", {}, ...(from ? [from] : []), body);
}

function exampleItem(topic, row, rows) {
  const places = summary.example_points;
  const read = () => (row in places ? openReader(places[row], rows.filter((other) => other in places).map((other) => places[other])) : openText(summary.examples[row], topic));
  return documentItem(summary.examples[row], read);
}

// The text with each found word in <mark>; positions are valid because lower case rarely changes the length of a text.
function marked(text, words) {
  const lower = fold(text);
  const found = lower.length === text.length && words.length ? words.map(escapeRegExp).join("|") : null;
  if (!found) return [visible(text)];
  const parts = [];
  let last = 0;
  for (const hit of lower.matchAll(new RegExp(found, "g"))) {
    parts.push(text.slice(last, hit.index), el("mark", { text: text.slice(hit.index, hit.index + hit[0].length) }));
    last = hit.index + hit[0].length;
  }
  return [...parts, text.slice(last)];
}
const escapeRegExp = (text) => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");

function topicButton(topic, n) {
  return el("li", {}, el("button", { type: "button", "data-topic": topic, onclick: () => select(topic) },
    swatch(colourOf(topic)), untrusted(nameOf(topic)), el("span", { class: "number", text: count(n) })));
}

function topicDetail(topic) {
  const bar = colourOf(topic.topic);
  const heaviest = Math.max(...topic.weights, 1e-12);
  const bars = topic.keywords.map((word, k) => el("li", {}, untrusted(word), el("i", { bar, width: `${(100 * Math.max(0, topic.weights[k])) / heaviest}%` })));
  const share = percent(topic.size / Math.max(1, summary.n_documents));
  const examples = topic.examples.map((row) => exampleItem(topic.topic, row, topic.examples));
  return el("div", { class: "detail" },
    el("h3", {}, swatch(bar), untrusted(topic.name)),
    el("p", { class: "sub", text: `Topic ${topic.topic} · ${plural(topic.size, "document")} · ${share}` }),
    el("ul", { class: "bars", "aria-label": "Keywords by weight" }, ...bars),
    ...(examples.length ? [el("p", { class: "caption", text: "Typical documents" }), el("ul", { class: "documents" }, ...examples)] : []),
    el("p", {}, el("a", { href: "#documents", text: "All documents of this topic" })));
}

const MAX_FOUND = 50;
function foundDocuments(words) {
  const items = [], shown = [];
  for (let i = 0; i < points.n && items.length < MAX_FOUND; i++) {
    if (!state.matches[i]) continue;
    shown.push(i);
    items.push(documentItem(texts().texts[i], () => openReader(i, shown), words, ofTopic(points.topic[i])));
  }
  return el("div", { class: "detail" }, el("ul", { class: "documents" }, ...items));
}

function drawPanel() {
  const words = wordsOf(state.query);
  const panel = byId("panel");
  if (words.length) panel.replaceChildren(foundDocuments(words));
  else if (state.topic !== null && topicOf.has(state.topic)) panel.replaceChildren(topicDetail(topicOf.get(state.topic)));
  else if (state.group) panel.replaceChildren(groupDetail(nodes.get(state.group.node)));
  else if (state.filters.size || state.lasso) panel.replaceChildren(foundDocuments(words));
  else if (colourColumn()) panel.replaceChildren(columnLegend(colourColumn()));
  else panel.replaceChildren(el("ul", { class: "topic-list" }, ...bySize().map((topic) => topicButton(topic.topic, topic.size))));
  panel.scrollTop = 0;
  byId("clear").hidden = state.matches === null;
  byId("status").textContent = statusText(words);
}
const bySize = () => [...topics].sort((a, b) => b.size - a.size || a.topic - b.topic);

function statusText(words) {
  const where = summary.n_points < summary.n_documents ? " on the map" : "";
  const column = colourColumn();
  if (!state.matches && column) return column.kind === "category" ? `${plural(column.values.length, "value")} of ${column.name}${column.values.length > N_COLOURS ? "; colours repeat" : ""}` : `Shades of ${column.name}, about equally many documents each`;
  if (!state.matches) return topics.length ? `${plural(topics.length, "topic")}; select one to see only its documents` : "No topics were found";
  const n = state.matches.reduce((sum, value) => sum + value, 0);
  if (!words.length) return `${plural(n, "document")}${where}${(state.filters.size || state.lasso) && n > MAX_FOUND && state.topic === null && !state.group ? `; the first ${MAX_FOUND} are shown` : ""}`;
  const within = state.topic !== null ? " in this topic" : state.group ? " in this group" : "";
  return `${count(n)} of ${plural(points.n, "document")}${where} ${n === 1 ? "matches" : "match"}${within}${n > MAX_FOUND ? `; the first ${MAX_FOUND} are shown` : ""}`;
}

