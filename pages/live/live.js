// The live panel: a level meter, and what models heard in the last seconds. It draws once per payload, nothing between.
// draw.js, strip.js and plane.js of the player are joined before this file.

const TITLE = 26;
const LOWEST_DB = -60;
const STRIP_ROW = 24;
const NAMES_WIDTH = 128;
const SCORES_WIDTH = 44;
const panels = new WeakMap(); // parent element -> panel

export default function (component) {
  const { parentElement, data } = component;
  const root = parentElement.querySelector(".live");
  let panel = panels.get(parentElement);
  if (!panel || panel.root !== root) {
    panel?.destroy();
    panel = makePanel(root);
    panels.set(parentElement, panel);
  }
  panel.update(data);
  return () => setTimeout(() => panel.root.isConnected || panel.destroy(), 0);
}

function makePanel(root) {
  const find = (selector) => root.querySelector(selector);
  const parts = {
    meter: find(".meter"), bar: find(".bar"), peak: find(".peak"), hold: find(".hold"), scale: find(".scale"),
    said: find(".said"), strip: find(".strip"), plane: find(".plane"), stripCanvas: find(".strip canvas"),
    base: find(".plane .base"), over: find(".plane .over"),
  };
  let data = null;
  let based = ""; // what the plane's still part was drawn for
  parts.scale.replaceChildren(...[-60, -50, -40, -30, -20, -10, 0].map((db) => {
    const mark = Object.assign(document.createElement("span"), { textContent: signed(db, 0) });
    mark.style.left = `${100 * share(db)}%`;
    return mark;
  }));
  parts.scale.lastChild.textContent = "0 dBFS";
  const sizes = new ResizeObserver(draw);
  sizes.observe(parts.strip);
  sizes.observe(parts.plane);

  function update(payload) {
    data = payload;
    showLevel(parts, data.level);
    root.dataset.rms = data.level.rms.toFixed(2);
    root.dataset.now = data.now.toFixed(2);
    draw();
  }

  function draw() {
    if (!data || !root.isConnected || parts.strip.clientWidth < 200) return;
    const theme = themeOf(root, data.roles);
    root.style.setProperty("--muted", theme.muted);
    const layout = planeLayout(Math.floor(parts.plane.clientWidth));
    const wanted = JSON.stringify([layout.width, theme, data.trails.length, window.devicePixelRatio]);
    if (wanted !== based) {
      based = wanted;
      parts.base.style.height = `${layout.height}px`;
      drawPlaneBase(parts.base, layout, { series: data.trails, song: [] }, theme);
    }
    const now = drawTrails(parts.over, layout, data, theme);
    root.dataset.point = isPoint(now) ? now.map((value) => value.toFixed(3)).join() : "";
    const heard = drawRollingStrip(parts.stripCanvas, Math.floor(parts.strip.clientWidth), data, theme);
    const point = isPoint(now) ? `valence ${now[0].toFixed(1)}, arousal ${now[1].toFixed(1)}` : "nothing yet";
    parts.plane.setAttribute("aria-label", `Valence–arousal plane, 1 to 9, now: ${point}`);
    parts.strip.setAttribute("aria-label", `Instruments in the last ${data.span} s, now: ${heard || "nothing yet"}`);
  }

  return { root, update, destroy: () => sizes.disconnect() };
}

const share = (db) => (clamp(db, LOWEST_DB, 0) - LOWEST_DB) / -LOWEST_DB;
const signed = (value, digits) => value.toFixed(digits).replace("-", "−");

function showLevel(parts, { rms, peak, hold, clipped }) {
  parts.bar.style.transform = `scaleX(${share(rms)})`;
  parts.peak.style.left = `${100 * share(peak)}%`;
  parts.hold.style.left = `${100 * share(hold)}%`;
  parts.meter.setAttribute("aria-valuenow", rms.toFixed(1));
  parts.meter.setAttribute("aria-valuetext", `${signed(rms, 1)} dB of full scale`);
  const text = `RMS ${signed(rms, 1)} dBFS · peak ${signed(peak, 1)} dBFS · highest of 2 s ${signed(hold, 1)} dBFS`;
  parts.said.textContent = clipped ? `${text} · ` : text;
  if (clipped) parts.said.append(Object.assign(document.createElement("strong"), { textContent: "clipping: turn the gain down" }));
}

