// Sizes, similarity, topics over time. Axes show only numbers and dates; names are in our own tooltip and legend.

const FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Liberation Sans', Arial, sans-serif";
const MAX_SIZES = 60;

function chartLayout(extra) {
  const line = css("--line");
  const common = { gridcolor: line, linecolor: line, zerolinecolor: line, tickfont: { color: css("--soft"), size: 12 }, fixedrange: true };
  return {
    font: { family: FONT, color: css("--ink"), size: 12 },
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    margin: { l: 58, r: 22, t: 20, b: 50 },
    showlegend: false,
    dragmode: false,
    ...extra,
    xaxis: { ...common, ...extra.xaxis },
    yaxis: { ...common, ...extra.yaxis },
  };
}
const CHART = { displayModeBar: false, responsive: true, showTips: false };

function emptyChart(id, reason) {
  const box = byId(id);
  box.classList.add("void");
  box.textContent = reason;
}

// --- sizes ---

async function drawSizes() {
  if (!topics.length) return emptyChart("size-chart", "No topics to compare.");
  const shown = bySize().slice(0, MAX_SIZES);
  const note = topics.length > MAX_SIZES ? `The largest ${MAX_SIZES} of ${count(topics.length)}.` : "Documents in each topic, largest first.";
  byId("size-note").textContent = note;
  const chart = byId("size-chart");
  const faded = shown.map((topic) => (isShown(topic.topic) ? 1 : 0.3));
  const ids = shown.map((topic) => String(topic.topic));
  await Plotly.react(chart, [{
    type: "bar", x: ids, y: shown.map((topic) => topic.size), hoverinfo: "none",
    marker: { color: shown.map((topic) => colourOf(topic.topic)), opacity: faded },
  }], chartLayout({
    bargap: shown.length > 30 ? 0.12 : 0.28,
    xaxis: { type: "category", title: { text: "topic", standoff: 4, font: { size: 12, color: css("--soft") } }, showgrid: false, tickmode: "auto", nticks: 16, tickangle: 0 },
    yaxis: { tickformat: ",d", rangemode: "tozero", nticks: 6 },
  }), CHART);
  return (found) => {
    const topic = shown[found[0].pointNumber];
    return [tipHead(topic.topic), el("div", { class: "foot", text: `Topic ${topic.topic} · ${plural(topic.size, "document")} · ${percent(topic.size / summary.n_documents)}` })];
  };
}

// --- similarity ---

async function drawSimilarity() {
  const similar = summary.similarity;
  if (!similar) return emptyChart("similarity-chart", "Similarity needs at least two topics.");
  const shown = similar.topics.length;
  byId("similarity-note").textContent = shown < topics.length ? `The largest ${shown} of ${count(topics.length)}, similar topics next to each other.` : "Cosine of the mean embeddings, similar topics next to each other.";
  const chart = byId("similarity-chart");
  chart.classList.add("square");
  const ids = similar.topics.map(String);
  const low = Math.min(...similar.values.flat());
  const values = similar.values.map((row, i) => row.map((value, j) => (i === j ? null : value)));
  const high = Math.max(...values.flat().map((value) => value ?? -1));
  const ticks = { type: "category", showgrid: false, tickmode: "auto", nticks: 16, tickangle: 0, ticks: "" };
  await Plotly.react(chart, [{
    type: "heatmap", x: ids, y: ids, z: values, zmin: low, zmax: Math.max(high, low + 1e-6), xgap: shown > 30 ? 0 : 1, ygap: shown > 30 ? 0 : 1,
    colorscale: [[0, css("--heat-low")], [1, css("--heat-high")]], hoverinfo: "none", hoverongaps: false,
    colorbar: { thickness: 10, outlinewidth: 0, tickfont: { color: css("--soft"), size: 11 }, len: 0.9, nticks: 5 },
  }], chartLayout({ margin: { l: 48, r: 12, t: 20, b: 44 }, xaxis: ticks, yaxis: { ...ticks, autorange: "reversed" } }), CHART);
  return (found) => {
    const [i, j] = found[0].pointNumber;
    return [tipHead(similar.topics[i]), tipHead(similar.topics[j]), el("div", { class: "foot", text: `cosine ${similar.values[i][j].toFixed(3)}` })];
  };
}

// --- over time ---

const STEPS = { m: "minute", h: "hour", d: "day", w: "week", mo: "month", q: "quarter", y: "year" };
let measure = "count";
let single = null; // the topic that is selected in the legend

function stepName(step) {
  const [, n, unit] = step.match(/^(\d+)([a-z]+)$/);
  return n === "1" ? STEPS[unit] : `${n} ${STEPS[unit]}s`;
}

