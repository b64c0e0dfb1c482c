// --- a chart is drawn when it is near the visible part of the page ---

const CHARTS = { ...(run && run.updates ? { "updates-chart": drawUpdates } : {}), "documents-table": redrawDocuments, "by-topic-table": drawByTopic, "time-chart": drawTime, "size-chart": drawSizes, "similarity-chart": drawSimilarity, ...(summary.duplicates ? { "duplicates-chart": drawSimilarities } : {}) };
const drawn = new Set();

async function firstDraw(id) {
  if (drawn.has(id)) return;
  drawn.add(id);
  const content = await CHARTS[id]();
  if (!content) return;
  const chart = byId(id);
  chart.on("plotly_hover", (event) => showTip(event.event, ...current[id](event.points)));
  chart.on("plotly_unhover", hideTip);
  current[id] = content;
  if (id === "size-chart") chart.on("plotly_click", (event) => showOnMap(bySize()[event.points[0].pointNumber].topic));
}
const current = {};

function watchCharts() {
  const seen = new IntersectionObserver((entries) => {
    for (const entry of entries) if (entry.isIntersecting) firstDraw(entry.target.id);
  }, { rootMargin: "600px" });
  Object.keys(CHARTS).forEach((id) => seen.observe(byId(id)));
}

function redrawAll() {
  drawTable();
  drawPanel();
  drawLegend();
  if (points.n) drawMap();
  drawChips();
  drawn.forEach((id) => CHARTS[id]());
}

// Tables above the charts get their height before a reader jumps to a section, or the section would move away.
function drawTables() {
  firstDraw("documents-table");
  firstDraw("by-topic-table");
}
const MANY_POINTS = 20000;

async function start() {
  if (points.n <= MANY_POINTS) drawTables();
  sizeSimilarity();
  await startMap();
  document.documentElement.dataset.ready = "true";
  performance.mark("interactive");
  drawLegend();
  drawUpdateNotes();
  wireMeasure();
  fillTimeChoice();
  startLink();
  watchCharts();
  addEventListener("beforeprint", () => Object.keys(CHARTS).forEach(firstDraw));
  onChange(() => { if (drawn.has("size-chart")) drawSizes(); });
  onChange(() => { if (drawn.has("documents-table")) redrawDocuments(); });
  dark.addEventListener("change", redrawAll);
  setTimeout(drawTables, 50);
}
start();
