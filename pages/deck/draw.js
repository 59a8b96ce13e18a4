// Shared by the panels: decoding, the theme's colours, viridis, ticks, text. These files are joined into one module.

const VIRIDIS = [
  [68, 1, 84], [72, 40, 120], [62, 73, 137], [49, 104, 142], [38, 130, 142],
  [31, 158, 137], [53, 183, 121], [110, 206, 88], [181, 222, 43], [253, 231, 37],
];

function viridis(unit) {
  const place = Math.min(Math.max(unit, 0), 1) * (VIRIDIS.length - 1);
  const low = Math.min(Math.floor(place), VIRIDIS.length - 2);
  return VIRIDIS[low].map((from, c) => Math.round(from + (VIRIDIS[low + 1][c] - from) * (place - low)));
}

function bytesOf(text) {
  const raw = atob(text);
  const bytes = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i += 1) bytes[i] = raw.charCodeAt(i);
  return bytes;
}

// Why a panel is empty: the live one knows nothing of clips that were not heard.
function whyEmpty(data, task) {
  if (data.unheard?.includes(task)) return "The chosen model has not heard this clip.";
  return task === "emotion" ? "No valence–arousal model chosen." : "No instrument model chosen.";
}

const floatsOf = (text) => new Float32Array(bytesOf(text).buffer);

// Arrays out of base64, once per payload.
function decode(data) {
  const strip = data.strip && {
    ...data.strip,
    times: floatsOf(data.strip.times),
    scores: floatsOf(data.strip.scores),
  };
  return {
    ...data,
    peaks: { values: new Int8Array(bytesOf(data.peaks.values).buffer), peakDb: data.peaks.peak_db },
    spectrogram: data.spectrogram && {
      ...data.spectrogram,
      picture: picture(data.spectrogram),
      rowNumbers: data.spectrogram.hz.map((_, row) => row),
    },
    series: data.series.map((one) => ({
      name: one.name,
      times: floatsOf(one.times),
      valence: floatsOf(one.valence),
      arousal: floatsOf(one.arousal),
    })),
    strip: strip && strip.times.length ? strip : null,
  };
}

// The spectrogram as a canvas of one pixel per value, lowest frequency at the bottom.
function picture({ rows, columns, values }) {
  const levels = bytesOf(values);
  const table = new Uint8ClampedArray(256 * 4);
  for (let level = 0; level < 256; level += 1) table.set([...viridis(level / 255), 255], 4 * level);
  const colours = new Uint32Array(table.buffer); // a pixel at a time: a list for each took as long as all the rest
  const canvas = document.createElement("canvas");
  canvas.width = columns;
  canvas.height = rows;
  const context = canvas.getContext("2d");
  const image = context.createImageData(columns, rows);
  const pixels = new Uint32Array(image.data.buffer);
  for (let row = 0; row < rows; row += 1) {
    const [from, to] = [row * columns, (rows - 1 - row) * columns];
    for (let column = 0; column < columns; column += 1) pixels[to + column] = colours[levels[from + column]];
  }
  context.putImageData(image, 0, 0);
  return canvas;
}

const scratch = document.createElement("canvas").getContext("2d");
const colours = new Map();

// [red, green, blue] of any CSS colour: the canvas turns it into #rrggbb (or rgba, whose alpha is ignored here).
function rgbOf(colour) {
  if (!colours.has(colour)) {
    scratch.fillStyle = "#808080";
    scratch.fillStyle = colour;
    const written = scratch.fillStyle;
    const parts = written.startsWith("#")
      ? [1, 3, 5].map((at) => parseInt(written.slice(at, at + 2), 16))
      : written.match(/[\d.]+/g).slice(0, 3).map(Number);
    colours.set(colour, parts);
  }
  return colours.get(colour);
}

function mix(first, second, share) {
  const [from, to] = [rgbOf(first), rgbOf(second)];
  return `rgb(${from.map((part, c) => Math.round(part * share + to[c] * (1 - share))).join(", ")})`;
}

function isDark(colour) {
  const [red, green, blue] = rgbOf(colour).map((part) => (part / 255) ** 2.2);
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue < 0.2;
}

