// The page of a sweep: tables, trade-offs and two maps. Text that comes from data is set with textContent, never as HTML.

const sweep = read("sweep"), packed = read("points"), texts = read("texts"), run = read("run") || {};
const x = unpack(packed.x, Float32Array), y = unpack(packed.y, Float32Array);
const rows = sweep.rows, chosen = sweep.recommendation.chosen;
const bySetting = new Map(rows.map((row) => [row.setting, row]));
for (const row of rows) row.seconds = (run.setting_seconds || {})[row.setting] ?? null;
const labelOf = (name) => sweep.labels[name] || name;
const settingName = (row) => sweep.keys.filter((key) => row[key] !== null).map((key) => `${key}=${row[key]}`).join(" ");

function shown(name, value) {
  if (value === null || value === undefined) return sweep.keys.includes(name) ? "unset" : "–";
  if (typeof value === "boolean") return value ? "yes" : "";
  if (typeof value !== "number" || Number.isInteger(value)) return typeof value === "number" ? count(value) : String(value);
  return sweep.keys.includes(name) ? String(value) : value.toFixed(name === "seconds" ? 1 : 3);
}

// --- head ---

byId("byline").textContent = [run.run_id, `${count(sweep.n_documents)} documents`, ...(run.left_out || [])].filter(Boolean).join(" · ");
byId("verdict").textContent = sweep.recommendation.sentence;
for (const [term, value] of [["Settings", rows.length], ["On the Pareto front", rows.filter((row) => row.pareto).length], ["Skipped", sweep.skipped.length], ["Draws that test the choice", chosen ? chosen.n_draws : 0]])
  byId("figures").append(el("div", {}, el("dt", { text: term }), el("dd", { text: count(value) })));

// --- the table of settings ---

const columns = ["setting", ...sweep.keys, ...sweep.figures, "seconds", "score", "pareto"].filter((name) => rows.some((row) => row[name] !== null));
let sorted = { name: "score", down: true };

function drawTable() {
  const head = byId("settings").tHead.rows[0], body = byId("settings").tBodies[0];
  head.replaceChildren(...columns.map((name) => el("th", { scope: "col", "aria-sort": sorted.name === name ? (sorted.down ? "descending" : "ascending") : "none" },
    el("button", { type: "button", text: labelOf(name), onclick: () => { sorted = { name, down: sorted.name === name ? !sorted.down : true }; drawTable(); byId("settings").tHead.rows[0].cells[columns.indexOf(name)].firstChild.focus(); } }))));
  const order = [...rows].sort((a, b) => {
    const [one, other] = [a[sorted.name], b[sorted.name]];
    if (one === null || other === null) return (one === null) - (other === null);
    return (one < other ? -1 : one > other ? 1 : 0) * (sorted.down ? -1 : 1) || a.setting - b.setting;
  });
  body.replaceChildren(...order.map((row) => el("tr", { class: chosen && row.setting === chosen.setting ? "recommended" : "", "data-setting": row.setting }, ...columns.map((name) => name === "setting"
    ? el("td", {}, el("button", { type: "button", text: row.setting, title: settingName(row), "aria-label": `Show setting ${row.setting} on the right map`, "aria-pressed": String(sides.right.setting === row.setting), onclick: () => { show("right", row.setting); drawTable(); body.querySelector(`tr[data-setting="${row.setting}"] button`).focus(); } }))
    : el("td", { class: "number", text: shown(name, row[name]) })))));
}

// --- the choice ---

const finalists = sweep.recommendation.finalists;
byId("choice-note").textContent = sweep.rule;
if (finalists.length) {
  byId("finalists").tHead.rows[0].append(...["Setting", "", "Score, all documents", "Mean score, draws", ...finalists[0].scores.map((_, k) => `Draw ${k + 1}`)].map((text) => el("th", { scope: "col", text })));
  for (const each of finalists) byId("finalists").tBodies[0].append(el("tr", {}, el("td", { text: each.setting }), el("td", { text: settingName(bySetting.get(each.setting)) }),
    ...[each.score, each.mean, ...each.scores].map((value) => el("td", { class: "number", text: value.toFixed(3) }))));
}

