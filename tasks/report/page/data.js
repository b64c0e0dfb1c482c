// The page's data, and what its parts share. Text that comes from data is set with textContent, never as HTML.

const untrusted = (text, tag = "span") => el(tag, { class: "text", dir: "auto", text });
const swatch = (colour) => el("span", { class: "swatch", fill: colour, "aria-hidden": "true" });
const plural = (n, one, many = one + "s") => `${count(n)} ${n === 1 ? one : many}`;
const numberCell = (text) => el("td", { class: "end number", text });
const visible = (text) => text.trim() || "(no visible text)";
const percent = (share) => (share * 100).toFixed(share > 0 && share < 0.001 ? 2 : 1) + " %";

function seconds(value) {
  if (value == null) return "–";
  if (value < 0.0995) return `${Math.round(value * 1000)} ms`;
  if (value < 99.95) return `${value.toFixed(1)} s`;
  const total = Math.round(value), minutes = Math.round(value / 60);
  return minutes < 60 ? `${Math.floor(total / 60)} min ${total % 60} s` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

// --- data ---

const summary = read("summary");
const run = read("run");
const topics = summary.topics;
const topicOf = new Map(topics.map((topic) => [topic.topic, topic]));
const packed = read("points");
const points = {
  n: packed.n,
  x: unpack(packed.x, Float32Array),
  y: unpack(packed.y, Float32Array),
  topic: unpack(packed.topic, Int32Array),
  percent: unpack(packed.percent, Uint8Array),
  reassigned: unpack(packed.reassigned, Uint8Array),
  closeness: unpack(packed.closeness, Int16Array), // cosines times 10,000
  label: packed.label ? unpack(packed.label, Int32Array) : null,
  labels: packed.labels || [],
  time: packed.time ? unpack(packed.time, Float64Array) : null,
};

const centralityOf = (i) => points.closeness[i] / 10000;

let documents = null; // texts and ids, parsed when first needed: they are the largest part of the page
function texts() {
  documents ??= read("texts");
  return documents;
}

const fold = (text) => text.toLowerCase().normalize("NFC");

// --- colours ---

// With more than twelve topics colours repeat: a topic takes the colour whose nearest topic on the map is farthest away.
function spreadColours() {
  const chosen = new Map();
  const holders = Array.from({ length: N_COLOURS }, () => []);
  const bySize = [...topics].sort((a, b) => b.size - a.size || a.topic - b.topic);
  bySize.forEach((topic, rank) => {
    const [x, y] = topic.middle || [0, 0];
    let best = rank;
    if (rank >= N_COLOURS) {
      const gaps = holders.map((held) => Math.min(...held.map(([hx, hy]) => (hx - x) ** 2 + (hy - y) ** 2)));
      best = gaps.indexOf(Math.max(...gaps));
    }
    holders[best].push([x, y]);
    chosen.set(topic.topic, best);
  });
  return chosen;
}
const colourIndex = spreadColours();
const colourOf = (topic) => (colourIndex.has(topic) ? palette()[colourIndex.get(topic)] : css("--outlier"));
const nameOf = (topic) => (topicOf.has(topic) ? topicOf.get(topic).name : "No topic");
const ofTopic = (topic) => el("div", { class: "from" }, swatch(colourOf(topic)), untrusted(nameOf(topic)));

// --- over time: counts and trends of topics ---

const timeline = summary.timeline;
const timePlace = new Map((timeline ? timeline.topics : []).map((topic, k) => [topic, k]));
const trendOf = (topic) => (timePlace.has(topic) ? timeline.trends[timePlace.get(topic)] : "none");
