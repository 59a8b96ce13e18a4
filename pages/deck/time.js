// The panels that share the time axis: waveform, spectrogram, curves, instrument strip.

const DASHES = [[], [6, 4], [2, 3], [9, 3, 2, 3]];
const TITLE = 22;
const GAP = 10;
const AXIS = 30;
const ROW = 16;
const EMPTY = 40;

// Wide enough for the longest row label in its heaviest weight, so that no name is cut.
function gutter(data, theme) {
  scratch.font = `700 11px ${theme.font}`;
  const widest = (data.strip?.names ?? []).reduce((wide, name) => Math.max(wide, scratch.measureText(name).width), 0);
  return Math.ceil(clamp(widest + 14, 76, 150));
}

function timeLayout(width, data, theme) {
  const narrow = width < 560;
  const natural = [
    ["wave", 56],
    ["spectrogram", data.spectrogram ? 132 : 0],
    ["curves", data.series.length || data.rating ? 148 : 0],
    ["strip", data.strip ? data.strip.names.length * ROW : 0],
  ].filter(([name, height]) => height || !data.rating || name !== "strip"); // whoever rates asked for no model
  const fixed = natural.length * (TITLE + GAP) - GAP + AXIS;
  const content = natural.reduce((sum, [, height]) => sum + (height || EMPTY), 0);
  const scale = data.height ? clamp((data.height - fixed) / content, 0.75, 2.5) : 1;
  const beside = data.strip?.calibration ? 84 : 64; // room for scores, and probabilities
  const layout = { width, left: gutter(data, theme), right: width - beside, panels: {}, narrow };
  let top = 0;
  for (const [name, wished] of natural) {
    const height = Math.round((wished || EMPTY) * scale);
    layout.panels[name] = { top: top + TITLE, height, isEmpty: !wished };
    top += TITLE + height + GAP;
  }
  layout.bottom = top - GAP;
  layout.height = layout.bottom + AXIS;
  layout.x = (time) => layout.left + (time / data.seconds) * (layout.right - layout.left);
  layout.time = (x) => clamp((x - layout.left) / (layout.right - layout.left), 0, 1) * data.seconds;
  layout.curveY = (value) => {
    const { top: above, height } = layout.panels.curves;
    return above + height - ((value - 1) / 8) * height;
  };
  return layout;
}

function drawTimeBase(canvas, layout, data, theme) {
  const context = prepare(canvas, layout.width, layout.height);
  for (const { top, height } of Object.values(layout.panels)) {
    context.fillStyle = theme.panel;
    context.fillRect(layout.left, top, layout.right - layout.left, height);
  }
  drawWave(context, layout, data, theme);
  drawSpectrogram(context, layout, data, theme);
  drawTimeAxis(context, layout, data, theme);
  drawCurves(context, layout, data, theme);
  drawStrip(context, layout, data, theme);
  drawMarkers(context, layout, data, theme);
  for (const { top, height } of Object.values(layout.panels)) {
    context.strokeStyle = theme.line;
    context.lineWidth = 1;
    context.strokeRect(layout.left - 0.5, top - 0.5, layout.right - layout.left + 1, height + 1);
  }
}

function panelTitle(context, layout, theme, name, text, room = layout.right - layout.left) {
  const y = layout.panels[name].top - TITLE / 2;
  return write(context, theme, text, layout.left, y, { colour: theme.text, size: 12, weight: 600, room });
}

function missing(context, layout, theme, name, sentence) {
  const { top, height } = layout.panels[name];
  const middle = (layout.left + layout.right) / 2;
  write(context, theme, sentence, middle, top + height / 2, { align: "center", size: 12, room: layout.right - layout.left - 16 });
}

function drawWave(context, layout, data, theme) {
  const { top, height } = layout.panels.wave;
  const { values, peakDb } = data.peaks;
  const level = peakDb === null ? "silence" : `peak ${peakDb.toFixed(1).replace("-", "−")} dBFS`;
  const used = panelTitle(context, layout, theme, "wave", "Waveform");
  write(context, theme, level, layout.left + used + 10, top - TITLE / 2, { room: layout.right - layout.left - used - 10 });
  const [count, middle] = [values.length / 2, top + height / 2];
  const across = layout.right - layout.left;
  const ratio = window.devicePixelRatio || 1;
  context.fillStyle = mix(theme.text, theme.panel, 0.6);
  for (let column = 0; column < across * ratio && count; column += 1) {
    const from = Math.floor((column / (across * ratio)) * count);
    const to = Math.max(from + 1, Math.floor(((column + 1) / (across * ratio)) * count));
    let [low, high] = [127, -127];
    for (let i = from; i < Math.min(to, count); i += 1) {
      low = Math.min(low, values[2 * i]);
      high = Math.max(high, values[2 * i + 1]);
    }
    const [above, below] = [high, low].map((value) => middle - (value / 127) * (height / 2 - 2));
    context.fillRect(layout.left + column / ratio, above - 0.5, 1 / ratio, Math.max(below - above, 0) + 1);
  }
}