// --- trade-offs ---

const measured = [...sweep.figures, "seconds", "score"].filter((name) => rows.some((row) => row[name] !== null));
const svg = (tag, attributes, text = "") => {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.textContent = text;
  return node;
};

function drawTrade() {
  const [across, up] = [byId("trade-x").value, byId("trade-y").value], plot = byId("trade");
  const placed = rows.filter((row) => row[across] !== null && row[up] !== null);
  const span = (name, low, high) => {
    const values = placed.map((row) => row[name]), least = Math.min(...values), most = Math.max(...values);
    return { least, most, at: (value) => (most > least ? low + ((value - least) / (most - least)) * (high - low) : (low + high) / 2) };
  };
  const wide = span(across, 80, 870), tall = span(up, 330, 25);
  plot.replaceChildren(svg("line", { x1: 60, y1: 345, x2: 885, y2: 345 }), svg("line", { x1: 60, y1: 15, x2: 60, y2: 345 }));
  if (!placed.length) return;
  for (const value of [wide.least, wide.most]) plot.append(svg("text", { x: wide.at(value), y: 364, "text-anchor": "middle" }, shown(across, value)));
  for (const value of [tall.least, tall.most]) plot.append(svg("text", { x: 54, y: tall.at(value) + 4, "text-anchor": "end" }, shown(up, value)));
  for (const row of placed) {
    const dot = svg("circle", { cx: wide.at(row[across]), cy: tall.at(row[up]), r: 6, class: row.pareto ? "front" : "" });
    dot.append(svg("title", {}, `${row.setting}: ${settingName(row)}\n${labelOf(across)} ${shown(across, row[across])}, ${labelOf(up)} ${shown(up, row[up])}`));
    dot.addEventListener("click", () => { show("right", row.setting); drawTable(); });
    plot.append(dot);
    if (chosen && row.setting === chosen.setting) plot.append(svg("circle", { cx: wide.at(row[across]), cy: tall.at(row[up]), r: 11, class: "ring" }));
  }
}
for (const [id, start] of [["trade-x", "n_topics"], ["trade-y", measured.includes("stability") ? "stability" : "score"]]) {
  byId(id).append(...measured.map((name) => el("option", { value: name, text: labelOf(name), ...(name === start ? { selected: "" } : {}) })));
  byId(id).addEventListener("change", drawTrade);
}

// --- what each key decides ---

const decided = sweep.effects.length ? Object.keys(sweep.effects[0]).filter((name) => name !== "key" && sweep.effects.some((row) => row[name] !== null)) : [];
byId("effects").tHead.rows[0].append(el("th", { scope: "col", text: "Key" }), ...decided.map((name) => el("th", { scope: "col", text: labelOf(name) })));
for (const row of sweep.effects) byId("effects").tBodies[0].append(el("tr", {}, el("th", { scope: "row", text: row.key }),
  ...decided.map((name) => el("td", row[name] === null ? { text: "–" } : { class: "number meter-cell", bar: `${100 * row[name]}%`, text: `${(100 * row[name]).toFixed(0)} %` }))));

// --- two maps ---

const colourAt = (place) => palette()[place % N_COLOURS];
const reach = (values) => values.reduce(([low, high], value) => [Math.min(low, value), Math.max(high, value)], [Infinity, -Infinity]);
const [lowX, highX] = reach(x), [lowY, highY] = reach(y);
const view = { x: (lowX + highX) / 2, y: (lowY + highY) / 2, zoom: 1 };
const sides = { left: { setting: null }, right: { setting: null } };

