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
  const parts = run ? [when(run.created), run.run_id && `run ${run.run_id}`, run.seconds != null && seconds(run.seconds), run.device && `on ${run.device}`] : [];
  byId("byline").textContent = parts.filter(Boolean).join(" · ");
  drawVerdict();
  drawRemarks();
}

function drawRemarks() {
  const remarks = [...headNotes(), ...((run && run.remarks) || [])];
  byId("remarks").hidden = !remarks.length;
  byId("remarks").append(...remarks.map((text) => el("li", { text })));
}

// A gate that was not passed, with the name of its figure as in the section on quality.
function gateText({ gate, figure, value, bound }) {
  const name = summary.metrics.find((entry) => entry.key === figure)?.label.toLowerCase() ?? figure;
  const shown = value === null ? "not defined" : Number.isInteger(value) ? count(value) : value.toFixed(3);
  return `${name} ${shown}, ${gate.startsWith("min_") ? "at least" : "at most"} ${bound} is required (${gate})`;
}

function drawVerdict() {
  const gates = run && run.gates;
  if (!gates || !gates.checks.length) return;
  byId("verdict").hidden = false;
  byId("verdict").classList.toggle("held", !run.published);
  byId("verdict").textContent = run.published ? `Published: ${plural(gates.checks.length, "gate")} passed.` : `Not published, because ${gates.failed.length === 1 ? "a gate holds" : "gates hold"} the run back: ${gates.checks.filter((check) => !check.passed).map(gateText).join("; ")}. The link latest did not move.`;
}

function when(text) {
  const date = new Date(text);
  return Number.isNaN(date.getTime()) ? text : date.toLocaleString("en", { dateStyle: "long", timeStyle: "short" });
}

