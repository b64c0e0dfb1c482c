// --- state: selection and search; every part of the page is drawn from it ---

const state = { topic: null, group: null, query: "", filters: new Map(), lasso: null, colour: null, outliers: true, names: true, matches: null };
const NOTHING = () => ({ topic: null, group: null, query: "", filters: new Map(), lasso: null });
const listeners = [];
const onChange = (listener) => listeners.push(listener);
function change(changes) {
  Object.assign(state, changes);
  state.matches = findMatches();
  listeners.forEach((listener) => listener());
}
const select = (topic) => change({ topic: state.topic === topic ? null : topic, group: null });

const wordsOf = (query) => fold(query).split(/\s+/).filter(Boolean);

// 1 for each point that matches everything that is selected; null if nothing is selected.
function findMatches() {
  const words = wordsOf(state.query);
  if (state.topic === null && !state.group && !words.length && !state.filters.size && !state.lasso) return null;
  const matches = new Uint8Array(points.n);
  const lower = words.length ? foldedTexts() : null;
  const tests = [...state.filters].map(([column, filter]) => filterTest(columns[column], filter));
  for (let i = 0; i < points.n; i++) {
    if (!isShown(points.topic[i])) continue;
    if (lower && !words.every((word) => lower[i].includes(word))) continue;
    if (!tests.every((test) => test(i))) continue;
    if (state.lasso && !isInside(state.lasso, points.x[i], points.y[i])) continue;
    matches[i] = 1;
  }
  return matches;
}

// Whether a place is inside a polygon, by the number of its edges to the right.
function isInside(polygon, x, y) {
  let inside = false;
  for (let i = 0, j = polygon.length - 1; i < polygon.length; j = i++) {
    const [[xi, yi], [xj, yj]] = [polygon[i], polygon[j]];
    if (yi > y !== yj > y && x < ((xj - xi) * (y - yi)) / (yj - yi) + xi) inside = !inside;
  }
  return inside;
}

// The selected points, all without a selection.
function selectedPoints() {
  const found = [];
  for (let i = 0; i < points.n; i++) if (!state.matches || state.matches[i]) found.push(i);
  return found;
}

// Whether a topic is selected, alone or in a group; all are if nothing is.
const isShown = (topic) => (state.group ? state.group.topics.has(topic) : state.topic === null || state.topic === topic);

// --- tooltip ---

const tip = byId("tip");
function showTip(event, ...children) {
  tip.replaceChildren(...children);
  tip.hidden = false;
  const { width, height } = tip.getBoundingClientRect();
  const gap = 14;
  const x = event.clientX + gap + width > innerWidth ? event.clientX - gap - width : event.clientX + gap;
  const y = Math.min(event.clientY + gap, innerHeight - height - 8);
  tip.style.transform = `translate(${Math.max(8, x)}px, ${Math.max(8, y)}px)`;
}
const hideTip = () => { tip.hidden = true; };
const tipHead = (topic) => el("div", { class: "head" }, swatch(colourOf(topic)), untrusted(nameOf(topic)));
addEventListener("scroll", hideTip, { passive: true });

function dateOf(i) {
  const time = points.time ? points.time[i] : NaN;
  return Number.isNaN(time) ? null : momentOf(time);
}

function pointTip(i) {
  const facts = [];
  if (points.topic[i] >= 0) facts.push(`${points.percent[i]} % member${points.reassigned[i] ? ", reassigned" : ""}`);
  if (points.label && points.label[i] >= 0) facts.push(points.labels[points.label[i]]);
  if (dateOf(i)) facts.push(dateOf(i));
  const foot = el("div", { class: "foot" });
  facts.forEach((fact, k) => foot.append(k ? " · " : "", untrusted(fact)));
  foot.append(el("br"), untrusted(texts().ids[i]));
  const body = untrusted(visible(texts().texts[i]), "div");
  body.classList.add("body");
  return [tipHead(points.topic[i]), body, foot];
}

