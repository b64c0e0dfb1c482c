// A selection as a table for a spreadsheet. A text that a spreadsheet would run as a formula gets an apostrophe, as in
// all CSV files of topicflow; a text with apostrophes before such a beginning gets one more, so that it can be restored.

const FORMULA = /^'*[=+\-@\t\r\n\uFF1D\uFF0B\uFF0D\uFF20]/;
const guarded = (text) => (FORMULA.test(text) ? `'${text}` : text);

function cell(value, separator) {
  if (value === null || value === undefined) return "";
  if (typeof value === "number") return Number.isNaN(value) ? "" : String(value);
  const text = guarded(value);
  return text === "" || text.includes('"') || text.includes(separator) || /[\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

function rawValue(column, i) {
  if (column.kind !== "number") return valueOf(column, i);
  const number = numbersOf(column)[i];
  return Number.isNaN(number) ? null : Number(shortNumber(number));
}

// The columns of the table: a name, and the value of a point.
function tableColumns(bodies) {
  const found = [
    ["doc_id", (i) => texts().ids[i]],
    ["topic", (i) => points.topic[i]],
    ["topic_name", (i) => (points.topic[i] < 0 ? "" : nameOf(points.topic[i]))],
    ["probability", (i) => points.percent[i] / 100],
    ["centrality", centralityOf],
  ];
  const taken = new Set([...found.map(([name]) => name), "text"]);
  for (const column of columns) {
    let name = column.name;
    while (taken.has(name)) name += "_input";
    taken.add(name);
    found.push([name, (i) => rawValue(column, i)]);
  }
  return [...found, ["text", (_, k) => bodies[k]]];
}

async function tableOf(indices, separator) {
  const made = tableColumns(await wholeTextsOf(indices));
  const lines = [made.map(([name]) => cell(name, separator)).join(separator)];
  indices.forEach((i, k) => lines.push(made.map(([, value]) => cell(value(i, k), separator)).join(separator)));
  return lines.join("\n") + "\n";
}

async function copyText(text, button) {
  let copied = true;
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = el("textarea", {}); // a page that is opened from a file may have no other clipboard
    area.value = text;
    (document.querySelector("dialog[open]") || document.body).append(area);
    area.select();
    copied = document.execCommand("copy");
    area.remove();
    button.focus();
  }
  const name = (button.dataset.name ??= button.textContent);
  button.textContent = copied ? "Copied" : "The browser does not allow it";
  setTimeout(() => { button.textContent = name; }, 1600);
}

function download(text, name) {
  const link = el("a", { href: URL.createObjectURL(new Blob([text], { type: "text/csv;charset=utf-8" })), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}
