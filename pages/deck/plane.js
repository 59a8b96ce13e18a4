// The valence–arousal plane: a moving point with its trail, comparison runs hollow, song-level values as crosses.

const TRAIL_SECONDS = 4;
const TRAIL_STEP = 0.1;
const QUADRANTS = [["tense", 3, 8.45], ["joyful", 7, 8.45], ["sad", 3, 1.55], ["calm", 7, 1.55]];

function planeLayout(width) {
  const [left, top, right, bottom] = [38, TITLE, 10, 42];
  const side = width - left - right;
  return {
    left, top, side, width,
    height: side + top + bottom,
    x: (valence) => left + ((valence - 1) / 8) * side,
    y: (arousal) => top + side - ((arousal - 1) / 8) * side,
  };
}

function drawPlaneBase(canvas, layout, data, theme) {
  const context = prepare(canvas, layout.width, layout.height);
  const { left, top, side } = layout;
  context.fillStyle = theme.panel;
  context.fillRect(left, top, side, side);
  write(context, theme, "Valence–arousal plane", left, top / 2, { colour: theme.text, size: 12, weight: 600, room: side });
  for (const value of [1, 3, 5, 7, 9]) {
    const [x, y] = [layout.x(value), layout.y(value)];
    const colour = value === 5 ? theme.line : theme.grid;
    stroke(context, [[x, top], [x, top + side]], colour, 1);
    stroke(context, [[left, y], [left + side, y]], colour, 1);
    write(context, theme, `${value}`, x, top + side + 12, { align: "center" });
    write(context, theme, `${value}`, left - 8, y, { align: "right" });
  }
  context.strokeStyle = theme.line;
  context.lineWidth = 1;
  context.strokeRect(left - 0.5, top - 0.5, side + 1, side + 1);
  for (const [word, valence, arousal] of QUADRANTS) {
    write(context, theme, word, layout.x(valence), layout.y(arousal), { align: "center", size: 12 });
  }
  write(context, theme, "valence (unpleasant → pleasant)", left + side / 2, top + side + 31, {
    align: "center", size: 12, colour: theme.valence, room: side,
  });
  context.save();
  context.translate(10, top + side / 2);
  context.rotate(-Math.PI / 2);
  write(context, theme, "arousal (calm → energetic)", 0, 0, { align: "center", size: 12, colour: theme.arousal, room: side });
  context.restore();
  if (data.series.length || data.song.length || data.rating) drawSong(context, layout, data, theme);
  else {
    const y = layout.y(5) - 14;
    write(context, theme, "No valence–arousal model chosen.", left + side / 2, y, { align: "center", size: 12, halo: theme.panel, room: side - 8 });
  }
}

function drawSong(context, layout, data, theme) {
  const taken = [];
  for (const { name, valence, arousal } of data.song) {
    const [x, y] = [layout.x(clamp(valence, 1, 9)), layout.y(clamp(arousal, 1, 9))];
    for (const [colour, width] of [[theme.panel, 5], [theme.text, 2]]) {
      stroke(context, [[x - 6, y], [x + 6, y]], colour, width);
      stroke(context, [[x, y - 6], [x, y + 6]], colour, width);
    }
    const atRight = x < layout.left + layout.side * 0.6;
    let line = clamp(y, layout.top + 8, layout.top + layout.side - 8);
    while (taken.some((other) => Math.abs(other - line) < 13)) line += 13;
    taken.push(line);
    const room = (atRight ? layout.left + layout.side - x : x - layout.left) - 14;
    write(context, theme, name, x + (atRight ? 10 : -10), line, {
      align: atRight ? "left" : "right", colour: theme.text, halo: theme.panel, room,
    });
  }
}

function drawPlaneOver(canvas, layout, data, theme, time, withTrail) {
  const context = prepare(canvas, layout.width, layout.height);
  const place = ([valence, arousal]) => [layout.x(clamp(valence, 1, 9)), layout.y(clamp(arousal, 1, 9))];
  if (withTrail && data.series.length) drawTrail(context, data.series[0], place, theme, time);
  data.series.forEach((one, rank) => {
    const now = pointAt(one, time);
    if (rank && isPoint(now)) dot(context, ...place(now), 6, { fill: theme.panel, ring: theme.text });
  });
  const now = data.series.length ? pointAt(data.series[0], time) : [NaN, NaN];
  if (isPoint(now)) dot(context, ...place(now), 7.5, { fill: theme.primary, ring: theme.background });
}

function drawTrail(context, one, place, theme, time) {
  const steps = Math.round(TRAIL_SECONDS / TRAIL_STEP);
  for (let i = steps; i > 0; i -= 1) {
    const [from, to] = [time - i * TRAIL_STEP, time - (i - 1) * TRAIL_STEP];
    if (from < 0) continue;
    const pair = [pointAt(one, from), pointAt(one, to)];
    if (!pair.every(isPoint)) continue;
    const age = 1 - i / (steps + 1);
    context.globalAlpha = 0.75 * age;
    stroke(context, pair.map(place), theme.primary, 1.5 + 3.5 * age);
  }
  context.globalAlpha = 1;
}
