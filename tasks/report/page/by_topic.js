// The mean of a number, or the share of a value, in each topic, with intervals; all documents of the run count.

const compared = { data: null, down: true };
const comparable = columns.filter((column) => column.kind !== "date");
const INTERVAL = "95 %";

function figuresOf(column, value) {
  compared.data ??= read("by_topic");
  const own = compared.data[column.k];
  if (column.kind === "number") return { n: own.n, middle: own.mean, low: own.low, high: own.high };
  own.unpacked ??= { counts: unpack(own.counts, Int32Array), low: unpack(own.low, Float32Array), high: unpack(own.high, Float32Array) };
  const at = (array) => own.n.map((_, k) => array[k * column.values.length + value]);
  const counts = at(own.unpacked.counts);
  return { n: own.n, middle: counts.map((found, k) => (own.n[k] ? found / own.n[k] : null)), low: at(own.unpacked.low), high: at(own.unpacked.high) };
}

const isKnown = (row) => row.low !== null && !Number.isNaN(row.low);

function whisker(row, axis, whole) {
  const place = (value) => `${(100 * (value - axis[0])) / (axis[1] - axis[0] || 1)}%`;
  const line = el("i", { class: "line-mark" });
  Object.assign(line.style, { left: place(row.low), width: `calc(${place(row.high)} - ${place(row.low)})` });
  const dot = el("i", { class: "dot-mark", fill: row.colour });
  dot.style.left = place(row.middle);
  const all = el("i", { class: "all-mark" });
  all.style.left = place(whole);
  return el("div", { class: "whisker", "aria-hidden": "true" }, all, line, dot);
}

function comparedRow(row, axis, whole, say) {
  const name = row.topic === null ? el("strong", { text: "All documents" }) : topicLink(row.topic);
  const known = isKnown(row);
  const apart = !known || row.topic === null ? "" : row.low > whole ? "above" : row.high < whole ? "below" : "";
  return el("tr", row.topic === null ? { class: "whole" } : { "data-topic": row.topic }, el("td", {}, name), numberCell(count(row.n)),
    numberCell(row.middle === null ? "–" : say(row.middle)), numberCell(known ? `${say(row.low)} to ${say(row.high)}` : "–"),
    el("td", {}, ...(known ? [whisker(row, axis, whole)] : [])), el("td", { text: apart }));
}

function drawByTopic() {
  if (!comparable.length) return;
  const column = columns[Number(byId("by-topic-column").value)];
  const isNumber = column.kind === "number";
  const found = figuresOf(column, Number(byId("by-topic-value").value));
  const rowOf = (k, topic, colour) => ({ topic, colour, n: found.n[k], middle: found.middle[k], low: found.low[k], high: found.high[k] });
  const rows = topics.map(({ topic }, k) => rowOf(k, topic, colourOf(topic))).filter((row) => row.n);
  const all = rowOf(topics.length, null, css("--ink"));
  rows.sort((a, b) => (compared.down ? b.middle - a.middle : a.middle - b.middle) || a.topic - b.topic);
  const known = [...rows, all].filter(isKnown);
  const axis = known.length ? [Math.min(...known.map((row) => row.low)), Math.max(...known.map((row) => row.high))] : [0, 1];
  const say = isNumber ? (value) => shortNumber(Number(value.toPrecision(4))) : percent;
  byId("by-topic-head").textContent = isNumber ? `Mean of ${column.name}` : "Share";
  byId("by-topic-table").tBodies[0].replaceChildren(...[all, ...rows].map((row) => comparedRow(row, axis, all.middle, say)));
}

function fillValues() {
  const column = columns[Number(byId("by-topic-column").value)];
  byId("by-topic-values").hidden = column.kind === "number";
  byId("by-topic-value").replaceChildren(...(column.values || []).map((value, code) => el("option", { value: code, text: value })));
}

function startByTopic() {
  if (!comparable.length || !topics.length) return;
  byId("by-topic-section").hidden = byId("by-topic-link").hidden = false;
  const left = summary.columns_left_out.length ? ` Free texts, ids and columns with one value are not offered: ${summary.columns_left_out.join(", ")}.` : "";
  byId("by-topic-note").textContent = `Means and shares with ${INTERVAL} intervals; a topic is above or below if its interval does not hold the figure of all documents.${left}`;
  byId("by-topic-column").append(...comparable.map((column) => el("option", { value: column.k, text: column.name })));
  byId("by-topic-column").addEventListener("change", () => { fillValues(); drawByTopic(); });
  byId("by-topic-value").addEventListener("change", drawByTopic);
  wireWay("by-topic-way", compared, drawByTopic);
  fillValues();
}
startByTopic();
