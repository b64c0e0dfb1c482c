// Rising and falling topics, and the words of a topic in each period.

const periodData = read("periods");

function sparkline(counts, colour) {
  const [width, height, top] = [140, 24, Math.max(...counts, 1)];
  const at = (n, i) => `${((i * width) / Math.max(1, counts.length - 1)).toFixed(1)},${(height - 1 - ((height - 2) * n) / top).toFixed(1)}`;
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const line = document.createElementNS("http://www.w3.org/2000/svg", "polyline");
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.setAttribute("width", width);
  svg.setAttribute("height", height);
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", `Documents in each period: ${counts.join(", ")}`);
  line.setAttribute("points", counts.map(at).join(" "));
  line.setAttribute("fill", "none");
  line.setAttribute("stroke", colour);
  line.setAttribute("stroke-width", "1.6");
  svg.append(line);
  return svg;
}

const qText = (q) => (q < 0.001 ? "< 0.001" : q.toFixed(3));

function drawTrends() {
  const { trends, names, n_tested, zone } = periodData;
  const rising = trends.filter((row) => row.trend === "rising").length;
  const found = trends.length ? `${plural(rising, "rising topic")} and ${plural(trends.length - rising, "falling topic")} of ${count(n_tested)} tested` : `No topic of ${count(n_tested)} tested rises or falls more than by chance`;
  byId("periods-note").textContent = `${plural(names.length, "period")}${zone ? ` (${zone})` : ""}. ${found}; Cochran-Armitage test on shares, Benjamini-Hochberg over topics.`;
  const rows = trends.map((row) => el("tr", { "data-topic": row.topic }, el("td", {}, topicLink(row.topic)), el("td", { text: row.trend }), el("td", {}, sparkline(row.counts, colourOf(row.topic))),
    numberCell(percent(row.share_first_half)), numberCell(percent(row.share_second_half)), numberCell(qText(row.q_value))));
  const none = el("tr", {}, el("td", { colspan: 6, class: "empty", text: "No trend is larger than chance." }));
  byId("trends-table").tBodies[0].replaceChildren(...(rows.length ? rows : [none]));
}

function drawPeriodWords(topic) {
  const own = periodData.topics.find((entry) => entry.topic === topic);
  const totals = summary.timeline ? summary.timeline.totals : own.counts;
  const rows = own.counts.map((n, i) => el("tr", {}, el("td", { text: periodData.names[i] }), numberCell(count(n)), numberCell(totals[i] ? percent(n / totals[i]) : "–"),
    el("td", {}, untrusted(own.words[i].map((k) => periodData.words[k]).join(", ")))));
  byId("periods-table").tBodies[0].replaceChildren(...rows);
}

function startPeriods() {
  const chooser = byId("period-topic");
  chooser.append(...periodData.topics.map((entry) => el("option", { value: entry.topic, text: nameOf(entry.topic) })));
  chooser.addEventListener("change", () => drawPeriodWords(Number(chooser.value)));
  drawTrends();
  if (periodData.topics.length) drawPeriodWords(periodData.topics[0].topic);
}
startPeriods();
