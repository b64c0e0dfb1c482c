// The page: data, state, panel, tables. Text that comes from data is set with textContent, never as HTML.

const untrusted = (text, tag = "span") => el(tag, { class: "text", dir: "auto", text });
const swatch = (colour) => el("span", { class: "swatch", fill: colour, "aria-hidden": "true" });
const plural = (n, one, many = one + "s") => `${count(n)} ${n === 1 ? one : many}`;
const percent = (share) => (share * 100).toFixed(share > 0 && share < 0.001 ? 2 : 1) + " %";

function seconds(value) {
  if (value == null) return "–";
  if (value < 0.0995) return `${Math.round(value * 1000)} ms`;
  if (value < 99.95) return `${value.toFixed(1)} s`;
  const total = Math.round(value), minutes = Math.round(value / 60);
  return minutes < 60 ? `${Math.floor(total / 60)} min ${total % 60} s` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

// --- data ---

const summary = read("summary");
const run = read("run");
const topics = summary.topics;
const topicOf = new Map(topics.map((topic) => [topic.topic, topic]));
const packed = read("points");
const points = {
  n: packed.n,
  x: unpack(packed.x, Float32Array),
  y: unpack(packed.y, Float32Array),
  topic: unpack(packed.topic, Int32Array),
  percent: unpack(packed.percent, Uint8Array),
  reassigned: unpack(packed.reassigned, Uint8Array),
  label: packed.label ? unpack(packed.label, Int32Array) : null,
  labels: packed.labels || [],
  time: packed.time ? unpack(packed.time, Float64Array) : null,
};

let documents = null; // texts and ids, parsed when first needed: they are the largest part of the page
function texts() {
  documents ??= read("texts");
  return documents;
}

let folded = null; // lower-case texts, computed at the first search
const fold = (text) => text.toLowerCase().normalize("NFC");
function foldedTexts() {
  folded ??= texts().texts.map(fold);
  return folded;
}

// --- colours ---

// With more than twelve topics colours repeat: a topic takes the colour whose nearest topic on the map is farthest away.
function spreadColours() {
  const chosen = new Map();
  const holders = Array.from({ length: N_COLOURS }, () => []);
  const bySize = [...topics].sort((a, b) => b.size - a.size || a.topic - b.topic);
  bySize.forEach((topic, rank) => {
    const [x, y] = topic.middle || [0, 0];
    let best = rank;
    if (rank >= N_COLOURS) {
      const gaps = holders.map((held) => Math.min(...held.map(([hx, hy]) => (hx - x) ** 2 + (hy - y) ** 2)));
      best = gaps.indexOf(Math.max(...gaps));
    }
    holders[best].push([x, y]);
    chosen.set(topic.topic, best);
  });
  return chosen;
}
const colourIndex = spreadColours();
const colourOf = (topic) => (colourIndex.has(topic) ? palette()[colourIndex.get(topic)] : css("--outlier"));
const nameOf = (topic) => (topicOf.has(topic) ? topicOf.get(topic).name : "No topic");

// --- state: selection and search; every part of the page is drawn from it ---

const state = { topic: null, group: null, query: "", colour: "topic", outliers: true, names: true };
const listeners = [];
const onChange = (listener) => listeners.push(listener);
function change(changes) {
  Object.assign(state, changes);
  state.matches = findMatches();
  listeners.forEach((listener) => listener());
}
const select = (topic) => change({ topic: state.topic === topic ? null : topic, group: null });

const wordsOf = (query) => fold(query).split(/\s+/).filter(Boolean);

// 1 for each point that matches the topic or the group, and the query; null if there is no selection.
function findMatches() {
  const words = wordsOf(state.query);
  if (state.topic === null && !state.group && !words.length) return null;
  const matches = new Uint8Array(points.n);
  const lower = words.length ? foldedTexts() : null;
  for (let i = 0; i < points.n; i++) {
    if (!isShown(points.topic[i])) continue;
    if (lower && !words.every((word) => lower[i].includes(word))) continue;
    matches[i] = 1;
  }
  return matches;
}

// Whether a topic is selected, alone or in a group; all are if nothing is.
const isShown = (topic) => (state.group ? state.group.topics.has(topic) : state.topic === null || state.topic === topic);

// --- tooltip ---

const tip = byId("tip");
function showTip(event, ...children) {
  tip.replaceChildren(...children);
  tip.hidden = false;
  const { width, height } = tip.getBoundingClientRect();
  const gap = 14;
  const x = event.clientX + gap + width > innerWidth ? event.clientX - gap - width : event.clientX + gap;
  const y = Math.min(event.clientY + gap, innerHeight - height - 8);
  tip.style.transform = `translate(${Math.max(8, x)}px, ${Math.max(8, y)}px)`;
}
const hideTip = () => { tip.hidden = true; };
const tipHead = (topic) => el("div", { class: "head" }, swatch(colourOf(topic)), untrusted(nameOf(topic)));
addEventListener("scroll", hideTip, { passive: true });

function dateOf(i) {
  const time = points.time ? points.time[i] : NaN;
  return Number.isNaN(time) ? null : new Date(time).toISOString().slice(0, 16).replace("T", " ").replace(" 00:00", "");
}

function pointTip(i) {
  const facts = [];
  if (points.topic[i] >= 0) facts.push(`${points.percent[i]} % member${points.reassigned[i] ? ", reassigned" : ""}`);
  if (points.label && points.label[i] >= 0) facts.push(points.labels[points.label[i]]);
  if (dateOf(i)) facts.push(dateOf(i));
  const foot = el("div", { class: "foot" });
  facts.forEach((fact, k) => foot.append(k ? " · " : "", untrusted(fact)));
  foot.append(el("br"), untrusted(texts().ids[i]));
  const body = untrusted(texts().texts[i].trim() || "(no visible text)", "div");
  body.classList.add("body");
  return [tipHead(points.topic[i]), body, foot];
}

// --- masthead ---

function drawMasthead() {
  const metric = new Map(summary.metrics.map((entry) => [entry.key, entry]));
  const figures = [
    ["Documents", count(summary.n_documents)],
    ["Topics", count(topics.length)],
    ["Without a topic", percent(summary.n_outliers / Math.max(1, summary.n_documents))],
    ...["stability", "npmi", "diversity", "nmi"].filter((key) => metric.get(key)?.value != null)
      .map((key) => [metric.get(key).label, metric.get(key).value.toFixed(3)]),
  ];
  byId("figures").append(...figures.map(([name, value]) => el("div", {}, el("dt", { text: name }), el("dd", { text: value }))));
  const parts = run ? [when(run.created), run.run_id && `run ${run.run_id}`, run.seconds != null && `${seconds(run.seconds)}`, run.device && `on ${run.device}`] : [];
  byId("byline").textContent = parts.filter(Boolean).join(" · ");
  drawVerdict();
  drawRemarks();
}

function drawRemarks() {
  const remarks = (run && run.remarks) || [];
  byId("remarks").hidden = !remarks.length;
  byId("remarks").append(...remarks.map((text) => el("li", { text })));
}

function drawVerdict() {
  const gates = run && run.gates;
  if (!gates || !gates.checks.length) return;
  byId("verdict").hidden = false;
  byId("verdict").classList.toggle("held", !run.published);
  byId("verdict").textContent = run.published ? `Published: ${plural(gates.checks.length, "gate")} passed.` : `Not published: ${gates.failed.join("; ")}.`;
}

function when(text) {
  const date = new Date(text);
  return Number.isNaN(date.getTime()) ? text : date.toLocaleString("en", { dateStyle: "long", timeStyle: "short" });
}

// --- panel next to the map: all topics, one topic, or the search results ---

function documentItem(text, words = [], from = null) {
  const body = untrusted("", "div");
  body.append(...marked(text, words));
  return el("li", {}, ...(from ? [from] : []), body);
}

// The text with each found word in <mark>; positions are valid because lower case rarely changes the length of a text.
function marked(text, words) {
  const lower = fold(text);
  const found = lower.length === text.length && words.length ? words.map(escapeRegExp).join("|") : null;
  if (!found) return [text.trim() || "(no visible text)"];
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
  const examples = topic.examples.map((row) => documentItem(summary.examples[row]));
  return el("div", { class: "detail" },
    el("h3", {}, swatch(bar), untrusted(topic.name)),
    el("p", { class: "sub", text: `Topic ${topic.topic} · ${plural(topic.size, "document")} · ${share}` }),
    el("ul", { class: "bars", "aria-label": "Keywords by weight" }, ...bars),
    ...(examples.length ? [el("p", { class: "caption", text: "Typical documents" }), el("ul", { class: "documents" }, ...examples)] : []));
}

function labelLegend() {
  const sizes = new Array(points.labels.length).fill(0);
  points.label.forEach((code) => { if (code >= 0) sizes[code] += 1; });
  const codes = [...sizes.keys()].sort((a, b) => sizes[b] - sizes[a]).slice(0, 200);
  const item = (code) => el("li", { class: "row" }, swatch(palette()[code % N_COLOURS]), untrusted(points.labels[code]), el("span", { class: "number", text: count(sizes[code]) }));
  return el("ul", { class: "topic-list", "aria-label": "Labels" }, ...codes.map(item));
}

const MAX_FOUND = 50;
function foundDocuments(words) {
  const items = [];
  for (let i = 0; i < points.n && items.length < MAX_FOUND; i++) {
    if (!state.matches[i]) continue;
    const from = el("div", { class: "from" }, swatch(colourOf(points.topic[i])), untrusted(nameOf(points.topic[i])));
    items.push(documentItem(texts().texts[i], words, from));
  }
  return el("div", { class: "detail" }, el("ul", { class: "documents" }, ...items));
}

function drawPanel() {
  const words = wordsOf(state.query);
  const panel = byId("panel");
  if (words.length) panel.replaceChildren(foundDocuments(words));
  else if (state.topic !== null && topicOf.has(state.topic)) panel.replaceChildren(topicDetail(topicOf.get(state.topic)));
  else if (state.group) panel.replaceChildren(groupDetail(nodes.get(state.group.node)));
  else if (state.colour === "label") panel.replaceChildren(labelLegend());
  else panel.replaceChildren(el("ul", { class: "topic-list" }, ...bySize().map((topic) => topicButton(topic.topic, topic.size))));
  panel.scrollTop = 0;
  byId("clear").hidden = state.matches === null;
  byId("status").textContent = statusText(words);
}
const bySize = () => [...topics].sort((a, b) => b.size - a.size || a.topic - b.topic);

function statusText(words) {
  const where = summary.n_points < summary.n_documents ? " on the map" : "";
  if (!state.matches && state.colour === "label") return `${plural(points.labels.length, "label")}${points.labels.length > N_COLOURS ? "; colours repeat" : ""}`;
  if (!state.matches) return topics.length ? `${plural(topics.length, "topic")}; select one to see only its documents` : "No topics were found";
  const n = state.matches.reduce((sum, value) => sum + value, 0);
  if (!words.length) return `${plural(n, "document")}${where}`;
  const within = state.topic !== null ? " in this topic" : state.group ? " in this group" : "";
  return `${count(n)} of ${plural(points.n, "document")}${where} ${n === 1 ? "matches" : "match"}${within}${n > MAX_FOUND ? `; the first ${MAX_FOUND} are shown` : ""}`;
}

// --- table of topics ---

const COLUMNS = [
  { key: "topic", title: "No.", end: true, value: (topic) => topic.topic },
  { key: "name", title: "Topic", value: (topic) => topic.name.toLowerCase() },
  { key: "size", title: "Documents", end: true, down: true, value: (topic) => topic.size },
  { key: "share", title: "Share", down: true, value: (topic) => topic.size },
  { key: "keywords", title: "Keywords", value: (topic) => (topic.keywords[0] || "").toLowerCase() },
];
const ROWS_AT_ONCE = 100;
const order = { key: "topic", down: false, all: false };

function drawTableHead() {
  const cells = COLUMNS.map((column) => el("th", { scope: "col", class: column.end ? "end" : "", "data-key": column.key },
    el("button", { type: "button", text: column.title, onclick: () => sortBy(column) })));
  byId("topic-table").tHead.rows[0].replaceChildren(el("th", { scope: "col" }, el("span", { "aria-label": "Example documents" })), ...cells);
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
    el("td", { class: "end number", text: topic.topic }),
    el("td", {}, el("div", { class: "name" }, swatch(colour), el("button", { type: "button", title: "Show on the map", onclick: () => showOnMap(topic.topic) }, untrusted(topic.name)))),
    el("td", { class: "end number", text: count(topic.size) }),
    el("td", {}, el("div", { class: "share" }, el("span", { class: "number", text: percent(share) }), el("i", { bar: colour, width: `${(100 * topic.size) / largest}%` }))),
    el("td", {}, el("ul", { class: "words" }, ...words)));
}

