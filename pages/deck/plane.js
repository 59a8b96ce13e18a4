// The valence–arousal plane: a moving point with its trail, comparison runs hollow, song-level values as crosses.

const TRAIL_SECONDS = 4;
const TRAIL_STEP = 0.1;
const QUADRANTS = [["tense", 3, 8.45], ["joyful", 7, 8.45], ["sad", 3, 1.55], ["calm", 7, 1.55]];
const LINE_HEIGHT = 13;
// How a name may stand to its mark: pixels further off and down, and left of it (true), right (false) or centred (null).
const NAME_MOVES = [
  ...[0, 14, -14, 28, -28, 42, -42, 60, -60, 80, -80].flatMap((down) => [[0, down, false], [0, down, true]]),
  ...[18, -18, 34, -34, 52, -52, 74, -74].map((down) => [0, down, null]),
  ...[0, 14, -14, 42, -42].flatMap((down) => [[24, down, false], [24, down, true]]),
];

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
    write(context, theme, whyEmpty(data, "emotion"), left + side / 2, y, { align: "center", size: 12, halo: theme.panel, room: side - 8 });
  }
}

// Song-level crosses first, then their names where they hide neither a cross, a word, nor (if it can be) a point.
function drawSong(context, layout, data, theme) {
  if (!data.song.length) return; // the live panel has no series here, and no names to place
  const { left, top, side } = layout;
  const marks = data.song.map(({ name, valence, arousal }) => {
    const lines = nameLines(context, theme, name, side);
    const width = Math.max(...lines.map((line) => context.measureText(line).width));
    const [x, y] = [layout.x(clamp(valence, 1, 9)), layout.y(clamp(arousal, 1, 9))];
    return { lines, x, y, width, height: LINE_HEIGHT * lines.length };
  });
  const words = QUADRANTS.map(([, valence, arousal]) => around(layout.x(valence), layout.y(arousal), 24, 8));
  const places = placeNames(marks, { left, top, side }, words, pointsOfSeries(layout, data.series));
  marks.forEach(({ x, y }, i) => {
    const to = places[i].lead;
    if (to) for (const [colour, width] of [[theme.panel, 3], [theme.muted, 1]]) stroke(context, [[x, y], to], colour, width);
  });
  for (const { x, y } of marks) {
    for (const [colour, width] of [[theme.panel, 5], [theme.text, 2]]) {
      stroke(context, [[x - 6, y], [x + 6, y]], colour, width);
      stroke(context, [[x, y - 6], [x, y + 6]], colour, width);
    }
  }
  marks.forEach(({ lines, width }, i) => {
    const { x, y, isLeftOf } = places[i];
    lines.forEach((line, n) => {
      write(context, theme, line, isLeftOf ? x + width : x, y + LINE_HEIGHT * (n + 0.5), {
        align: isLeftOf ? "right" : "left", colour: theme.text, halo: theme.panel,
      });
    });
  });
}

// A name in at most two lines, none wider than half the plane.
function nameLines(context, theme, name, side) {
  context.font = `400 11px ${theme.font}`;
  const room = side * 0.52;
  const gaps = [...name].flatMap((letter, at) => (letter === " " ? [at] : []));
  if (context.measureText(name).width <= room || !gaps.length) return [fit(context, name, room)];
  const letters = [...name];
  const middle = gaps.reduce((best, at) => (Math.abs(at - letters.length / 2) < Math.abs(best - letters.length / 2) ? at : best));
  return [letters.slice(0, middle), letters.slice(middle + 1)].map((part) => fit(context, part.join(""), room));
}

const around = (x, y, across, down) => ({ left: x - across, right: x + across, top: y - down, bottom: y + down });
const isApart = (a, b) => a.right <= b.left || b.right <= a.left || a.bottom <= b.top || b.bottom <= a.top;

// Where the moving points go: forty moments of each series, in pixels.
function pointsOfSeries(layout, series) {
  return series.flatMap(({ times, valence, arousal }) => {
    const step = Math.max(times.length / 40, 1);
    const moments = Array.from({ length: Math.floor(times.length / step) }, (_, i) => Math.floor(i * step));
    return moments.map((at) => [valence[at], arousal[at]]).filter(isPoint)
      .map(([v, a]) => [layout.x(clamp(v, 1, 9)), layout.y(clamp(a, 1, 9)), 1 / moments.length]);
  });
}

/* Places for the names of `marks` ({x, y, width, height}, pixels), inside the square `bounds` ({left, top, side}).
   Each gets the nearest place beside, above or below its mark that covers no other name, no mark and none of `words`
   (boxes), and as few of `points` ([x, y, weight]) as can be. A name that had to move away gets a `lead`, the end of
   a line from its mark. Returns {x, y, isLeftOf, lead}, x and y the upper left corner. */
function placeNames(marks, { left, top, side }, words, points) {
  const crosses = marks.map(({ x, y }) => around(x, y, 8, 8));
  const taken = [...words];
  return marks.map(({ x, y, width, height }) => {
    let best = null;
    for (const [dx, dy, isLeftOf] of NAME_MOVES) {
      const across = isLeftOf === null ? -width / 2 : isLeftOf ? -width - 10 - dx : 10 + dx;
      const corner = [clamp(x + across, left + 2, left + side - width - 2), clamp(y - height / 2 + dy, top + 2, top + side - height - 2)];
      const box = { left: corner[0], right: corner[0] + width, top: corner[1], bottom: corner[1] + height };
      const hidden = [...taken, ...crosses].filter((other) => !isApart(box, other)).length;
      const wide = { left: box.left - 8, right: box.right + 8, top: box.top - 8, bottom: box.bottom + 8 };
      const passed = points.reduce((sum, [px, py, weight]) => sum + (isApart(wide, around(px, py, 0, 0)) ? 0 : weight), 0);
      const near = [clamp(x, box.left, box.right), clamp(y, box.top, box.bottom)];
      const away = Math.hypot(near[0] - x, near[1] - y);
      const cost = 1000 * hidden + 60 * passed + away;
      if (!best || cost < best.cost - 0.01) best = { cost, box, near, away, isLeftOf: isLeftOf === true };
    }
    taken.push(best.box);
    return { x: best.box.left, y: best.box.top, isLeftOf: best.isLeftOf, lead: best.away > 16 ? best.near : null };
  });
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