// The way of each model in the last seconds; returns where the first one is now.
function drawTrails(canvas, layout, data, theme) {
  const context = prepare(canvas, layout.width, layout.height);
  const place = ([, valence, arousal]) => [layout.x(clamp(valence, 1, 9)), layout.y(clamp(arousal, 1, 9))];
  const known = (moment) => moment && moment[1] !== null;
  data.trails.forEach((trail, rank) => {
    if (rank) return;
    for (let i = 1; i < trail.moments.length; i += 1) {
      const pair = [trail.moments[i - 1], trail.moments[i]];
      if (!pair.every(known)) continue;
      const age = clamp(1 - (data.now - pair[1][0]) / data.span, 0, 1);
      context.globalAlpha = 0.1 + 0.65 * age;
      stroke(context, pair.map(place), theme.primary, 1.5 + 2.5 * age);
    }
    context.globalAlpha = 1;
  });
  for (const [rank, trail] of [...data.trails.entries()].reverse()) {
    const last = trail.moments.at(-1);
    if (!known(last)) continue;
    if (rank) dot(context, ...place(last), 6, { fill: theme.panel, ring: theme.text });
    else dot(context, ...place(last), 7.5, { fill: theme.primary, ring: theme.background });
  }
  const first = data.trails[0]?.moments.at(-1);
  return known(first) ? [first[1], first[2]] : [NaN, NaN];
}

// A row a class, the newest at the right edge; returns the leading names in words.
function drawRollingStrip(canvas, width, data, theme) {
  const { names, times, scores } = data.strip || { names: [], times: [], scores: [] };
  const rows = Math.max(names.length, 6);
  const [left, right, bottom] = [NAMES_WIDTH, width - SCORES_WIDTH, TITLE + rows * STRIP_ROW];
  canvas.style.height = `${bottom + 22}px`;
  const context = prepare(canvas, width, bottom + 22);
  write(context, theme, "Instruments", left, TITLE / 2, { colour: theme.text, size: 12, weight: 600 });
  context.fillStyle = theme.panel;
  context.fillRect(left, TITLE, right - left, bottom - TITLE);
  const x = (time) => clamp(right - ((data.now - time) / data.span) * (right - left), left, right);
  for (let ago = 0; ago <= data.span; ago += 10) {
    const at = x(data.now - ago);
    stroke(context, [[at, TITLE], [at, bottom]], theme.grid, 1);
    write(context, theme, ago ? `−${ago} s` : "now", at, bottom + 11, { align: ago === data.span ? "left" : ago ? "center" : "right" });
  }
  if (!data.strip) {
    write(context, theme, "No instrument model chosen.", (left + right) / 2, (TITLE + bottom) / 2, { align: "center", size: 12 });
    return "";
  }
  times.forEach((time, i) => {
    const from = i ? Math.max(times[i - 1], time - data.step) : time - data.step;
    scores[i].forEach((score, k) => {
      if (!(score > 0)) return; // silence stays empty
      context.fillStyle = mix(theme.primary, theme.panel, Math.min(score, 1));
      context.fillRect(x(from), TITLE + k * STRIP_ROW + 1, x(time) - x(from) + 0.3, STRIP_ROW - 2);
    });
  });
  const now = (scores.at(-1) || []).map((score) => score ?? NaN);
  const leading = leaders(now);
  names.forEach((name, k) => {
    const look = { colour: leading.includes(k) ? theme.text : theme.muted, weight: leading.includes(k) ? 700 : 400 };
    const y = TITLE + (k + 0.5) * STRIP_ROW;
    write(context, theme, name, left - 9, y, { ...look, align: "right", room: left - 12 });
    if (Number.isFinite(now[k])) write(context, theme, now[k].toFixed(2), right + 8, y, look);
  });
  return leading.map((k) => `${names[k]} ${now[k].toFixed(2)}`).join(", ");
}