function toggleExamples(open, topic) {
  const row = open.closest("tr");
  const opened = open.getAttribute("aria-expanded") === "true";
  open.setAttribute("aria-expanded", String(!opened));
  if (opened) row.nextElementSibling.remove();
  else row.after(el("tr", { class: "examples" }, el("td", { colspan: COLUMNS.length + 1 }, el("ul", { class: "documents" }, ...topic.examples.map((example) => documentItem(summary.examples[example]))))));
}

function showOnMap(topic) {
  select(topic);
  if (state.topic !== null) byId("map-section").scrollIntoView({ block: "start" });
}

function markChosen() {
  for (const row of document.querySelectorAll("#topic-table tr.topic")) {
    const topic = Number(row.dataset.topic);
    row.classList.toggle("chosen", state.group ? state.group.topics.has(topic) : topic === state.topic);
  }
}

// --- quality and run ---

function metricCard(entry) {
  const whole = Number.isInteger(entry.value) && !entry.bounds;
  const plain = !entry.bounds && entry.value !== null && entry.value >= 10;
  const value = entry.value === null ? "not defined" : whole || plain ? count(Math.round(entry.value * 10) / 10) : entry.key.endsWith("_share") ? percent(entry.value) : entry.value.toFixed(3);
  const card = el("div", {}, el("dt", { text: entry.label }), el("dd", { class: "value", text: value }));
  if (entry.bounds && entry.value !== null) card.append(meter(entry.value, ...entry.bounds));
  if (entry.meaning) card.append(el("dd", { class: "meaning", text: entry.meaning }));
  if (entry.good) card.append(el("dd", { class: "good", text: entry.good }));
  return card;
}

