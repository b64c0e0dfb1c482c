// What changed since the run before, and what a reader should know before the results.

const changes = (run && run.changes) || null;
const CHANGED = {
  new: ["New topics", "new"], gone: ["Gone", "gone"], split: ["Split from another topic", "split from another"],
  merged: ["Merged into another topic", "merged into another"], grown: ["Grown", "grown"], shrunk: ["Shrunk", "shrunk"],
};

function changesSentence() {
  const found = Object.entries(CHANGED).filter(([key]) => changes.counts[key]);
  if (!found.length) return `Since the run ${changes.before}: no topic changed.`;
  const parts = found.map(([key, [, words]], k) => `${k ? count(changes.counts[key]) : plural(changes.counts[key], "topic")} ${words}`);
  return `Since the run ${changes.before}: ${parts.join(", ")}; ${count(changes.n_same)} about the same.`;
}

function changedItem(entry) {
  const name = topicOf.has(entry.topic)
    ? el("button", { type: "button", class: "plain", title: "Show on the map", onclick: () => showOnMap(entry.topic) }, untrusted(entry.name)) : untrusted(entry.name);
  const sizes = entry.size_before === null ? plural(entry.size, "document") : entry.size === null ? `${plural(entry.size_before, "document")} before` : `${count(entry.size_before)} → ${plural(entry.size, "document")}`;
  const other = entry.other === null ? [] : [el("span", { class: "soft", text: entry.change === "split" ? " from " : " into " }), untrusted(entry.other)];
  return el("li", {}, el("span", {}, name, ...other), el("span", { class: "number", text: sizes }));
}

function drawChanges() {
  if (!changes || !changes.topics.length) return;
  byId("changes-section").hidden = byId("changes-link").hidden = false;
  byId("changes-note").textContent = changesSentence();
  const groups = Object.entries(CHANGED).map(([key, [title]]) => [title, changes.topics.filter((entry) => entry.change === key), changes.counts[key] || 0]).filter(([, entries]) => entries.length);
  byId("changes").replaceChildren(...groups.map(([title, entries, n]) => el("div", {},
    el("h3", { text: `${title} (${count(n)})` }), el("ul", { class: "changed" }, ...entries.slice(0, 30).map(changedItem)), ...(n > 30 ? [el("p", { class: "soft", text: `… and ${count(n - Math.min(30, entries.length))} more` })] : []))));
}

// Near-duplicates that were left out; empty rows, cut texts and held gates are in the run's own notes.
function headNotes() {
  const found = [];
  if (summary.duplicates && summary.duplicates.n_duplicates) {
    found.push(`${count(summary.duplicates.n_duplicates)} of ${plural(summary.duplicates.n_documents, "document")} ${summary.duplicates.n_duplicates === 1 ? "is a near-duplicate and was" : "are near-duplicates and were"} left out.`);
  }
  if (summary.n_points < summary.n_documents) found.push(`The map and the list of documents hold a sample: ${count(summary.n_points)} of ${plural(summary.n_documents, "document")}. Figures are of all documents.`);
  if (changes) found.push(changesSentence());
  return found;
}
drawChanges();
