// An area of the map as a selection: drawn by hand (lasso), or what the map shows now, which needs no pointer.

const MAX_CORNERS = 80; // so that a link stays short
const MIN_CORNERS = 3;
const drawing = { corners: null };

function lassoOn(on) {
  byId("lasso").setAttribute("aria-pressed", String(on));
  byId("lasso-sheet").classList.toggle("on", on);
  drawing.corners = null;
  byId("lasso-line").setAttribute("points", "");
}

// A place on the sheet as a place on the map.
function placeOf([x, y]) {
  const { width, height } = byId("lasso-sheet").getBoundingClientRect();
  const [[x0, x1], [y0, y1]] = [map.layout.xaxis.range, map.layout.yaxis.range];
  return [x0 + (x / width) * (x1 - x0), y1 - (y / height) * (y1 - y0)];
}

function drawLasso(event) {
  if (!drawing.corners) return;
  const { left, top } = byId("lasso-sheet").getBoundingClientRect();
  drawing.corners.push([event.clientX - left, event.clientY - top]);
  byId("lasso-line").setAttribute("points", drawing.corners.map((corner) => corner.join(",")).join(" "));
}

function takeLasso() {
  const corners = drawing.corners || [];
  lassoOn(false);
  if (corners.length < MIN_CORNERS) return;
  const step = Math.ceil(corners.length / MAX_CORNERS);
  change({ lasso: corners.filter((_, k) => k % step === 0).map(placeOf) });
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
  const sheet = byId("lasso-sheet");
  byId("lasso").addEventListener("click", () => lassoOn(!sheet.classList.contains("on")));
  byId("take-view").addEventListener("click", takeView);
  sheet.addEventListener("pointerdown", (event) => {
    hideTip();
    sheet.setPointerCapture(event.pointerId);
    drawing.corners = [];
    drawLasso(event);
  });
  sheet.addEventListener("pointermove", drawLasso);
  sheet.addEventListener("pointerup", takeLasso);
  sheet.addEventListener("pointercancel", () => lassoOn(false));
}