function binName(line, i) {
  const unit = line.step.replace(/\d+/, "");
  const length = { y: 4, q: 7, mo: 7, w: 10, d: 10 }[unit] || 16;
  return (unit === "w" ? "week of " : "") + line.starts[i].slice(0, length).replace("T", " ");
}

async function drawTime() {
  const line = summary.timeline;
  if (!line) {
    byId("time-measure").hidden = true;
    byId("time-legend").hidden = true;
    return emptyChart("time-chart", "No timestamps: set load.timestamp_column to see topics over time.");
  }
  byId("time-measure").hidden = false;
  const undated = line.n_undated ? ` Without ${plural(line.n_undated, "document")} that have no date.` : "";
  const which = line.topics.length < topics.length ? `The largest ${line.topics.length} topics, ` : "";
  byId("time-note").textContent = `${which || "By "}${which ? "by " : ""}${stepName(line.step)}.${undated}`;
  const value = (k, i) => (measure === "count" ? line.counts[k][i] : line.totals[i] ? line.counts[k][i] / line.totals[i] : 0);
  const traces = line.topics.map((topic, k) => ({
    type: "scatter", mode: line.starts.length > 30 ? "lines" : "lines+markers", x: line.starts, y: line.starts.map((_, i) => value(k, i)), hoverinfo: "none",
    line: { color: colourOf(topic), width: single === topic ? 3.2 : 2, shape: "linear" }, marker: { size: 5 }, opacity: single === null || single === topic ? 1 : 0.15,
  }));
  await Plotly.react(byId("time-chart"), traces, chartLayout({
    hovermode: "x",
    xaxis: { type: "date", showgrid: false, showspikes: true, spikemode: "across", spikethickness: 1, spikecolor: css("--faint"), spikedash: "solid" },
    yaxis: { tickformat: measure === "count" ? ",d" : ".0%", rangemode: "tozero" },
  }), CHART);
  return (found) => {
    const i = found[0].pointNumber;
    const rows = line.topics.map((topic, k) => [topic, value(k, i)]).sort((a, b) => b[1] - a[1]).filter((row) => row[1] > 0);
    const head = el("div", { class: "head", text: `${binName(line, i)} · ${plural(line.totals[i], "document")}` });
    return [head, ...rows.map(([topic, n]) => el("div", { class: "line" }, swatch(colourOf(topic)), untrusted(nameOf(topic)), el("span", { class: "number", text: measure === "count" ? count(n) : percent(n) })))];
  };
}

function drawLegend() {
  if (!summary.timeline) return;
  const pick = (topic) => { single = single === topic ? null : topic; drawLegend(); drawTime(); };
  byId("time-legend").replaceChildren(...summary.timeline.topics.map((topic) => el("li", {},
    el("button", { type: "button", "aria-pressed": String(single === topic), onclick: () => pick(topic) }, swatch(colourOf(topic)), untrusted(nameOf(topic))))));
}

function wireMeasure() {
  const buttons = [...byId("time-measure").children];
  buttons.forEach((button) => button.addEventListener("click", () => {
    measure = button.dataset.measure;
    buttons.forEach((other) => other.setAttribute("aria-pressed", String(other === button)));
    drawTime();
  }));
}

// --- updates: the current topics in the new documents of each run ---

async function drawUpdates() {
  const updates = run.updates;
  const names = updates.numbers.map((n, i) => (updates.watermarks[i] ? `${n} · ${updates.watermarks[i].slice(0, 10)}` : String(n)));
  const rest = updates.n_new.map((n, i) => n - updates.outliers[i] - updates.topics.reduce((sum, topic) => sum + topic.counts[i], 0));
  const share = (n, i) => (updates.n_new[i] ? n / updates.n_new[i] : 0);
  const bars = [
    ...updates.topics.map((topic) => [topic.name, topic.counts, colourOf(topic.topic)]),
    ["Other topics", rest, css("--rest")],
    ["No topic", updates.outliers, css("--outlier")],
  ];
  const traces = bars.map(([, counts, color]) => ({ type: "bar", x: updates.numbers.map(String), y: counts.map(share), hoverinfo: "none", marker: { color } }));
  await Plotly.react(byId("updates-chart"), traces, chartLayout({
    hovermode: "x", barmode: "stack", bargap: 0.15, xaxis: { type: "category", showgrid: false }, yaxis: { tickformat: ".0%", range: [0, 1] },
  }), CHART);
  return (found) => {
    const i = found[0].pointNumber;
    const head = el("div", { class: "head", text: `Update ${names[i]} · ${plural(updates.n_new[i], "document")}${updates.refit[i] ? " · refitted" : ""}` });
    const rows = bars.filter(([, counts]) => counts[i] > 0).sort((a, b) => b[1][i] - a[1][i]);
    return [head, ...rows.map(([name, counts, color]) => el("div", { class: "line" }, swatch(color), untrusted(name), el("span", { class: "number", text: percent(share(counts[i], i)) })))];
  };
}

