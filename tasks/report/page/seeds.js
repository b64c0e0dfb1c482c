// Seeds, and the topics in which their documents ended.

const seedData = read("seeds");

const seedTopic = ({ topic, share }) => topicLink(topic, el("span", { class: "number", text: ` ${percent(share)} (topic of ${count(topicOf.get(topic).size)})` }));

function seedRow(seed) {
  const none = el("span", { class: "empty", text: seed.n ? "No topic has a tenth of its documents." : "No document is near it." });
  return el("tr", {}, el("td", {}, untrusted(seed.name)), numberCell(count(seed.n)), el("td", {}, ...(seed.topics.length ? seed.topics.map(seedTopic) : [none])));
}

byId("seeds-note").textContent = `${plural(seedData.length, "seed")}. Documents near a seed were pulled towards it; a topic is listed with its share of these documents, from a tenth on.`;
byId("seeds-table").tBodies[0].append(...seedData.map(seedRow));
