"use strict";
// The map: one WebGL trace for each colour, so that a hundred thousand points stay fast. Trace 0 has the points outside
// the selection, trace 1 points without a colour, the others one colour each; `members` has the points of each trace.

const map = byId("map");
let members = [];
const TRACES = N_COLOURS + 2;
const MAX_SVG = 5000; // points that a browser can draw as SVG without delay

function hasWebGL() {
  try {
    const probe = document.createElement("canvas");
    return Boolean(probe.getContext("webgl") || probe.getContext("experimental-webgl"));
  } catch {
    return false;
  }
}
const webgl = hasWebGL();

function traceOf(i) {
  if (state.matches && !state.matches[i]) return state.outliers || points.topic[i] >= 0 ? 0 : -1;
  if (!state.outliers && points.topic[i] < 0) return -1;
  if (state.colour !== null) {
    const shade = shadeOf(columns[state.colour], i);
    return shade < 0 ? 1 : 2 + shade;
  }
  return points.topic[i] < 0 ? 1 : 2 + colourIndex.get(points.topic[i]);
}

function groupPoints() {
  const groups = Array.from({ length: TRACES }, () => []);
  const step = webgl ? 1 : Math.max(1, Math.ceil(points.n / MAX_SVG));
  for (let i = 0; i < points.n; i += step) {
    const trace = traceOf(i);
    if (trace >= 0) groups[trace].push(i);
  }
  return groups;
}

const zoom = () => (map.layout ? Math.abs(home.x[1] - home.x[0]) / Math.abs(map.layout.xaxis.range[1] - map.layout.xaxis.range[0]) : 1);
function pointSize() {
  const base = points.n <= 2000 ? 7 : points.n <= 10000 ? 5 : points.n <= 40000 ? 3.6 : 2.6;
  return base * Math.min(2.6, Math.max(1, zoom()) ** 0.35);
}

function mapTraces() {
  const colours = [css("--rest"), css("--outlier"), ...columnColours(colourColumn())];
  const size = pointSize();
  const dense = points.n > 40000;
  members = groupPoints();
  return members.map((rows, k) => ({
    type: webgl ? "scattergl" : "scatter",
    mode: "markers",
    x: Float32Array.from(rows, (i) => points.x[i]),
    y: Float32Array.from(rows, (i) => points.y[i]),
    hoverinfo: k === 0 ? "skip" : "none",
    visible: rows.length > 0,
    marker: { color: colours[k], size: k < 2 ? size * 0.85 : size, opacity: k < 2 ? 0.55 : dense ? 0.62 : 0.82, line: { width: 0 } },
  }));
}

function extent(values) {
  let [low, high] = [Infinity, -Infinity];
  for (const value of values) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  if (!(high > low)) [low, high] = [(Number.isFinite(low) ? low : 0) - 1, (Number.isFinite(low) ? low : 0) + 1];
  const pad = (high - low) * 0.06;
  return [low - pad, high + pad];
}
const home = { x: extent(points.x), y: extent(points.y) };

function axis(range) {
  return { range: [...range], showgrid: false, zeroline: false, showticklabels: false, ticks: "", fixedrange: false };
}

const mapLayout = {
  margin: { l: 0, r: 0, t: 0, b: 0 },
  xaxis: axis(home.x),
  yaxis: axis(home.y),
  showlegend: false,
  dragmode: "pan",
  hovermode: "closest",
  hoverdistance: 12,
  paper_bgcolor: "rgba(0,0,0,0)",
  plot_bgcolor: "rgba(0,0,0,0)",
  uirevision: "map",
};
const CONFIG = { displayModeBar: false, responsive: true, scrollZoom: true, doubleClick: false, showTips: false };

async function drawMap() {
  if (!points.n) return;
  drawArea();
  await Plotly.react(map, mapTraces(), mapLayout, CONFIG);
}

// --- names of topics on the map, largest topics first, without overlap ---