function meter(value, low, high) {
  const place = (v) => (100 * (Math.min(high, Math.max(low, v)) - low)) / (high - low);
  const [from, to] = [place(Math.min(0, value)), place(Math.max(0, value))];
  const bar = el("i", { width: `${Math.max(0.5, to - from)}%` });
  bar.style.left = `${from}%`;
  return el("dd", { class: "meter", "aria-hidden": "true" }, bar);
}

const bytes = (n) => (n ? `${(n / 2 ** (n >= 2 ** 30 ? 30 : 20)).toFixed(n >= 2 ** 30 ? 1 : 0)} ${n >= 2 ** 30 ? "GiB" : "MiB"}` : "–");

function stageRow(stage, longest) {
  const took = el("div", { class: "took" }, el("span", { class: "number", text: seconds(stage.seconds) }), el("i", { width: `${(100 * (stage.seconds || 0)) / longest}%` }));
  const cells = [stage.stage, el("span", { class: `pill ${stage.state === "computed" ? "computed" : ""}`, text: stage.state }), took];
  return el("tr", {}, ...cells.map((cell) => el("td", {}, cell)),
    el("td", { class: "end number", text: bytes(stage.peak_rss_bytes) }),
    el("td", { class: "end number", text: count(stage.rows || 0) }),
    el("td", {}, el("code", { title: stage.key, text: String(stage.key || "").slice(0, 12) })));
}