function drawUpdateNotes() {
  const updates = run && run.updates;
  if (!updates) return;
  byId("updates-section").hidden = false;
  const last = updates.numbers.length - 1;
  byId("updates-note").textContent = `Share of each current topic in the new documents of ${plural(updates.numbers.length, "run")}.`;
  const facts = [run.update.refit ? `Topics were refitted: ${run.update.reason}.` : `${plural(updates.n_new[last], "new document")} assigned to the existing topics.`];
  const events = ["continued", "split", "merged", "born", "died"].filter((event) => run.lineage && run.lineage[event]);
  if (events.length) facts.push("Topics: " + events.map((event) => `${count(run.lineage[event])} ${event}`).join(", ") + ".");
  if (run.drift) facts.push(`Since the fit: ${plural(run.drift.figures.n_documents, "document")}, ${percent(run.drift.figures.outlier_share)} outliers (at the fit: ${percent(run.drift.figures.outlier_share_fit)}).`);
  if (run.drift && !run.update.refit) facts.push(...run.drift.over.map((line) => `Drift: ${line}.`));
  byId("updates-facts").replaceChildren(...facts.map((line) => untrusted(line, "li")));
}

// --- near-duplicates: similarities of the pairs, and the threshold ---

async function drawSimilarities() {
  const { histogram, methods: [{ threshold }] } = summary.duplicates;
  if (!histogram.some((bin) => bin.pairs)) return emptyChart("duplicates-chart", "No two different documents are so similar.");
  const line = { type: "line", x0: threshold, x1: threshold, yref: "paper", y0: 0, y1: 1, line: { color: css("--ink"), width: 1.5, dash: "dash" } };
  const name = { x: threshold, y: 1, yref: "paper", text: `threshold ${threshold}`, showarrow: false, xanchor: threshold > histogram[histogram.length >> 1].from ? "right" : "left", yanchor: "top", xshift: threshold > histogram[histogram.length >> 1].from ? -6 : 6, font: { color: css("--soft"), size: 12 } };
  await Plotly.react(byId("duplicates-chart"), [{
    type: "bar", x: histogram.map((bin) => (bin.from + bin.to) / 2), width: histogram.map((bin) => bin.to - bin.from), y: histogram.map((bin) => bin.pairs), hoverinfo: "none",
    marker: { color: histogram.map((bin) => css(bin.to > threshold ? "--accent" : "--rest")), line: { width: 1, color: css("--raised") } },
  }], chartLayout({ bargap: 0, shapes: [line], annotations: [name], xaxis: { showgrid: false, nticks: 10 }, yaxis: { tickformat: ",d", rangemode: "tozero", nticks: 5 } }), CHART);
  return (found) => {
    const bin = histogram[found[0].pointNumber];
    return [el("div", { class: "head", text: plural(bin.pairs, "pair") }), el("div", { class: "foot", text: `${summary.duplicates.methods[0].measure} ${bin.from.toFixed(3)} to ${bin.to.toFixed(3)}` })];
  };
}

// --- a chart is drawn when it is near the visible part of the page ---

const CHARTS = { ...(run && run.updates ? { "updates-chart": drawUpdates } : {}), "time-chart": drawTime, "size-chart": drawSizes, "similarity-chart": drawSimilarity, ...(summary.duplicates ? { "duplicates-chart": drawSimilarities } : {}) };
const drawn = new Set();

async function firstDraw(id) {
  if (drawn.has(id)) return;
  drawn.add(id);
  const content = await CHARTS[id]();
  if (!content) return;
  const chart = byId(id);
  chart.on("plotly_hover", (event) => showTip(event.event, ...current[id](event.points)));
  chart.on("plotly_unhover", hideTip);
  current[id] = content;
  if (id === "size-chart") chart.on("plotly_click", (event) => showOnMap(bySize()[event.points[0].pointNumber].topic));
}
const current = {};

function watchCharts() {
  const seen = new IntersectionObserver((entries) => {
    for (const entry of entries) if (entry.isIntersecting) firstDraw(entry.target.id);
  }, { rootMargin: "600px" });
  Object.keys(CHARTS).forEach((id) => seen.observe(byId(id)));
}

function redrawAll() {
  drawTable();
  drawPanel();
  drawLegend();
  if (points.n) drawMap();
  drawn.forEach((id) => CHARTS[id]());
}

async function start() {
  await startMap();
  document.documentElement.dataset.ready = "true";
  performance.mark("interactive");
  drawLegend();
  drawUpdateNotes();
  wireMeasure();
  watchCharts();
  onChange(() => { if (drawn.has("size-chart")) drawSizes(); });
  dark.addEventListener("change", redrawAll);
  setTimeout(texts, 50);
}
start();
