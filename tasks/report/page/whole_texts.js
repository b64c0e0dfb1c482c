// Whole texts: the page holds those that the map cuts in compressed blocks, and opens a block when it is needed.

let wholeParts = null;
function whole() {
  if (wholeParts) return wholeParts;
  const data = read("whole");
  wholeParts = data
    ? { points: unpack(data.points, Int32Array), lengths: unpack(data.n_chars, Int32Array), starts: data.starts, blocks: data.blocks, opened: [], max: data.max_text }
    : { points: new Int32Array(0), lengths: new Int32Array(0), starts: [], blocks: [], opened: [], max: 0 };
  return wholeParts;
}
const canOpen = typeof DecompressionStream === "function";

async function openBlock(k) {
  const parts = whole();
  if (parts.opened[k]) return parts.opened[k];
  const bytes = unpack(parts.blocks[k], Uint8Array);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return (parts.opened[k] = JSON.parse(await new Response(stream).text()));
}

// The last place whose value is at most `wanted` in ascending values; -1 if there is none.
function lastPlace(values, wanted) {
  let [low, high] = [0, values.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (values[middle] <= wanted) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

// The whole text of a point, as far as the page holds it, and a sentence if that is not all of it.
async function wholeText(i) {
  const parts = whole();
  const place = lastPlace(parts.points, i);
  if (place < 0 || parts.points[place] !== i) return { text: texts().texts[i], note: "" };
  const length = parts.lengths[place];
  if (!canOpen) return { text: texts().texts[i], note: `This browser cannot open the rest of the text (${count(length)} characters).` };
  const k = lastPlace(parts.starts, place);
  const text = (await openBlock(k))[place - parts.starts[k]];
  return { text, note: length > parts.max ? `The page holds the first ${count(parts.max)} of ${count(length)} characters; documents.parquet has all of them.` : "" };
}

async function wholeTextsOf(indices) {
  const found = [];
  for (const i of indices) found.push((await wholeText(i)).text);
  return found;
}

// --- lower-case texts for the search: whole ones once all blocks are open ---

let folded = null;
function foldedTexts() {
  folded ??= texts().texts.map(fold);
  return folded;
}

let allOpen = null, isAllOpen = false;
function openAll() {
  allOpen ??= (async () => {
    const lower = foldedTexts(), parts = whole();
    if (!canOpen || !parts.blocks.length) return;
    for (let k = 0; k < parts.blocks.length; k++) {
      (await openBlock(k)).forEach((text, place) => { lower[parts.points[parts.starts[k] + place]] = fold(text); });
      parts.opened[k] = null; // the reader opens it again; two copies of all texts would take too much memory
    }
    isAllOpen = true;
  })();
  return allOpen;
}
const holdsMore = () => canOpen && whole().blocks.length > 0;
