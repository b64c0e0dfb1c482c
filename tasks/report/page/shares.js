// Several topics of a document in its tooltip, and the words that speak for them.

const shareData = read("shares");
const shareTopics = unpack(shareData.topics, Int32Array);
const sharePercent = unpack(shareData.percent, Uint8Array);

function shareLines(i) {
  const lines = [];
  for (let k = i * shareData.n; k < (i + 1) * shareData.n && shareTopics[k] >= 0; k++) {
    lines.push(el("div", { class: "line" }, swatch(colourOf(shareTopics[k])), untrusted(nameOf(shareTopics[k])), el("span", { class: "number", text: `${sharePercent[k]} %` })));
  }
  return lines;
}

// The text with the words that speak for a topic underlined in its colour.
function spokenText(text, pairs) {
  const topicOfWord = new Map(pairs.map(([word, topic]) => [fold(shareData.words[word]), topic]));
  const lower = fold(text);
  if (!topicOfWord.size || lower.length !== text.length) return [text];
  const longest = [...topicOfWord.keys()].sort((a, b) => b.length - a.length).map(escapeRegExp).join("|");
  const parts = [];
  let last = 0;
  for (const hit of lower.matchAll(new RegExp(`(?<![\\p{L}\\p{N}])(?:${longest})(?![\\p{L}\\p{N}])`, "gu"))) {
    const word = el("mark", { class: "spoken", text: text.slice(hit.index, hit.index + hit[0].length) });
    word.dataset.topic = topicOfWord.get(hit[0]);
    Object.assign(word.style, { background: "none", color: "inherit", borderBottom: `2px solid ${colourOf(topicOfWord.get(hit[0]))}` });
    parts.push(text.slice(last, hit.index), word);
    last = hit.index + hit[0].length;
  }
  return [...parts, text.slice(last)];
}

const plainTip = pointTip;
pointTip = (i) => {
  const [head, body, foot] = plainTip(i);
  if (shareData.spoken.length) body.replaceChildren(...spokenText(body.textContent, shareData.spoken[i]));
  return [head, body, ...shareLines(i), foot];
};
