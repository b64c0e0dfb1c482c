// What all charts share, and the sizes. Axes show numbers and dates; names are in our own tooltip and legend.

const FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Liberation Sans', Arial, sans-serif";
const MAX_SIZES = 60;

function chartLayout(extra) {
  const line = css("--line");
  const common = { gridcolor: line, linecolor: line, zerolinecolor: line, tickfont: { color: css("--soft"), size: 12 }, fixedrange: true };
  return {
    font: { family: FONT, color: css("--ink"), size: 12 },
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    margin: { l: 58, r: 22, t: 20, b: 50 },
    showlegend: false,
    dragmode: false,
    ...extra,
    xaxis: { ...common, ...extra.xaxis },
    yaxis: { ...common, ...extra.yaxis },
  };
}
const CHART = { displayModeBar: false, responsive: true, showTips: false };

function emptyChart(id, reason) {
  const box = byId(id);
  box.classList.add("void");
  box.textContent = reason;
}

// --- sizes ---

async function drawSizes() {
  if (!topics.length) return emptyChart("size-chart", "No topics to compare.");
  const shown = bySize().slice(0, MAX_SIZES);
  const note = topics.length > MAX_SIZES ? `The largest ${MAX_SIZES} of ${count(topics.length)}.` : "Documents in each topic, largest first.";
  byId("size-note").textContent = note;
  const chart = byId("size-chart");
  const faded = shown.map((topic) => (isShown(topic.topic) ? 1 : 0.3));
  const ids = shown.map((topic) => String(topic.topic));
  await Plotly.react(chart, [{
    type: "bar", x: ids, y: shown.map((topic) => topic.size), hoverinfo: "none",
    marker: { color: shown.map((topic) => colourOf(topic.topic)), opacity: faded },
  }], chartLayout({
    bargap: shown.length > 30 ? 0.12 : 0.28,
    xaxis: { type: "category", title: { text: "topic", standoff: 4, font: { size: 12, color: css("--soft") } }, showgrid: false, tickmode: "auto", nticks: 16, tickangle: 0 },
    yaxis: { tickformat: ",d", rangemode: "tozero", nticks: 6 },
  }), CHART);
  return (found) => {
    const topic = shown[found[0].pointNumber];
    return [tipHead(topic.topic), el("div", { class: "foot", text: `Topic ${topic.topic} · ${plural(topic.size, "document")} · ${percent(topic.size / summary.n_documents)}` })];
  };
}