// Topics of both sides that share most documents have one colour: greedily by the share of documents in both.
function matchColours() {
  const [left, right] = [sides.left, sides.right], shared = new Map(), sizes = [new Map(), new Map()];
  for (let i = 0; i < x.length; i++) {
    const [a, b] = [left.topic[i], right.topic[i]];
    if (a >= 0) sizes[0].set(a, (sizes[0].get(a) || 0) + 1);
    if (b >= 0) sizes[1].set(b, (sizes[1].get(b) || 0) + 1);
    if (a >= 0 && b >= 0) shared.set(`${a} ${b}`, (shared.get(`${a} ${b}`) || 0) + 1);
  }
  left.colour = new Map(sweep.topics[left.setting].map((_, topic) => [topic, topic]));
  right.colour = new Map();
  const pairs = [...shared].map(([key, n]) => { const [a, b] = key.split(" ").map(Number); return { a, b, n, share: n / (sizes[0].get(a) + sizes[1].get(b) - n) }; }).sort((one, other) => other.share - one.share);
  const used = new Set();
  let same = 0;
  for (const { a, b, n } of pairs) if (!right.colour.has(b) && !used.has(a)) { right.colour.set(b, a); used.add(a); same += n; }
  let next = sweep.topics[left.setting].length;
  sweep.topics[right.setting].forEach((_, topic) => { if (!right.colour.has(topic)) right.colour.set(topic, next++); });
  const both = x.length - x.reduce((none, _, i) => none + (left.topic[i] < 0 || right.topic[i] < 0), 0);
  byId("maps-note").textContent = `${count(x.length)} of ${count(sweep.n_documents)} documents. Topics that share most documents have one colour: ${both ? ((100 * same) / both).toFixed(0) : 0} % of the documents with a topic in both settings are in matching topics.`;
}

function place(canvas) {
  const scale = view.zoom * Math.min(canvas.width / (highX - lowX || 1), canvas.height / (highY - lowY || 1)) * 0.95;
  return { scale, toX: (value) => (value - view.x) * scale + canvas.width / 2, toY: (value) => canvas.height / 2 - (value - view.y) * scale };
}

function drawMap(side) {
  const canvas = byId(`${side}-map`), ratio = devicePixelRatio || 1, { topic, colour } = sides[side];
  canvas.width = Math.max(1, canvas.clientWidth * ratio);
  canvas.height = Math.max(1, canvas.clientHeight * ratio);
  const pen = canvas.getContext("2d"), { toX, toY } = place(canvas), size = ratio * (x.length > 2000 ? 2.4 : 3.4);
  for (const outliers of [true, false]) for (let i = 0; i < x.length; i++) {
    if ((topic[i] < 0) !== outliers) continue;
    pen.globalAlpha = outliers ? 0.4 : 0.8;
    pen.fillStyle = outliers ? css_outlier : colourAt(colour.get(topic[i]));
    pen.fillRect(toX(x[i]) - size / 2, toY(y[i]) - size / 2, size, size);
  }
}
let css_outlier = css("--outlier");

function drawTopics(side) {
  const { setting, colour } = sides[side];
  byId(`${side}-topics`).replaceChildren(...sweep.topics[setting].map(([name, size], topic) => el("li", { class: "row" },
    el("span", { class: "swatch", fill: colourAt(colour.get(topic)), "aria-hidden": "true" }), el("span", { class: "text", dir: "auto", text: name }), el("span", { class: "number", text: count(size) }))));
}

const drawMaps = () => ["left", "right"].forEach(drawMap);
function drawSides() {
  css_outlier = css("--outlier");
  matchColours();
  ["left", "right"].forEach((side) => { byId(side).value = sides[side].setting; drawTopics(side); });
  drawMaps();
}

function show(side, setting) {
  sides[side] = { setting, topic: unpack(packed.labels[setting], packed.wide ? Int32Array : Int16Array) };
  if (sides.left.topic && sides.right.topic) drawSides();
}

