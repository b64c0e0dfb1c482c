// --- quality and run ---

function metricCard(entry) {
  const whole = Number.isInteger(entry.value) && !entry.bounds;
  const plain = !entry.bounds && entry.value !== null && entry.value >= 10;
  const value = entry.value === null ? "not defined" : whole || plain ? count(Math.round(entry.value * 10) / 10) : entry.key.includes("_share") ? percent(entry.value) : entry.value.toFixed(3);
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
    numberCell(bytes(stage.peak_rss_bytes)),
    numberCell(count(stage.rows || 0)),
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