function placeNames() {
  const layer = byId("names");
  if (!state.names) return layer.replaceChildren();
  const { width, height } = layer.getBoundingClientRect();
  const { xaxis, yaxis } = map._fullLayout || map.layout; // the full layout is up to date during a drag
  const [[x0, x1], [y0, y1]] = [xaxis.range, yaxis.range];
  const wanted = bySize().filter((topic) => topic.middle && isShown(topic.topic));
  const taken = [];
  const placed = [];
  for (const topic of wanted.slice(0, 400)) {
    if (placed.length >= 40) break;
    const x = ((topic.middle[0] - x0) / (x1 - x0)) * width;
    const y = (1 - (topic.middle[1] - y0) / (y1 - y0)) * height;
    const [w, h] = [Math.min(210, brief(topic.name).length * 7 + 14), 22];
    const box = [x - w / 2, y - h / 2, x + w / 2, y + h / 2];
    if (box[0] < 0 || box[1] < 0 || box[2] > width || box[3] > height || taken.some((other) => overlap(box, other))) continue;
    taken.push(box);
    const name = untrusted(brief(topic.name));
    name.style.transform = `translate(calc(${x}px - 50%), calc(${y}px - 50%))`;
    placed.push(name);
  }
  layer.replaceChildren(...placed);
}

// The first words of a name, as many as fit on the map; the panel and the tooltip show the whole name.
function brief(name) {
  const words = name.split(", ");
  let n = 1;
  while (n < words.length && words.slice(0, n + 1).join(", ").length <= 22) n += 1;
  return words.slice(0, n).join(", ");
}
const overlap = (a, b) => a[0] < b[2] && b[0] < a[2] && a[1] < b[3] && b[1] < a[3];

// --- moving and zooming ---

function moveMap(dx, dy, factor) {
  const next = {};
  for (const [name, shift] of [["xaxis", dx], ["yaxis", dy]]) {
    const [low, high] = map.layout[name].range;
    const [middle, half] = [(low + high) / 2 + shift * (high - low), ((high - low) / 2) * factor];
    next[`${name}.range`] = [middle - half, middle + half];
  }
  return Plotly.relayout(map, next);
}
const resetMap = () => Plotly.relayout(map, { "xaxis.range": [...home.x], "yaxis.range": [...home.y] });

const KEYS = {
  ArrowLeft: () => moveMap(-0.15, 0, 1), ArrowRight: () => moveMap(0.15, 0, 1),
  ArrowUp: () => moveMap(0, 0.15, 1), ArrowDown: () => moveMap(0, -0.15, 1),
  "+": () => moveMap(0, 0, 0.7), "=": () => moveMap(0, 0, 0.7), "-": () => moveMap(0, 0, 1 / 0.7), 0: resetMap,
};

const resize = later(160, () => {
  if (Math.abs(pointSize() - (map.data[2].marker.size || 0)) > 0.2) drawMap();
});

function wireMap() {
  map.on("plotly_hover", (event) => {
    const { curveNumber, pointNumber } = event.points[0];
    const i = members[curveNumber]?.[pointNumber];
    if (i === undefined) return;
    map.classList.add("over");
    showTip(event.event, ...pointTip(i));
  });
  map.on("plotly_unhover", () => {
    map.classList.remove("over");
    hideTip();
  });
  map.on("plotly_click", (event) => {
    const { curveNumber, pointNumber } = event.points[0];
    const i = members[curveNumber]?.[pointNumber];
    if (i !== undefined) openReader(i, state.matches?.[i] ? selectedPoints() : [i]);
  });
  map.on("plotly_relayouting", () => { hideTip(); placeNames(); });
  map.on("plotly_relayout", resize);
  map.on("plotly_afterplot", placeNames);
  map.addEventListener("keydown", (event) => {
    if (!KEYS[event.key] || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    KEYS[event.key]();
  });
  byId("zoom-in").addEventListener("click", KEYS["+"]);
  byId("zoom-out").addEventListener("click", KEYS["-"]);
  byId("zoom-reset").addEventListener("click", resetMap);
}

function mapMessage() {
  const messages = [];
  if (!points.n) messages.push("There are no documents to show.");
  if (!webgl && points.n > MAX_SVG) messages.push(`This browser has no WebGL: the map shows every ${Math.ceil(points.n / MAX_SVG)}th document.`);
  byId("map-message").hidden = !messages.length;
  byId("map-message").textContent = messages.join(" ");
}

async function startMap() {
  mapMessage();
  if (!points.n) return;
  await drawMap();
  placeNames();
  wireMap();
  startSelecting();
  onChange(drawMap);
}