function drawRun() {
  if (!run) {
    byId("run-note").textContent = "This page does not belong to a run; the page in a run's folder shows timings and config.";
    return;
  }
  const stages = run.stages || [];
  const cached = stages.filter((stage) => stage.state === "cached").length;
  byId("run-note").textContent = `${plural(stages.length, "stage")}; ${cached} of them were found in the store and not computed again.`;
  const longest = Math.max(...stages.map((stage) => stage.seconds || 0), 1e-9);
  const head = ["Stage", "State", "Time", "Peak memory", "Rows", "Artifact"].map((title, k) => el("th", { scope: "col", class: k === 3 || k === 4 ? "end" : "", text: title }));
  byId("stages").append(el("table", {}, el("thead", {}, el("tr", {}, ...head)), el("tbody", {}, ...stages.map((stage) => stageRow(stage, longest)))));
  const facts = Object.entries({ run: run.run_id, name: run.name, device: run.device, machine: run.machine, commit: run.commit, ...(run.versions || {}) }).filter(([, value]) => value);
  const list = el("dl", {}, ...facts.flatMap(([key, value]) => [el("dt", { text: key }), el("dd", { text: String(value) })]));
  byId("details").append(el("details", {}, el("summary", { text: "Config" }), el("pre", { dir: "ltr", text: run.config || "" })), el("details", {}, el("summary", { text: "Machine and versions" }), list));
}

// --- near-duplicates ---

const METHOD_NAMES = { embedding: "embeddings", minhash: "words" };
const recallText = (share) => (share === 1 ? "1" : Math.min(share, 0.9999).toFixed(4));

