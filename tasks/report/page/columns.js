// The input's own columns: their values, colours by a column, filters by columns.

const columns = read("columns").map((column, k) => ({ ...column, k }));

const codesOf = (column) => (column.unpacked ??= unpack(column.codes, Int16Array));
const numbersOf = (column) => (column.unpacked ??= unpack(column.numbers, column.type === "f4" ? Float32Array : Float64Array));
const dayOf = (time) => new Date(time).toISOString().slice(0, 10);
const momentOf = (time) => new Date(time).toISOString().slice(0, 16).replace("T", " ").replace(" 00:00", "");

// The value of a point as a text; null if it has none.
function valueOf(column, i) {
  if (column.kind === "category") {
    const code = codesOf(column)[i];
    return code >= 0 ? column.values[code] : code === -2 ? "(a rarer value)" : null;
  }
  const number = numbersOf(column)[i];
  if (Number.isNaN(number)) return null;
  return column.kind === "date" ? momentOf(number) : shortNumber(number);
}
// A number as people write it; 4-byte floats are shown with the digits that they hold.
const shortNumber = (number) => String(Number(number.toPrecision(7)) === Math.fround(number) || Number.isInteger(number) ? Number(number.toPrecision(15)) : Number(number.toPrecision(7)));
const amountText = (column, value) => (column.kind === "date" ? dayOf(value) : shortNumber(value));

// --- colours: a category has a colour for each value, a number or a date a shade for each twelfth of its values ---

const RAMPS = { light: ["#b9dfc9", "#2f8f9d", "#1c2f5c"], dark: ["#23465c", "#35a39c", "#f6e7a1"] };
function ramp() {
  const stops = RAMPS[dark.matches ? "dark" : "light"].map((colour) => [1, 3, 5].map((k) => parseInt(colour.slice(k, k + 2), 16)));
  return Array.from({ length: N_COLOURS }, (_, k) => {
    const at = (k / (N_COLOURS - 1)) * 2, from = Math.min(1, Math.floor(at));
    const mixed = stops[from].map((low, c) => Math.round(low + (stops[from + 1][c] - low) * (at - from)));
    return `rgb(${mixed.join(", ")})`;
  });
}

function edgesOf(column) {
  if (column.edges) return column.edges;
  const sorted = Float64Array.from(numbersOf(column)).filter((value) => !Number.isNaN(value)).sort();
  const edges = Array.from({ length: sorted.length && N_COLOURS + 1 }, (_, k) => sorted[Math.min(sorted.length - 1, Math.floor((k * sorted.length) / N_COLOURS))]);
  return (column.edges = [...new Set(edges)]);
}

const colourColumn = () => (state.colour === null ? null : columns[state.colour]);

// The place of a point among the colours of a column; -1 without a value.
function shadeOf(column, i) {
  if (column.kind === "category") {
    const code = codesOf(column)[i];
    return code < 0 ? -1 : code % N_COLOURS;
  }
  const value = numbersOf(column)[i];
  if (Number.isNaN(value)) return -1;
  const edges = edgesOf(column), steps = Math.max(1, edges.length - 1);
  let step = 0;
  while (step < steps - 1 && value >= edges[step + 1]) step += 1;
  return shadeOfStep(step, steps);
}
const shadeOfStep = (step, steps) => (steps === 1 ? 0 : Math.round((step / (steps - 1)) * (N_COLOURS - 1)));
const columnColours = (column) => (column && column.kind !== "category" ? ramp() : palette());

function columnLegend(column) {
  const row = (colour, text, n) => el("li", { class: "row" }, swatch(colour), untrusted(text), el("span", { class: "number", text: n === null ? "" : count(n) }));
  const colours = columnColours(column);
  let rows;
  if (column.kind === "category") {
    const sizes = new Array(column.values.length).fill(0);
    codesOf(column).forEach((code) => { if (code >= 0) sizes[code] += 1; });
    rows = sizes.map((n, code) => row(colours[code % N_COLOURS], column.values[code], n));
  } else {
    const edges = edgesOf(column), steps = edges.length && Math.max(1, edges.length - 1);
    const name = (k) => amountText(column, edges[Math.min(k, edges.length - 1)]);
    rows = Array.from({ length: steps }, (_, k) => row(colours[shadeOfStep(k, steps)], `${name(k)} to ${name(k + 1)}`, null));
  }
  return el("ul", { class: "topic-list", "aria-label": column.name }, ...rows);
}

// --- filters: { codes } for a category, { low, high } for a number or a date ---

