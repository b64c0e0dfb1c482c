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

