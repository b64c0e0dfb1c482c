// --- controls ---

function later(milliseconds, action) {
  let timer = 0;
  return () => {
    clearTimeout(timer);
    timer = setTimeout(action, milliseconds);
  };
}

function wireControls() {
  byId("query").addEventListener("input", later(points.n > 20000 ? 200 : 80, () => searchWords()));
  byId("clear").addEventListener("click", clearAll);
  byId("show-names").addEventListener("change", (event) => change({ names: event.target.checked }));
  byId("show-outliers").addEventListener("change", (event) => change({ outliers: event.target.checked }));
  byId("all-topics").addEventListener("click", () => { order.all = true; drawTable(); });
  byId("outlier-option").hidden = summary.n_outliers === 0;
  addEventListener("keydown", (event) => {
    const typing = event.target.closest?.("input, select, textarea");
    if (byId("reader").open) return; // its own keys
    if (event.key === "Escape") clearAll();
    else if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey) {
      event.preventDefault();
      byId("query").focus();
    }
  });
}

// The words are looked for in whole texts: compressed ones are opened at the first search.
async function searchWords(more = {}) {
  const query = byId("query").value;
  change({ ...more, query });
  if (!query.trim() || isAllOpen || !holdsMore()) return;
  await openAll();
  if (byId("query").value === query) change({ query });
}

function clearAll() {
  byId("query").value = "";
  hideTip();
  if (state.matches) change(NOTHING());
}

function drawNotes() {
  const sampled = summary.n_points < summary.n_documents;
  const parts = [sampled ? `${count(summary.n_points)} of ${plural(summary.n_documents, "document")}, sampled evenly within each topic.` : `${plural(summary.n_documents, "document")}.`];
  if (summary.n_reassigned) parts.push(`${plural(summary.n_reassigned, "outlier")} reassigned to the nearest topic.`);
  parts.push("Select a point to read the document.");
  byId("map-note").textContent = parts.join(" ");
  byId("topics-note").textContent = topics.length ? "Bars under the keywords show their weight. Select a name to see the topic on the map." : "";
}

drawMasthead();
drawNotes();
drawTableHead();
drawTable();
drawPanel();
summary.metrics.forEach((entry) => byId("metrics").append(metricCard(entry)));
drawDuplicates();
drawRun();
wireControls();
startDocuments();
onChange(drawPanel);
onChange(markChosen);
document.documentElement.dataset.drawn = "true"; // what is below the head appears in its final place