function themeOf(root, roles) {
  const style = getComputedStyle(root);
  const read = (name, otherwise) => style.getPropertyValue(name).trim() || otherwise;
  const background = read("--st-background-color", "#ffffff");
  const dark = isDark(background);
  const text = read("--st-text-color", "#222222");
  return {
    dark,
    background,
    panel: read("--st-secondary-background-color", "#eeeeee"),
    text,
    muted: mix(text, background, dark ? 0.62 : 0.68),
    line: mix(text, background, 0.28),
    grid: mix(text, background, 0.12),
    primary: dark ? mix(read("--st-primary-color", text), text, 0.75) : read("--st-primary-color", text),
    record: dark ? "#ff6b61" : "#c62828",
    font: read("--st-font", "system-ui, sans-serif"),
    ...roles[dark ? "dark" : "light"],
  };
}

// Size a canvas for the screen's pixels and return a cleared context that draws in CSS pixels.
function prepare(canvas, width, height) {
  const ratio = window.devicePixelRatio || 1;
  const [across, down] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== across || canvas.height !== down) {
    canvas.width = across;
    canvas.height = down;
  }
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  context.textBaseline = "middle";
  context.lineJoin = "round";
  return context;
}

function write(context, theme, text, x, y, { align = "left", colour, size = 11, weight = 400, halo, room } = {}) {
  context.font = `${weight} ${size}px ${theme.font}`;
  context.textAlign = align;
  const shown = room ? fit(context, text, room) : text;
  if (halo) {
    context.strokeStyle = halo;
    context.lineWidth = 3;
    context.strokeText(shown, x, y);
  }
  context.fillStyle = colour || theme.muted;
  context.fillText(shown, x, y);
  return context.measureText(shown).width;
}

function fit(context, text, room) {
  if (context.measureText(text).width <= room) return text;
  const letters = [...text]; // whole characters: an emoji is never cut in half
  while (letters.length && context.measureText(`${letters.join("")}…`).width > room) letters.pop();
  return `${letters.join("")}…`;
}

function stroke(context, points, colour, width, dash = []) {
  context.strokeStyle = colour;
  context.lineWidth = width;
  context.setLineDash(dash);
  context.beginPath();
  points.forEach(([x, y], i) => (i ? context.lineTo(x, y) : context.moveTo(x, y)));
  context.stroke();
  context.setLineDash([]);
}

function dot(context, x, y, radius, { fill, ring, width = 2 }) {
  context.beginPath();
  context.arc(x, y, radius, 0, 2 * Math.PI);
  if (fill) {
    context.fillStyle = fill;
    context.fill();
  }
  if (ring) {
    context.strokeStyle = ring;
    context.lineWidth = width;
    context.stroke();
  }
}

const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

// Index of the last time not after `time`, or -1.
function indexBefore(times, time) {
  let low = 0;
  let high = times.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (times[middle] <= time) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

// Straight between points; the first and last value hold outside; NaN beside a gap.
function valueAt(times, values, time) {
  if (!times.length) return NaN;
  const index = indexBefore(times, time);
  if (index < 0) return values[0];
  if (index >= times.length - 1 || times[index] === time) return values[Math.min(index, times.length - 1)];
  const share = (time - times[index]) / (times[index + 1] - times[index]);
  return values[index] + (values[index + 1] - values[index]) * share;
}

const pointAt = (one, time) => [valueAt(one.times, one.valence, time), valueAt(one.times, one.arousal, time)];
const isPoint = ([valence, arousal]) => Number.isFinite(valence) && Number.isFinite(arousal);

// The window whose centre is nearest: a strip is made of windows, not of a line.
function windowAt(times, time) {
  const before = indexBefore(times, time);
  if (before < 0) return 0;
  if (before >= times.length - 1) return times.length - 1;
  return time - times[before] <= times[before + 1] - time ? before : before + 1;
}

function clock(seconds, digits = 1) {
  const scale = 10 ** digits;
  const whole = Math.floor(seconds * scale + 1e-6); // floor: the clock never shows a moment not yet reached
  const minutes = Math.floor(whole / (60 * scale));
  const rest = ((whole - minutes * 60 * scale) / scale).toFixed(digits);
  return `${minutes}:${rest.padStart(digits ? digits + 3 : 2, "0")}`;
}
