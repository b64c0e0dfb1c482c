// Seeds, and the topics in which their documents ended.

const seedData = read("seeds");

function seedTopic(entry) {
  const button = el("button", { type: "button", title: "Show on the map", onclick: () => showOnMap(entry.topic) }, untrusted(nameOf(entry.topic)));
  return el("div", { class: "name" }, swatch(colourOf(entry.topic)), button, el("span", { class: "number", text: ` ${percent(entry.share)} (topic of ${count(topicOf.get(entry.topic).size)})` }));
}

function seedRow(seed) {
  const none = el("span", { class: "empty", text: seed.n ? "No topic has a tenth of its documents." : "No document is near it." });
  return el("tr", {}, el("td", {}, untrusted(seed.name)), el("td", { class: "end number", text: count(seed.n) }), el("td", {}, ...(seed.topics.length ? seed.topics.map(seedTopic) : [none])));
}

byId("seeds-note").textContent = `${plural(seedData.length, "seed")}. Documents near a seed were pulled towards it; a topic is listed with its share of these documents, from a tenth on.`;
byId("seeds-table").tBodies[0].append(...seedData.map(seedRow));
