// The reader: one document whole, with everything that is known of it; a point or a row opens it.

const reader = { list: [], place: 0, point: null };

function readerFacts(i) {
  const facts = [["Id", texts().ids[i]], ["Topic", nameOf(points.topic[i])]];
  if (points.topic[i] >= 0) facts.push(["Probability", `${points.percent[i]} %${points.reassigned[i] ? ", reassigned outlier" : ""}`]);
  if (points.topic[i] >= 0) facts.push(["Centrality (cosine)", centralityOf(i).toFixed(3)]);
  for (const column of columns) {
    const value = valueOf(column, i);
    if (value !== null) facts.push([column.name, value]);
  }
  return facts.flatMap(([name, value]) => [untrusted(name, "dt"), untrusted(value, "dd")]);
}

// Opens a document; `list` holds the documents that the arrows go through.
async function openReader(i, list = [i]) {
  reader.list = list;
  reader.place = Math.max(0, list.indexOf(i));
  if (!byId("reader").open) byId("reader").showModal();
  await showDocument(i);
}

async function showDocument(i) {
  reader.point = i;
  hideTip();
  const { text, note } = await wholeText(i);
  if (reader.point !== i) return; // another one was opened meanwhile
  byId("reader-title").replaceChildren(swatch(colourOf(points.topic[i])), untrusted(nameOf(points.topic[i])));
  byId("reader-text").replaceChildren(...marked(text, wordsOf(state.query)));
  byId("reader-text").scrollTop = 0;
  byId("reader-note").textContent = note;
  byId("reader-facts").replaceChildren(...readerFacts(i));
  byId("reader-place").textContent = reader.list.length > 1 ? `${count(reader.place + 1)} of ${count(reader.list.length)}` : "";
  byId("reader-before").disabled = reader.place === 0;
  byId("reader-after").disabled = reader.place >= reader.list.length - 1;
  byId("reader-topic").hidden = points.topic[i] < 0;
  writeLink();
}

function turn(step) {
  const place = reader.place + step;
  if (place < 0 || place >= reader.list.length) return;
  reader.place = place;
  showDocument(reader.list[place]);
}

// A text without a point: an example that the sampled map does not have.
function openText(text, topic) {
  Object.assign(reader, { list: [], place: 0, point: null });
  byId("reader-title").replaceChildren(swatch(colourOf(topic)), untrusted(nameOf(topic)));
  byId("reader-text").replaceChildren(text);
  byId("reader-note").textContent = "This document is not among those on the map; its text is cut.";
  byId("reader-facts").replaceChildren();
  byId("reader-place").textContent = "";
  byId("reader-before").disabled = byId("reader-after").disabled = true;
  byId("reader-topic").hidden = true;
  byId("reader").showModal();
}

function startReader() {
  const dialog = byId("reader");
  byId("reader-close").addEventListener("click", () => dialog.close());
  byId("reader-before").addEventListener("click", () => turn(-1));
  byId("reader-after").addEventListener("click", () => turn(1));
  byId("reader-copy").addEventListener("click", () => copyText(byId("reader-text").textContent, byId("reader-copy")));
  byId("reader-topic").addEventListener("click", () => {
    const topic = points.topic[reader.point];
    dialog.close();
    change({ ...NOTHING(), topic });
    byId("map-section").scrollIntoView({ block: "start" });
  });
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  dialog.addEventListener("close", () => { reader.point = null; writeLink(); });
  dialog.addEventListener("keydown", (event) => {
    if (event.key === "ArrowLeft") turn(-1);
    else if (event.key === "ArrowRight") turn(1);
  });
}
startReader();
