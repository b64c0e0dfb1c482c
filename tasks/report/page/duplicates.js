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
  const cell = (id, text) => el("td", {}, el("div", { class: "id" }, untrusted(id)), untrusted(visible(text), "div"));
  return el("tr", {}, numberCell(`${pair.measure} ${pair.similarity.toFixed(3)}`), cell(pair.doc_id, pair.text), cell(pair.kept_id, pair.kept_text));
}

