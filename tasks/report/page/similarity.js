// Similarity of topics, with names on the axes. Plotly reads tags in names, so they are escaped.

const plotted = (name) => name.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
const shortName = (name, most) => (name.length > most ? `${name.slice(0, most - 1).replace(/[\uD800-\uDBFF]$/, "")}…` : name);

function axisNames(similar, most) {
  return { type: "array", tickvals: similar.topics.map(String), ticktext: similar.topics.map((topic) => plotted(shortName(nameOf(topic), most))) };
}

const isNarrow = () => innerWidth < 640;

// A line of the chart is as high as its name.
function sizeSimilarity() {
  const similar = summary.similarity, narrow = isNarrow();
  if (similar) byId("similarity-chart").style.height = `${Math.max(narrow ? 280 : 420, similar.topics.length * (narrow ? 11 : 15) + (narrow ? 40 : 190))}px`;
}

async function drawSimilarity() {
  const similar = summary.similarity;
  if (!similar) return emptyChart("similarity-chart", "Similarity needs at least two topics.");
  const shown = similar.topics.length, chart = byId("similarity-chart"), narrow = isNarrow();
  byId("similarity-note").textContent = shown < topics.length ? `The largest ${shown} of ${count(topics.length)}, similar topics next to each other.` : "Cosine of the mean embeddings, similar topics next to each other.";
  const room = narrow ? 110 : 200;
  const ids = similar.topics.map(String);
  const low = Math.min(...similar.values.flat());
  const values = similar.values.map((row, i) => row.map((value, j) => (i === j ? null : value)));
  const high = Math.max(...values.flat().map((value) => value ?? -1));
  const size = { color: css("--ink"), size: narrow ? 9 : 11 };
  const across = narrow ? { showticklabels: false } : { ...axisNames(similar, 26), tickmode: "array", tickangle: -55 };
  const ticks = { type: "category", showgrid: false, ticks: "", tickfont: size };
  await Plotly.react(chart, [{
    type: "heatmap", x: ids, y: ids, z: values, zmin: low, zmax: Math.max(high, low + 1e-6), xgap: shown > 30 ? 0 : 1, ygap: shown > 30 ? 0 : 1,
    colorscale: [[0, css("--heat-low")], [1, css("--heat-high")]], hoverinfo: "none", hoverongaps: false,
    colorbar: { thickness: 10, outlinewidth: 0, tickfont: { color: css("--soft"), size: 11 }, len: 0.6, nticks: 5 },
  }], chartLayout({
    margin: { l: room, r: 12, t: 16, b: narrow ? 20 : 170 },
    xaxis: { ...ticks, ...across, type: "category" },
    yaxis: { ...ticks, ...axisNames(similar, narrow ? 16 : 30), type: "category", tickmode: "array", autorange: "reversed" },
  }), CHART);
  return (found) => {
    const [i, j] = found[0].pointNumber;
    return [tipHead(similar.topics[i]), tipHead(similar.topics[j]), el("div", { class: "foot", text: `cosine ${similar.values[i][j].toFixed(3)}` })];
  };
}