function drawDuplicates() {
  const found = summary.duplicates;
  if (!found) return;
  byId("duplicates-section").hidden = false;
  byId("duplicates-link").hidden = false;
  const how = found.methods.map((method) => `by ${METHOD_NAMES[method.method]} (${method.measure} of at least ${method.threshold})`);
  byId("duplicates-note").textContent = `Found ${how.join(" and ")}. One document of each group is kept; the topic model uses only kept documents.`;
  const entries = [
    ["Documents", count(found.n_documents)],
    ["Kept", count(found.n_kept)],
    ["Left out", `${count(found.n_duplicates)} · ${percent(found.n_duplicates / Math.max(1, found.n_documents))}`],
    ["Left out with an equal text", count(found.n_equal_texts)],
    ["Groups", count(found.n_groups)],
    ["Largest group", count(found.largest_group)],
    ...recallEntry(found),
  ];
  byId("duplicates-figures").append(...entries.map(([name, value]) => el("div", {}, el("dt", { text: name }), el("dd", { text: value }))));
  const [first] = found.methods;
  byId("duplicates-chart-heading").textContent = `Pairs by ${first.measure}: ${plural(first.n_pairs, "pair")} of at least ${first.threshold}`;
  const none = el("tr", {}, el("td", { colspan: 3, class: "empty", text: "No two documents with different texts are duplicates." }));
  const rows = found.least_similar.map(duplicateRow);
  byId("duplicates-table").tBodies[0].replaceChildren(...(rows.length ? rows : [none]));
}

function recallEntry(found) {
  if (!found.recall) return [];
  const { share, low, high, sample } = found.recall;
  const whole = found.search === "exact" && share === 1;
  const name = whole ? "Recall: all pairs were compared" : `Recall, 95 %: ${recallText(low)} to ${recallText(high)}, from ${plural(sample, "kept document")}`;
  return [[name, recallText(share)]];
}

function duplicateRow(pair) {
  const cell = (id, text) => el("td", {}, el("div", { class: "id" }, untrusted(id)), untrusted(text.trim() || "(no visible text)", "div"));
  return el("tr", {}, el("td", { class: "end number", text: `${pair.measure} ${pair.similarity.toFixed(3)}` }), cell(pair.doc_id, pair.text), cell(pair.kept_id, pair.kept_text));
}

// --- controls ---

function later(milliseconds, action) {
  let timer = 0;
  return (...given) => {
    clearTimeout(timer);
    timer = setTimeout(() => action(...given), milliseconds);
  };
}

function wireControls() {
  byId("query").addEventListener("input", later(points.n > 20000 ? 200 : 80, () => change({ query: byId("query").value })));
  byId("clear").addEventListener("click", clearAll);
  byId("show-names").addEventListener("change", (event) => change({ names: event.target.checked }));
  byId("show-outliers").addEventListener("change", (event) => change({ outliers: event.target.checked }));
  byId("colour").addEventListener("change", (event) => change({ colour: event.target.value }));
  byId("all-topics").addEventListener("click", () => { order.all = true; drawTable(); });
  byId("outlier-option").hidden = summary.n_outliers === 0;
  byId("colour-option").hidden = points.labels.length < 2;
  addEventListener("keydown", (event) => {
    const typing = event.target.closest?.("input, select, textarea");
    if (event.key === "Escape") clearAll();
    else if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey) {
      event.preventDefault();
      byId("query").focus();
    }
  });
}

function clearAll() {
  byId("query").value = "";
  hideTip();
  if (state.matches) change({ topic: null, group: null, query: "" });
}

function drawNotes() {
  const sampled = summary.n_points < summary.n_documents;
  const parts = [sampled ? `${count(summary.n_points)} of ${plural(summary.n_documents, "document")}, sampled evenly within each topic.` : `${plural(summary.n_documents, "document")}.`];
  if (summary.n_reassigned) parts.push(`${plural(summary.n_reassigned, "outlier")} reassigned to the nearest topic.`);
  parts.push(`Texts are cut at ${count(summary.max_text)} characters; the search reads only these.`);
  byId("map-note").textContent = parts.join(" ");
  byId("topics-note").textContent = topics.length ? "Bars under the keywords show their weight. Select a name to see the topic on the map." : "";
}

state.matches = null;
drawMasthead();
drawNotes();
drawTableHead();
drawTable();
drawPanel();
summary.metrics.forEach((entry) => byId("metrics").append(metricCard(entry)));
drawDuplicates();
drawRun();
wireControls();
onChange(drawPanel);
onChange(markChosen);
