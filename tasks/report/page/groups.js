// Topics that are over- or under-represented in the groups of a column.

const groupData = read("groups");

const times = (log2) => `${2 ** log2 < 10 ? (2 ** log2).toFixed(2) : count(Math.round(2 ** log2))}×`;

function groupRow(row) {
  return el("tr", { "data-topic": row.topic }, el("td", {}, topicLink(row.topic)), numberCell(count(row.n_documents)), numberCell(percent(row.share)), numberCell(percent(row.share_rest)),
    numberCell(`${times(row.log2_ratio)} (${times(row.log2_low)} to ${times(row.log2_high)})`), el("td", {}, untrusted(row.keywords.join(", "))));
}

function drawGroup(column, value) {
  const left = [column.n_other && `${plural(column.n_other, "document")} with rarer values`, column.n_without && `${plural(column.n_without, "document")} without a value`].filter(Boolean);
  byId("groups-note").textContent = `${plural(column.n_values, "group")}.${left.length ? ` Not listed: ${left.join(", ")}.` : ""} Only topics whose share differs from all other groups by more than chance.`;
  const none = el("tr", {}, el("td", { colspan: 6, class: "empty", text: "No topic is over- or under-represented here." }));
  const rows = value ? value.topics.map(groupRow) : [];
  byId("groups-table").tBodies[0].replaceChildren(...(rows.length ? rows : [none]));
}

function startGroups() {
  const [columns, values] = [byId("group-column"), byId("group-value")];
  const column = () => groupData[Number(columns.value)];
  const fill = () => values.replaceChildren(...column().values.map((entry, k) => el("option", { value: k, text: `${entry.value} (${count(entry.n)})` })));
  const draw = () => drawGroup(column(), column().values[Number(values.value)]);
  columns.append(...groupData.map((entry, k) => el("option", { value: k, text: entry.column })));
  columns.addEventListener("change", () => { fill(); draw(); });
  values.addEventListener("change", draw);
  fill();
  draw();
}
startGroups();
