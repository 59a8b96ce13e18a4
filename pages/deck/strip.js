// The instrument strip: a row a class, darker where its score is higher, read at the playhead.

function drawStrip(context, layout, data, theme) {
  if (!layout.panels.strip) return;
  const { top, height } = layout.panels.strip;
  const used = panelTitle(context, layout, theme, "strip", "Instruments");
  if (!data.strip) {
    missing(context, layout, theme, "strip", "No instrument model chosen.");
    return;
  }
  const y = top - TITLE / 2;
  const ramp = layout.left + used + 16;
  write(context, theme, "0", ramp, y);
  for (let i = 0; i < 40; i += 1) {
    context.fillStyle = mix(theme.primary, theme.panel, (i + 1) / 40);
    context.fillRect(ramp + 11 + i, y - 4, 1, 8);
  }
  write(context, theme, "1  score", ramp + 57, y);
  const { names, times, scores } = data.strip;
  const row = height / names.length;
  const edge = (i) => (i === 0 ? 0 : i === times.length ? data.seconds : (times[i - 1] + times[i]) / 2);
  // Of a clip of hours several windows share a pixel: it shows the highest score of them.
  const step = Math.max(1, Math.floor(times.length / (2 * (layout.right - layout.left))));
  for (let i = 0; i < times.length; i += step) {
    const next = Math.min(i + step, times.length);
    const [from, to] = [layout.x(edge(i)), layout.x(edge(next))];
    for (let k = 0; k < names.length; k += 1) {
      let score = 0;
      for (let j = i; j < next; j += 1) if (scores[j * names.length + k] > score) score = scores[j * names.length + k];
      if (!(score > 0)) continue; // NaN stays empty
      context.fillStyle = mix(theme.primary, theme.panel, Math.min(score, 1));
      context.fillRect(from, top + k * row + 1, to - from + 0.3, row - 2);
    }
  }
}

function drawStripNow(context, layout, data, theme, time) {
  if (!data.strip) return;
  const { top, height } = layout.panels.strip;
  const { names, times, scores } = data.strip;
  const row = height / names.length;
  const now = scores.subarray(windowAt(times, time) * names.length).subarray(0, names.length);
  const leading = leaders(now);
  names.forEach((name, k) => {
    const y = top + (k + 0.5) * row;
    const heard = leading.includes(k);
    const look = { colour: heard ? theme.text : theme.muted, weight: heard ? 700 : 400, size: 11 };
    write(context, theme, name, layout.left - 9, y, { ...look, align: "right", room: layout.left - 12 });
    if (Number.isFinite(now[k])) write(context, theme, now[k].toFixed(2), layout.right + 8, y, look);
  });
}

// The best row always, and up to two more that score at least a half.
function leaders(scores) {
  const order = [...scores.keys()].filter((k) => Number.isFinite(scores[k])).sort((a, b) => scores[b] - scores[a]);
  return order.filter((k, rank) => rank === 0 || (rank < 3 && scores[k] >= 0.5));
}