function filterTest(column, filter) {
  if (filter.codes) {
    const codes = codesOf(column);
    return (i) => filter.codes.has(codes[i]);
  }
  const numbers = numbersOf(column);
  return (i) => numbers[i] >= filter.low && numbers[i] <= filter.high;
}

function setFilter(column, filter) {
  const filters = new Map(state.filters);
  if (filter) filters.set(column.k, filter);
  else filters.delete(column.k);
  change({ filters });
}

function filterName(column, filter) {
  if (filter.codes) return `${column.name}: ${[...filter.codes].map((code) => column.values[code]).join(", ")}`;
  const name = (value) => amountText(column, value);
  if (filter.low === -Infinity) return `${column.name} up to ${name(filter.high)}`;
  return filter.high === Infinity ? `${column.name} from ${name(filter.low)}` : `${column.name}: ${name(filter.low)} to ${name(filter.high)}`;
}

function filterChoices(column) {
  const own = state.filters.get(column.k);
  if (column.kind !== "category") return boundInputs(column, own);
  const boxes = column.values.map((value, code) => {
    const box = el("input", { type: "checkbox" });
    box.checked = Boolean(own?.codes.has(code));
    box.addEventListener("change", () => {
      const codes = new Set(state.filters.get(column.k)?.codes);
      if (box.checked) codes.add(code);
      else codes.delete(code);
      setFilter(column, codes.size ? { codes } : null);
    });
    return el("label", { class: "check" }, box, untrusted(value));
  });
  return el("div", { class: "choices", role: "group", "aria-label": `Values of ${column.name}` }, ...boxes);
}

// A bound as a text in an input or a link, and back; an empty text is no bound, and a day as an end has all its hours.
const DAY = 86400000;
const boundText = (column, value) => (!Number.isFinite(value) ? "" : column.kind === "date" ? dayOf(value) : String(value));
function readBound(column, text, end) {
  if (text === "") return end ? Infinity : -Infinity;
  return column.kind === "date" ? Date.parse(text) + (end ? DAY - 1 : 0) : Number(text);
}

function boundInputs(column, own) {
  const bound = (title, value) => {
    const input = el("input", { type: column.kind === "date" ? "date" : "number", step: "any", value: boundText(column, value), "aria-label": `${column.name} ${title}` });
    return [el("label", { class: "bound" }, title, input), input];
  };
  const [low, lowInput] = bound("from", own?.low);
  const [high, highInput] = bound("to", own?.high);
  const set = () => {
    const [from, to] = [readBound(column, lowInput.value, false), readBound(column, highInput.value, true)];
    setFilter(column, lowInput.value === "" && highInput.value === "" ? null : { low: from, high: to });
  };
  [lowInput, highInput].forEach((input) => input.addEventListener("change", set));
  return el("div", { class: "choices" }, low, high);
}

// --- what is selected, with a button to take each part away ---

function selectionParts() {
  const parts = [];
  if (state.topic !== null) parts.push([nameOf(state.topic), { topic: null }]);
  if (state.group) parts.push([nodes.get(state.group.node).name, { group: null }]);
  if (state.query.trim()) parts.push([`words: ${state.query.trim()}`, { query: "" }]);
  for (const [k, filter] of state.filters) parts.push([filterName(columns[k], filter), { filters: new Map([...state.filters].filter(([other]) => other !== k)) }]);
  if (state.lasso) parts.push(["area of the map", { lasso: null }]);
  return parts;
}

function drawChips() {
  const chip = ([name, without]) => el("li", {}, el("button", { type: "button", "aria-label": `Remove from the selection: ${name}`, onclick: () => change(without) }, untrusted(name), el("span", { "aria-hidden": "true", text: "×" })));
  byId("chips").replaceChildren(...selectionParts().map(chip));
}

function drawFilterChoices() {
  const chosen = byId("filter-column").value;
  byId("filter-choices").replaceChildren(...(chosen === "" ? [] : [filterChoices(columns[Number(chosen)])]));
}

function startColumns() {
  byId("filter-option").hidden = !columns.length;
  byId("colour-option").hidden = !columns.length;
  const option = (column) => el("option", { value: column.k, text: column.name });
  byId("colour").append(...columns.map((column) => option(column)));
  byId("filter-column").append(...columns.map((column) => option(column)));
  byId("colour").addEventListener("change", () => change({ colour: byId("colour").value === "" ? null : Number(byId("colour").value) }));
  byId("filter-column").addEventListener("change", drawFilterChoices);
  onChange(drawChips);
  onChange(() => {
    byId("colour").value = state.colour === null ? "" : String(state.colour);
    if (!byId("filter-choices").contains(document.activeElement)) drawFilterChoices();
  });
}
startColumns();