function drawSpectrogram(context, layout, data, theme) {
  const { top, height } = layout.panels.spectrogram;
  const shown = data.spectrogram;
  panelTitle(context, layout, theme, "spectrogram", "Spectrogram");
  if (!shown) {
    missing(context, layout, theme, "spectrogram", "No spectrogram: the clip has nothing to show.");
    return;
  }
  context.imageSmoothingEnabled = true;
  context.drawImage(shown.picture, layout.left, top, layout.right - layout.left, height);
  let last = Infinity;
  for (const hertz of [50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000]) {
    const y = top + height - ((valueAt(shown.hz, shown.rowNumbers, hertz) + 0.5) / shown.rows) * height;
    if (hertz < shown.hz[0] || hertz > shown.hz[shown.rows - 1] || last - y < 15) continue;
    last = y;
    stroke(context, [[layout.left - 5, y], [layout.left - 1, y]], theme.line, 1);
    const text = hertz < 1000 ? `${hertz} Hz` : `${hertz / 1000} kHz`;
    write(context, theme, text, layout.left - 9, y, { align: "right" });
  }
  const [x, wide] = [layout.right + 8, 9];
  for (let row = 0; row < height; row += 1) {
    context.fillStyle = `rgb(${viridis(1 - row / (height - 1)).join()})`;
    context.fillRect(x, top + row, wide, 1);
  }
  context.strokeStyle = theme.line;
  context.lineWidth = 1;
  context.strokeRect(x - 0.5, top - 0.5, wide + 1, height + 1);
  for (const share of [0, 0.25, 0.5, 0.75, 1]) {
    const level = shown.high_db + (shown.low_db - shown.high_db) * share;
    const text = `${Math.round(level)}`.replace("-", "−").replace(/^−0$/, "0");
    write(context, theme, share ? text : `${text} dB`, x + wide + 5, top + height * share);
  }
}

function timeStep(layout, data) {
  const steps = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600];
  const across = layout.right - layout.left;
  return steps.find((step) => (step / data.seconds) * across >= 52) ?? data.seconds;
}

function drawTimeAxis(context, layout, data, theme) {
  const step = timeStep(layout, data);
  const digits = step >= 1 ? 0 : step >= 0.1 ? 1 : 2;
  for (let i = 0; i * step <= data.seconds + 1e-9; i += 1) {
    const x = layout.x(i * step);
    for (const name of ["curves", "strip"]) {
      const { top, height, isEmpty } = layout.panels[name] ?? { isEmpty: true };
      if (isEmpty) continue;
      stroke(context, [[x, top], [x, top + height]], theme.grid, 1);
    }
    stroke(context, [[x, layout.bottom + 1], [x, layout.bottom + 5]], theme.line, 1);
    const text = data.seconds >= 120 ? clock(i * step, 0) : `${(i * step).toFixed(digits)} s`;
    write(context, theme, text, x, layout.bottom + 14, { align: "center" });
  }
}

function drawCurves(context, layout, data, theme) {
  const { top, height } = layout.panels.curves;
  const used = panelTitle(context, layout, theme, "curves", layout.narrow ? "Emotion" : "Valence and arousal");
  if (!data.series.length && !data.rating) {
    missing(context, layout, theme, "curves", whyEmpty(data, "emotion"));
    return;
  }
  let x = layout.left + used + 16;
  for (const name of ["valence", "arousal"]) {
    stroke(context, [[x, top - TITLE / 2], [x + 18, top - TITLE / 2]], theme[name], 2.5);
    x += 24 + write(context, theme, name, x + 24, top - TITLE / 2) + 14;
  }
  for (const value of [1, 3, 5, 7, 9]) {
    const y = layout.curveY(value);
    stroke(context, [[layout.left, y], [layout.right, y]], value === 5 ? theme.line : theme.grid, 1);
    const word = { 1: "low 1", 5: "neutral 5", 9: "high 9" }[value] ?? `${value}`;
    write(context, theme, word, layout.left - 9, y, { align: "right" });
  }
  context.save();
  context.beginPath();
  context.rect(layout.left, top, layout.right - layout.left, height);
  context.clip();
  data.series.toReversed().forEach((one, i) => {
    const rank = data.series.length - 1 - i;
    for (const name of ["valence", "arousal"]) drawCurve(context, layout, data, one, name, theme[name], rank);
  });
  context.restore();
}

