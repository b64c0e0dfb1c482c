// --- over time ---

const STEPS = { m: "minute", h: "hour", d: "day", w: "week", mo: "month", q: "quarter", y: "year" };
let measure = "count";
const DEFAULT_LINES = 10, MAX_PICKED = 10;
// The topics in the chart: the largest ones, or those that were picked.
const timeChart = {
  picked: [],
  single: null, // the topic that stands out
  has: (topic) => timePlace.has(topic),
  shown: () => (timeChart.picked.length ? timeChart.picked : timeline.topics.slice(0, DEFAULT_LINES)),
};

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
  const line = timeline;
  if (!line) {
    byId("time-measure").hidden = true;
    byId("time-legend").hidden = true;
    return emptyChart("time-chart", "No timestamps: set load.timestamp_column to see topics over time.");
  }
  byId("time-measure").hidden = false;
  const undated = line.n_undated ? ` Without ${plural(line.n_undated, "document")} that have no date.` : "";
  const shown = timeChart.shown(), single = timeChart.single;
  const which = timeChart.picked.length ? "The topics that you chose, by" : shown.length < topics.length ? `The largest ${shown.length} topics, by` : "By";
  byId("time-note").textContent = `${which} ${stepName(line.step)}.${undated} ${trendNote()}`;
  const value = (topic, i) => (measure === "count" ? countAt(topic, i) : line.totals[i] ? countAt(topic, i) / line.totals[i] : 0);
  const traces = shown.map((topic) => ({
    type: "scatter", mode: line.starts.length > 30 ? "lines" : "lines+markers", x: line.starts, y: line.starts.map((_, i) => value(topic, i)), hoverinfo: "none",
    line: { color: colourOf(topic), width: single === topic ? 3.2 : 2, shape: "linear" }, marker: { size: 5 }, opacity: single === null || single === topic ? 1 : 0.15,
  }));
  await Plotly.react(byId("time-chart"), traces, chartLayout({
    hovermode: "x",
    xaxis: { type: "date", showgrid: false, showspikes: true, spikemode: "across", spikethickness: 1, spikecolor: css("--faint"), spikedash: "solid" },
    yaxis: { tickformat: measure === "count" ? ",d" : ".0%", rangemode: "tozero" },
  }), CHART);
  return (found) => {
    const i = found[0].pointNumber;
    const rows = shown.map((topic) => [topic, value(topic, i)]).sort((a, b) => b[1] - a[1]).filter((row) => row[1] > 0);
    const head = el("div", { class: "head", text: `${binName(line, i)} · ${plural(line.totals[i], "document")}` });
    return [head, ...rows.map(([topic, n]) => el("div", { class: "line" }, swatch(colourOf(topic)), untrusted(nameOf(topic)), el("span", { class: "number", text: measure === "count" ? count(n) : percent(n) })))];
  };
}

const countAt = (topic, i) => timeline.counts[timePlace.get(topic)][i];

function trendNote() {
  const called = timeline.trends.filter((trend) => trend !== "none").length;
  return called ? `Topics whose share rises (↗) or falls (↘) by more than chance are marked: ${count(called)} of ${count(timeline.topics.length)}.` : "The share of no topic rises or falls by more than chance.";
}

function showTopics(picked) {
  timeChart.picked = picked.slice(-MAX_PICKED);
  timeChart.single = null;
  drawLegend();
  if (drawn.has("time-chart")) drawTime();
}

function pickTopics(picked) {
  showTopics(picked);
  writeLink();
}

function legendItem(topic) {
  const single = timeChart.single === topic;
  const name = el("button", { type: "button", "aria-pressed": String(single), onclick: () => { timeChart.single = single ? null : topic; drawLegend(); drawTime(); } }, swatch(colourOf(topic)), untrusted(nameOf(topic)), ...trendMark(topic));
  const away = timeChart.picked.length ? [el("button", { type: "button", class: "away", "aria-label": `Remove ${nameOf(topic)} from the chart`, text: "×", onclick: () => pickTopics(timeChart.picked.filter((other) => other !== topic)) })] : [];
  return el("li", {}, name, ...away);
}

function drawLegend() {
  if (!timeline) return;
  byId("time-legend").replaceChildren(...timeChart.shown().map(legendItem));
  byId("time-reset").hidden = !timeChart.picked.length;
}

// Any topic can be added, the rising and falling ones first.
function fillTimeChoice() {
  if (!timeline) return;
  byId("time-choice").hidden = false;
  const mark = (topic) => ARROWS[trendOf(topic)] || "";
  const groups = [["Rising", "rising"], ["Falling", "falling"], ["Other topics", "none"]].map(([title, trend]) => [title, timeline.topics.filter((topic) => trendOf(topic) === trend)]);
  byId("time-topic").append(...groups.filter(([, own]) => own.length).map(([title, own]) => el("optgroup", { label: title }, ...own.map((topic) => el("option", { value: topic, text: `${mark(topic)} ${nameOf(topic)}`.trim() })))));
  byId("time-topic").addEventListener("change", () => {
    const topic = Number(byId("time-topic").value);
    byId("time-topic").value = "";
    if (timeChart.has(topic) && !timeChart.picked.includes(topic)) pickTopics([...timeChart.picked, topic]);
  });
  byId("time-reset").addEventListener("click", () => pickTopics([]));
}

function wireMeasure() {
  const buttons = [...byId("time-measure").children];
  buttons.forEach((button) => button.addEventListener("click", () => {
    measure = button.dataset.measure;
    buttons.forEach((other) => other.setAttribute("aria-pressed", String(other === button)));
    drawTime();
  }));
}

