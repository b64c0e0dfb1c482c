// An area of the map as a selection: drawn by hand (lasso), or what the map shows now, which needs no pointer.

const MAX_CORNERS = 80; // so that a link stays short

function setTool(tool) {
  mapLayout.dragmode = tool;
  byId("lasso").setAttribute("aria-pressed", String(tool === "lasso"));
  return Plotly.relayout(map, { dragmode: tool });
}

async function takeLasso(event) {
  const area = event?.lassoPoints;
  if (!area || area.x.length < 3) return;
  const step = Math.ceil(area.x.length / MAX_CORNERS);
  const lasso = Array.from(area.x, (x, k) => [x, area.y[k]]).filter((_, k) => k % step === 0);
  await setTool("pan");
  await Plotly.relayout(map, { selections: [] });
  change({ lasso });
}

function takeView() {
  const [[x0, x1], [y0, y1]] = [map.layout.xaxis.range, map.layout.yaxis.range];
  change({ lasso: [[x0, y0], [x1, y0], [x1, y1], [x0, y1]] });
}

// The outline of the selected area.
function drawArea() {
  mapLayout.shapes = state.lasso
    ? [{ type: "path", path: `M${state.lasso.map((corner) => corner.join(",")).join("L")}Z`, line: { color: css("--accent"), width: 1.5, dash: "dot" }, fillcolor: "rgba(0,0,0,0)" }]
    : [];
}

function startSelecting() {
  byId("lasso").addEventListener("click", () => setTool(mapLayout.dragmode === "lasso" ? "pan" : "lasso"));
  byId("take-view").addEventListener("click", takeView);
  map.on("plotly_selected", takeLasso);
}
