// All documents of the selection: sorted, in pages, as a file; a row opens the reader.

const PAGE_ROWS = 25;
const listing = { page: 0, order: null, down: true, sorted: [] };

const ORDERS = [
  { key: "centrality", title: "centrality", value: (i) => points.closeness[i] },
  { key: "probability", title: "probability", value: (i) => points.percent[i] },
  { key: "input", title: "order of the input", value: (i) => -i },
  ...columns.filter((column) => column.kind !== "category").map((column) => ({ key: `column ${column.name}`, title: column.name, value: (i) => numbersOf(column)[i] })),
];
listing.order = ORDERS[0].key;

// All points in an order; kept, because sorting a hundred thousand takes a tenth of a second.
const sortedBy = new Map();
function allSorted() {
  const known = `${listing.order} ${listing.down}`;
  if (sortedBy.has(known)) return sortedBy.get(known);
  const { value } = ORDERS.find((order) => order.key === listing.order);
  const sign = listing.down ? -1 : 1;
  const values = Float64Array.from({ length: points.n }, (_, i) => value(i));
  const last = (v) => (Number.isNaN(v) ? 1 : 0); // documents without a value come last
  const made = Uint32Array.from({ length: points.n }, (_, i) => i).sort((a, b) => last(values[a]) - last(values[b]) || sign * (values[a] - values[b]) || a - b);
  sortedBy.set(known, made);
  return made;
}

const sortPoints = () => { listing.sorted = Array.from(allSorted()).filter((i) => !state.matches || state.matches[i]); };

function documentRow(i) {
  const read = el("button", { type: "button", class: "read", "data-point": i, onclick: () => openReader(i, listing.sorted) }, untrusted(visible(texts().texts[i])));
  const fact = (name, text) => el("td", { class: "end number", "data-name": name, text: points.topic[i] >= 0 ? text : "–" });
  const extra = shownColumns().map((column) => el("td", { "data-name": column.name }, untrusted(valueOf(column, i) ?? "–")));
  return el("tr", {}, el("td", {}, read), el("td", {}, ofTopic(points.topic[i])), fact("centrality", centralityOf(i).toFixed(3)), fact("probability", `${points.percent[i]} %`), ...extra);
}

// The columns that matter now: of the colour, of the order, of the filters.
function shownColumns() {
  const ordered = columns.filter((column) => listing.order === `column ${column.name}` || state.colour === column.k || state.filters.has(column.k));
  return ordered.slice(0, 4);
}

function drawDocuments() {
  const n = listing.sorted.length, pages = Math.max(1, Math.ceil(n / PAGE_ROWS));
  listing.page = Math.min(listing.page, pages - 1);
  const from = listing.page * PAGE_ROWS, shown = listing.sorted.slice(from, from + PAGE_ROWS);
  const titles = ["Document", "Topic", "Centrality", "Probability", ...shownColumns().map((column) => column.name)];
  byId("documents-table").tHead.rows[0].replaceChildren(...titles.map((title, k) => el("th", { scope: "col", class: k === 2 || k === 3 ? "end" : "" }, untrusted(title))));
  const none = el("tr", {}, el("td", { colspan: titles.length, class: "empty", text: "No document matches the selection." }));
  byId("documents-table").tBodies[0].replaceChildren(...(shown.length ? shown.map(documentRow) : [none]));
  const where = summary.n_points < summary.n_documents ? " of those on the map" : "";
  byId("documents-place").textContent = n ? `${count(from + 1)} to ${count(from + shown.length)} of ${plural(n, "document")}${where}` : "";
  byId("documents-before").disabled = listing.page === 0;
  byId("documents-after").disabled = listing.page >= pages - 1;
  const parts = selectionParts().map(([name]) => name);
  byId("documents-note").replaceChildren(parts.length ? "Selected: " : "All documents. Select a topic, words, values or an area of the map for some of them.", ...(parts.length ? [untrusted(parts.join(" · "))] : []));
  for (const id of ["documents-copy", "documents-save"]) byId(id).disabled = !n;
}

function redrawDocuments() {
  sortPoints();
  listing.page = 0;
  drawDocuments();
}

function turnPage(step) {
  listing.page += step;
  drawDocuments();
}

// A button that turns the order of a table around.
function wireWay(id, order, redraw) {
  byId(id).addEventListener("click", () => {
    order.down = !order.down;
    byId(id).textContent = order.down ? "highest first" : "lowest first";
    redraw();
  });
}

function startDocuments() {
  byId("documents-order").append(...ORDERS.map((order) => el("option", { value: order.key, text: order.title })));
  byId("documents-order").addEventListener("change", () => { listing.order = byId("documents-order").value; redrawDocuments(); writeLink(); });
  wireWay("documents-way", listing, redrawDocuments);
  byId("documents-before").addEventListener("click", () => turnPage(-1));
  byId("documents-after").addEventListener("click", () => turnPage(1));
  byId("documents-copy").addEventListener("click", async () => copyText(await tableOf(listing.sorted, "\t"), byId("documents-copy")));
  byId("documents-save").addEventListener("click", async () => download(await tableOf(listing.sorted, ","), `${(summary.title.match(/[\p{L}\p{N}]+/gu) || ["documents"]).join("-").slice(0, 60)}.csv`));
  byId("documents-sample").hidden = summary.n_points >= summary.n_documents;
  byId("documents-sample").textContent = `The page holds ${count(summary.n_points)} of ${plural(summary.n_documents, "document")}; documents.parquet has all of them.`;
}