function nearest(canvas, event) {
  const box = canvas.getBoundingClientRect(), ratio = canvas.width / box.width, { toX, toY } = place(canvas);
  let best = -1, least = (8 * ratio) ** 2;
  for (let i = 0; i < x.length; i++) {
    const far = (toX(x[i]) - (event.clientX - box.left) * ratio) ** 2 + (toY(y[i]) - (event.clientY - box.top) * ratio) ** 2;
    if (far < least) [best, least] = [i, far];
  }
  return best;
}

function tell(event, i) {
  const tip = byId("tip"), named = (side) => (sides[side].topic[i] < 0 ? "No topic" : sweep.topics[sides[side].setting][sides[side].topic[i]][0]);
  tip.hidden = i < 0;
  if (i < 0) return;
  tip.replaceChildren(el("div", { class: "body", dir: "auto", text: texts[i] }), ...["left", "right"].map((side) => el("div", { class: "foot", text: `${side}: ${named(side)}` })));
  tip.style.left = `${Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8)}px`;
  tip.style.top = `${Math.min(event.clientY + 14, innerHeight - tip.offsetHeight - 8)}px`;
}

function zoomBy(factor) { view.zoom = Math.min(200, Math.max(0.5, view.zoom * factor)); drawMaps(); }
for (const side of ["left", "right"]) {
  const canvas = byId(`${side}-map`);
  let held = null;
  canvas.addEventListener("pointerdown", (event) => { held = [event.clientX, event.clientY]; canvas.setPointerCapture(event.pointerId); });
  canvas.addEventListener("pointerup", () => { held = null; });
  canvas.addEventListener("pointermove", (event) => {
    if (!held) { tell(event, nearest(canvas, event)); return; }
    const ratio = canvas.width / canvas.clientWidth, { scale } = place(canvas);
    view.x -= ((event.clientX - held[0]) * ratio) / scale;
    view.y += ((event.clientY - held[1]) * ratio) / scale;
    held = [event.clientX, event.clientY];
    drawMaps();
  });
  canvas.addEventListener("pointerleave", () => { byId("tip").hidden = true; });
  canvas.addEventListener("wheel", (event) => { if (event.ctrlKey || document.activeElement === canvas) { event.preventDefault(); zoomBy(event.deltaY < 0 ? 1.2 : 1 / 1.2); } }, { passive: false });
  canvas.addEventListener("keydown", (event) => {
    const step = 40 / place(canvas).scale, moves = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, step], ArrowDown: [0, -step] };
    if (moves[event.key]) { view.x += moves[event.key][0]; view.y += moves[event.key][1]; drawMaps(); }
    else if (event.key === "+" || event.key === "=") zoomBy(1.3);
    else if (event.key === "-") zoomBy(1 / 1.3);
    else if (event.key === "0") { Object.assign(view, { x: (lowX + highX) / 2, y: (lowY + highY) / 2, zoom: 1 }); drawMaps(); }
    else return;
    event.preventDefault();
  });
  byId(side).append(...rows.map((row) => el("option", { value: row.setting, text: `${row.setting}: ${settingName(row)}` })));
  byId(side).addEventListener("change", (event) => { show(side, Number(event.target.value)); drawTable(); });
}

const byScore = [...rows].sort((a, b) => b.score - a.score || a.setting - b.setting);
const first = chosen ? chosen.setting : byScore[0].setting;
const second = (chosen && chosen.second) || (byScore.find((row) => row.setting !== first) || byScore[0]).setting;
show("left", first);
show("right", second);
drawTable();
drawTrade();

byId("skipped-section").hidden = byId("skipped-link").hidden = !sweep.skipped.length;
byId("skipped").hidden = !sweep.skipped.length;
for (const each of sweep.skipped) byId("skipped").tBodies[0].append(el("tr", {}, el("td", { text: Object.entries(each.values).map(([key, value]) => `${key}=${value === null ? "unset" : value}`).join(" ") }), el("td", { text: each.reason })));
dark.addEventListener("change", drawSides);
addEventListener("resize", drawMaps);
document.body.dataset.ready = "true";