function drawCurve(context, layout, data, one, name, colour, rank) {
  const { times } = one;
  const values = one[name];
  if (!times.length) return;
  const [width, dash] = [rank ? 1.6 : 2.2, DASHES[rank % DASHES.length]];
  let stretch = [];
  const finish = () => {
    if (stretch.length > 1) stroke(context, stretch, colour, width, dash);
    else if (stretch.length) dot(context, ...stretch[0], 2.5, rank ? { ring: colour, width: 1.5 } : { fill: colour });
    stretch = [];
  };
  for (let i = 0; i < times.length; i += 1) {
    if (Number.isFinite(values[i])) stretch.push([layout.x(times[i]), layout.curveY(values[i])]);
    else finish();
  }
  finish();
  // Before the first window's centre and after the last one's, their values hold: fainter, for it is the same number.
  context.globalAlpha = 0.4;
  for (const [edge, end] of [[0, 0], [times.length - 1, data.seconds]]) {
    const y = layout.curveY(values[edge]);
    if (Number.isFinite(y)) stroke(context, [[layout.x(times[edge]), y], [layout.x(end), y]], colour, width, dash);
  }
  context.globalAlpha = 1;
}

// A label goes right of its line, or left of it where the next line or the edge is too near and the left is free.
function drawMarkers(context, layout, data, theme) {
  const { top } = layout.panels.wave;
  const inOrder = data.markers.toSorted((a, b) => a.time - b.time);
  let usedUntil = layout.left;
  inOrder.forEach(({ time, text }, i) => {
    const x = layout.x(time);
    for (const panel of drawnPanels(layout)) {
      stroke(context, [[x, panel.top], [x, panel.top + panel.height]], theme.text, 1, [3, 3]);
    }
    const look = { colour: theme.text, halo: theme.panel };
    const room = (i + 1 < inOrder.length ? layout.x(inOrder[i + 1].time) : layout.right) - x - 8;
    scratch.font = `400 11px ${theme.font}`;
    const wide = scratch.measureText(text).width;
    if (wide > room && x - usedUntil - 8 > wide) {
      write(context, theme, text, x - 4, top + 8, { ...look, align: "right" });
      usedUntil = x;
    } else {
      write(context, theme, text, x + 4, top + 8, { ...look, room: Math.max(room, 1) });
      usedUntil = x + 8 + Math.min(wide, Math.max(room, 0));
    }
  });
}

// A panel without data holds a sentence, which no line should cross.
const drawnPanels = (layout) => Object.values(layout.panels).filter(({ isEmpty }) => !isEmpty);

// What moves: the playhead, the values under it, the names of the instruments heard now.
function drawTimeOver(canvas, layout, data, theme, time, hover) {
  const context = prepare(canvas, layout.width, layout.height);
  drawStripNow(context, layout, data, theme, time);
  if (hover !== null) {
    const x = layout.x(hover);
    for (const { top, height } of drawnPanels(layout)) stroke(context, [[x, top], [x, top + height]], theme.muted, 1, [2, 2]);
  }
  const x = layout.x(time);
  for (const { top, height } of drawnPanels(layout)) {
    stroke(context, [[x, top], [x, top + height]], theme.background, 4);
    stroke(context, [[x, top], [x, top + height]], theme.text, 1.6);
  }
  const tip = layout.panels.wave.top;
  context.fillStyle = theme.text;
  context.beginPath();
  context.moveTo(x - 5, tip - 7);
  context.lineTo(x + 5, tip - 7);
  context.lineTo(x, tip);
  context.fill();
  drawCurvesNow(context, layout, data, theme, time, x);
}

function drawCurvesNow(context, layout, data, theme, time, x) {
  if (!data.series.length) return;
  const { top, height } = layout.panels.curves;
  data.series.toReversed().forEach((one, i) => {
    const isFirst = i === data.series.length - 1;
    pointAt(one, time).forEach((value, which) => {
      if (!Number.isFinite(value)) return;
      const colour = [theme.valence, theme.arousal][which];
      dot(context, x, layout.curveY(value), isFirst ? 4.5 : 3.5, isFirst ? { fill: colour, ring: theme.background } : { fill: theme.background, ring: colour });
    });
  });
  const now = pointAt(data.series[0], time).map((value, which) => ({ value, letter: "VA"[which], colour: [theme.valence, theme.arousal][which] }));
  const shown = now.filter(({ value }) => Number.isFinite(value)).map((one) => ({ ...one, y: layout.curveY(one.value) }));
  shown.sort((a, b) => a.y - b.y);
  if (shown.length === 2 && shown[1].y - shown[0].y < 14) {
    const middle = clamp((shown[0].y + shown[1].y) / 2, top + 14, top + height - 14);
    [shown[0].y, shown[1].y] = [middle - 7, middle + 7];
  }
  for (const { value, letter, colour, y } of shown) {
    write(context, theme, `${letter} ${value.toFixed(2)}`, layout.right + 8, clamp(y, top + 6, top + height - 6), { colour, size: 12, weight: 600 });
  }
}
