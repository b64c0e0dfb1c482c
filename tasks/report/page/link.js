// The state of the page in the fragment of its address, so that a link or a reload shows the same.

function filterText(column, filter) {
  if (filter.codes) return [...filter.codes].map((code) => encodeURIComponent(column.values[code])).join("|");
  return `${boundText(column, filter.low)}..${boundText(column, filter.high)}`;
}

function readFilter(column, text) {
  if (column.kind === "category") {
    const codes = text.split("|").map((part) => column.values.indexOf(decoded(part))).filter((code) => code >= 0);
    return codes.length ? { codes: new Set(codes) } : null;
  }
  const [low, high] = text.split("..");
  if (high === undefined) return null;
  const found = { low: readBound(column, low, false), high: readBound(column, high, true) };
  return Number.isNaN(found.low) || Number.isNaN(found.high) ? null : found;
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

const rounded = (value) => String(Number(value.toPrecision(5)));

function linkText() {
  const parts = new URLSearchParams();
  if (state.topic !== null) parts.set("topic", state.topic);
  if (state.group) parts.set("group", state.group.node);
  if (state.query.trim()) parts.set("words", state.query.trim());
  for (const [k, filter] of state.filters) parts.append(`where.${columns[k].name}`, filterText(columns[k], filter));
  if (state.lasso) parts.set("area", state.lasso.map((corner) => corner.map(rounded).join(",")).join(";"));
  if (state.colour !== null) parts.set("colour", columns[state.colour].name);
  if (listing.order !== ORDERS[0].key) parts.set("order", listing.order);
  if (timeChart.picked.length) parts.set("over_time", timeChart.picked.join(","));
  if (reader.point !== null) parts.set("doc", texts().ids[reader.point]);
  return parts.toString();
}

let linkReady = false;
function writeLink() {
  if (!linkReady) return;
  const text = linkText();
  history.replaceState(null, "", text ? `#${text}` : location.pathname + location.search);
}

async function readLink() {
  const text = location.hash.slice(1);
  if (!text.includes("=")) return;
  const parts = new URLSearchParams(text);
  const found = NOTHING();
  const topic = Number(parts.get("topic"));
  if (parts.has("topic") && topicOf.has(topic)) found.topic = topic;
  const group = nodes.get(parts.get("group"));
  if (group) found.group = { node: group.node, topics: new Set(group.topics) };
  found.query = parts.get("words") || "";
  for (const column of columns) {
    const filter = parts.has(`where.${column.name}`) && readFilter(column, parts.get(`where.${column.name}`));
    if (filter) found.filters.set(column.k, filter);
  }
  const area = (parts.get("area") || "").split(";").map((corner) => corner.split(",").map(Number));
  if (area.length > 2 && area.every((corner) => corner.length === 2 && corner.every(Number.isFinite))) found.lasso = area;
  const colour = columns.find((column) => column.name === parts.get("colour"));
  found.colour = colour ? colour.k : null;
  const order = ORDERS.find(({ key }) => key === parts.get("order")) || ORDERS[0];
  byId("documents-order").value = listing.order = order.key;
  showTopics((parts.get("over_time") || "").split(",").filter(Boolean).map(Number).filter(timeChart.has));
  byId("query").value = found.query;
  await searchWords(found);
  const point = parts.has("doc") ? texts().ids.indexOf(parts.get("doc")) : -1;
  if (point >= 0) openReader(point, selectedPoints());
}

// Links inside the page scroll without replacing the state; the focus follows, for the keyboard and screen readers.
function followAnchor(event) {
  const link = event.target.closest('a[href^="#"]');
  const target = link && byId(link.getAttribute("href").slice(1));
  if (!target) return;
  event.preventDefault();
  target.scrollIntoView({ block: "start" });
  target.setAttribute("tabindex", "-1");
  target.focus({ preventScroll: true });
}

function startLink() {
  document.addEventListener("click", followAnchor);
  addEventListener("hashchange", readLink);
  byId("share").addEventListener("click", () => copyText(location.href, byId("share")));
  readLink();
  linkReady = true;
  onChange(writeLink);
}
