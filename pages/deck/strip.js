// The instrument strip: a row a class in an order that never changes, darker where its score is higher, underlined where
// it reaches the threshold, read at the playhead as a score and, where scores are calibrated, as a probability.

const UNDERLINE = 2;
const COLUMN = 72; // from the panel's right edge to the end of the probabilities

function drawStrip(context, layout, data, theme) {
  if (!layout.panels.strip) return;
  const { top, height } = layout.panels.strip;
  const used = panelTitle(context, layout, theme, "strip", "Instruments");
  if (!data.strip) {
    missing(context, layout, theme, "strip", whyEmpty(data, "instruments"));
    return;
  }
  const { names, times, scores, threshold, calibration } = data.strip;
  drawStripKey(context, layout, theme, layout.left + used + 16, top - TITLE / 2, data.strip);
  if (calibration) {
    write(context, theme, "score", layout.right + 8, top - TITLE / 2, { size: 10 });
    write(context, theme, "prob.", layout.right + 8 + COLUMN, top - TITLE / 2, { size: 10, align: "right" });
  }
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
      const below = top + (k + 1) * row;
      context.fillStyle = mix(theme.primary, theme.panel, Math.min(score, 1));
      context.fillRect(from, below - row + 1, to - from + 0.3, row - UNDERLINE - 3);
      if (threshold === null || score < threshold) continue;
      context.fillStyle = theme.text; // a line of its own below the cell: on its colour it would not be seen
      context.fillRect(from, below - UNDERLINE - 1, to - from + 0.3, UNDERLINE);
    }
  }
}

// What the colours and the line mean, above the strip.
function drawStripKey(context, layout, theme, x, y, { threshold, word }) {
  write(context, theme, "0", x, y);
  for (let i = 0; i < 40; i += 1) {
    context.fillStyle = mix(theme.primary, theme.panel, (i + 1) / 40);
    context.fillRect(x + 11 + i, y - 4, 1, 8);
  }
  const end = x + 57 + write(context, theme, `1  ${word}`, x + 57, y);
  if (threshold === null) return;
  context.fillStyle = theme.text;
  context.fillRect(x + 11 + clamp(threshold, 0, 1) * 40 - 1, y - 7, 2, 14);
  const said = threshold >= 1 ? "none is named" : `heard: ${word} ≥ ${threshold.toFixed(2)}`;
  if (layout.right - end < 38 + 6 * said.length) return; // it would run out of the panel
  context.fillRect(end + 16, y + 3, 16, UNDERLINE);
  write(context, theme, said, end + 38, y);
}

function drawStripNow(context, layout, data, theme, time) {
  if (!data.strip) return;
  const { top, height } = layout.panels.strip;
  const { names } = data.strip;
  const row = height / names.length;
  const now = scoresAt(data.strip, time);
  const leading = leaders(now, data.strip.threshold);
  names.forEach((name, k) => {
    const y = top + (k + 0.5) * row;
    const heard = leading.includes(k);
    const look = { colour: heard ? theme.text : theme.muted, weight: heard ? 700 : 400, size: 11 };
    write(context, theme, name, layout.left - 9, y, { ...look, align: "right", room: layout.left - 12 });
    if (!Number.isFinite(now[k])) return;
    write(context, theme, now[k].toFixed(2), layout.right + 8, y, look);
    const chance = probability(data.strip, now[k]);
    if (chance !== null) write(context, theme, percent(chance), layout.right + 8 + COLUMN, y, { ...look, align: "right" });
  });
}

function scoresAt({ names, times, scores }, time) {
  return scores.subarray(windowAt(times, time) * names.length).subarray(0, names.length);
}

// How likely a class is where its score is this; null where the scores are not calibrated.
function probability({ calibration }, score) {
  if (!calibration) return null;
  const inside = clamp(score, 1e-6, 1 - 1e-6);
  return 1 / (1 + Math.exp(-(calibration[0] * Math.log(inside / (1 - inside)) + calibration[1])));
}

// Nothing is known so well that it is 0 or 100 %.
const percent = (chance) => `${clamp(Math.round(100 * chance), 1, 99)} %`;

// The best class at a moment in words; that none reaches the threshold; nothing where nothing is known.
function heardAt(strip, time) {
  const now = scoresAt(strip, time);
  const [best] = leaders(now, strip.threshold);
  if (best === undefined) return now.some(Number.isFinite) ? `none of the ${strip.names.length} instruments` : "";
  const chance = probability(strip, now[best]);
  return `${strip.names[best]} ${now[best].toFixed(2)}${chance === null ? "" : `, probability ${percent(chance)}`}`;
}

// The three best that reach the threshold, perhaps none. Without one: the best always, and up to two more that score at
// least a half.
function leaders(scores, threshold = null) {
  const order = [...scores.keys()].filter((k) => Number.isFinite(scores[k])).sort((a, b) => scores[b] - scores[a]);
  return order.filter((k, rank) => rank < 3 && (threshold === null ? rank === 0 || scores[k] >= 0.5 : scores[k] >= threshold));
}
