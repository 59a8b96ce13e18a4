// The read-out beside the plane: what each run says at the playhead, and the values for the whole clip.

// One row a run, with a sample of its line and point; one row a song-level value, with its cross.
function buildTable(table, data, theme) {
  const body = table.tBodies[0];
  body.replaceChildren();
  table.hidden = !data.series.length && !data.song.length;
  data.series.forEach((one, rank) => {
    const dash = DASHES[rank % DASHES.length].join(" ") || "none";
    const fill = rank ? theme.background : theme.text;
    const sample = [["path", { d: "M0 6h30", "stroke-dasharray": dash }], ["circle", { cx: 15, cy: 6, r: 3.5, fill }]];
    addRow(body, one.name, sample);
  });
  for (const { name, valence, arousal } of data.song) {
    addRow(body, name, [["path", { d: "M15 1v10M10 6h10" }]], [valence, arousal].map(number));
  }
}

function addRow(body, name, sample, values = ["–", "–"]) {
  const row = body.insertRow();
  const first = document.createElement("div");
  const label = document.createElement("span");
  label.textContent = name;
  label.title = name;
  const lines = sample.map((one) => shape(...one));
  first.append(shape("svg", { width: 30, height: 12, "aria-hidden": "true" }, lines), label);
  row.insertCell().append(first);
  values.forEach((value) => setText(row.insertCell(), value));
}

function updateTable(table, data, time) {
  data.series.forEach((one, i) => {
    const { cells } = table.tBodies[0].rows[i];
    pointAt(one, time).forEach((value, which) => setText(cells[which + 1], number(value)));
  });
}

const number = (value) => (Number.isFinite(value) ? value.toFixed(2) : "–");

function shape(kind, attributes, children = []) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", kind);
  Object.entries(attributes).forEach(([key, value]) => element.setAttribute(key, value));
  element.append(...children);
  return element;
}

function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
