// Rating on the plane: the listener moves a point while the clip plays, and two moments a second are taken down on the
// audio's clock, or places it once for the whole song. What was not yet said to be saved is kept, here and in the
// browser's storage, and sent again, so that neither a rerun nor a reload loses a moment.

const MOMENTS_PER_SECOND = 2;
const SEND_MS = 3000; // while it records; a pause and the end send at once
const RESEND_MS = 4000;
const RESENDS = 5;
const STEP = 0.1;
const LEAP = 0.5;
const desks = new Map(); // clip and rater -> what is being rated; outlives the player's place in the page

function deskOf({ clip, rater }) {
  const key = `earshot.takes.${clip}.${rater}`;
  if (!desks.has(key)) {
    let waiting = [];
    try {
      waiting = JSON.parse(localStorage.getItem(key)) ?? [];
    } catch { /* no storage here, or not ours: nothing waits */ }
    desks.set(key, { key, clip, rater, waiting, live: null, point: null, last: null, wasPlaying: false });
  }
  return desks.get(key);
}

function store(desk) {
  try {
    if (desk.waiting.length) localStorage.setItem(desk.key, JSON.stringify(desk.waiting));
    else localStorage.removeItem(desk.key);
  } catch { /* full or forbidden: it is still kept here */ }
}

function newTake(kind) {
  const random = Math.random().toString(36).slice(2, 8);
  return { id: `${Date.now().toString(36)}-${random}`, kind, times_s: [], valence: [], arousal: [] };
}

// Put a moment where it belongs: after seeking back, the newer value at the same moment counts.
function takeDown(take, time, [valence, arousal]) {
  let place = take.times_s.length;
  while (place && take.times_s[place - 1] >= time) place -= 1;
  const isKnown = take.times_s[place] === time;
  [[take.times_s, time], [take.valence, valence], [take.arousal, arousal]].forEach(([list, value]) => {
    list.splice(place, isKnown ? 1 : 0, Math.round(value * 1000) / 1000);
  });
}

// `deck` offers: root, plane (its element), planeLayout(), time(), isPlaying(), play(), pause(), redraw(), moved().
function makeRating(deck, signal) {
  const find = (selector) => deck.root.querySelector(selector);
  const parts = { box: find(".rate"), record: find(".record"), keep: find(".keep"), state: find(".rate-state"), said: find(".rate-said") };
  let about = null;
  let desk = null;
  let send = null;
  let lastSent = 0;
  let resends = 0;
  let timer = 0;

  function update(rating, setStateValue) {
    about = rating;
    parts.box.hidden = !rating;
    if (!rating) return;
    send = setStateValue;
    const next = deskOf(rating);
    if (desk && desk !== next) {
      if (resends < RESENDS) say(""); // what was said to one rater of one clip is not true of the next
      if (desk.live) finish("Recording ended: another clip or rater was chosen.");
    }
    desk = next;
    deck.plane.tabIndex = 0;
    deck.plane.setAttribute("role", "slider");
    deck.plane.setAttribute("aria-roledescription", "point on a plane");
    for (const [name, value] of [["label", "Your rating: arrow keys move it"], ["valuemin", 1], ["valuemax", 9]]) {
      deck.plane.setAttribute(`aria-${name}`, value);
    }
    const { saved } = rating;
    for (const one of desks.values()) {
      one.waiting = one.waiting.filter((take) => take === one.live || !(saved[take.id] >= take.valence.length));
      store(one);
    }
    if (!everyWaiting().length) resends = 0;
    else if (!timer && resends < RESENDS) timer = setTimeout(resend, RESEND_MS);
    show();
  }

  const everyWaiting = () => [...desks.values()].flatMap((one) => one.waiting.filter((take) => take.valence.length));

  function resend() {
    timer = 0;
    if (!desk || !everyWaiting().length) return;
    resends += 1;
    sendNow();
    if (resends >= RESENDS) say("Not saved yet: the lab does not answer. Your rating is kept in this browser.");
    else timer = setTimeout(resend, RESEND_MS);
  }

  function sendNow() {
    lastSent = performance.now();
    const batches = [...desks.values()].map(({ clip, rater, waiting }) => ({ clip, rater, takes: waiting.filter((take) => take.valence.length) }));
    const filled = batches.filter(({ takes }) => takes.length);
    if (!filled.length) return;
    // The number makes every message a new one; the lists are copied, since they go on growing.
    send("takes", structuredClone({ number: Date.now(), batches: filled }));
    if (!timer) timer = setTimeout(resend, RESEND_MS);
  }

  function start() {
    desk.live = newTake("trace");
    desk.waiting.push(desk.live);
    desk.last = deck.time();
    resends = 0;
    say("Recording. Move the point with the mouse or the arrow keys.");
    deck.plane.focus({ preventScroll: true });
    deck.play();
    deck.redraw();
  }

  function finish(text) {
    clock(deck.time(), false);
    const take = desk.live;
    desk.live = null;
    if (!take.valence.length) desk.waiting = desk.waiting.filter((one) => one !== take);
    say(take.valence.length ? text : "Nothing was recorded: the point was never placed.");
    store(desk);
    sendNow();
    deck.redraw();
  }

  function keep() {
    const take = newTake("song");
    take.valence.push(Math.round(desk.point[0] * 1000) / 1000);
    take.arousal.push(Math.round(desk.point[1] * 1000) / 1000);
    desk.waiting.push(take);
    store(desk);
    say("Kept for the whole song.");
    sendNow();
    show();
  }

  // Called at every frame and every change of the player.
  function clock(time, isPlaying) {
    if (!about) return;
    // A slow page draws few frames: what passed since the last one counts, and the point stood still meanwhile.
    if (desk.live && desk.point && desk.last !== null && (isPlaying || desk.wasPlaying)) {
      const first = Math.floor(desk.last * MOMENTS_PER_SECOND + 1e-9) + 1;
      const end = Math.floor(time * MOMENTS_PER_SECOND + 1e-9);
      if (first <= end) {
        for (let i = first; i <= end; i += 1) takeDown(desk.live, i / MOMENTS_PER_SECOND, desk.point);
        store(desk);
      }
      if (performance.now() - lastSent > SEND_MS) sendNow();
    }
    desk.last = time;
    desk.wasPlaying = isPlaying;
    show();
  }

  // The clip jumps, or nobody sees it: what lies between was not rated.
  function leap() {
    if (!about) return;
    clock(deck.time(), deck.isPlaying());
    desk.last = null;
  }

  function rested(isAtEnd) {
    if (!about || !desk.live) return;
    if (isAtEnd) finish("The clip has ended; the recording is kept.");
    else {
      say("Paused. Play goes on recording; Stop recording ends it.");
      sendNow();
    }
  }

  function show() {
    const isLive = Boolean(desk.live);
    deck.root.dataset.recording = String(isLive);
    deck.root.dataset.rating = desk.point ? desk.point.map((value) => value.toFixed(3)).join() : "";
    setText(parts.record, isLive ? "Stop recording" : "Record a trace");
    parts.keep.disabled = isLive || !desk.point;
    const point = desk.point ? `valence ${desk.point[0].toFixed(1)}, arousal ${desk.point[1].toFixed(1)}` : "not placed yet";
    deck.plane.setAttribute("aria-valuenow", (desk.point ?? [5])[0].toFixed(1));
    deck.plane.setAttribute("aria-valuetext", desk.point ? point : "not placed yet: an arrow key starts from the middle");
    const moments = desk.live ? desk.live.valence.length : 0;
    const doing = deck.isPlaying() ? "Recording" : "Recording, paused";
    const waits = everyWaiting().length ? " · saving …" : "";
    setText(parts.state, isLive ? `${doing} · ${point} · ${moments} moments` : `Your point: ${point}${waits}`);
  }

  function say(text) {
    setText(parts.said, text);
  }

  function place(valence, arousal) {
    clock(deck.time(), deck.isPlaying()); // up to now the point was where it was
    desk.point = [clamp(valence, 1, 9), clamp(arousal, 1, 9)];
    deck.moved();
  }

  function draw(canvas, theme) {
    if (!about || !desk.point) return;
    const layout = deck.planeLayout();
    const context = canvas.getContext("2d");
    const [x, y] = [layout.x(desk.point[0]), layout.y(desk.point[1])];
    const { left, top, side } = layout;
    stroke(context, [[left, y], [left + side, y]], theme.muted, 1, [2, 3]);
    stroke(context, [[x, top], [x, top + side]], theme.muted, 1, [2, 3]);
    dot(context, x, y, 9, { fill: desk.live ? theme.record : theme.primary, ring: theme.background });
    const atRight = x < left + side * 0.7;
    write(context, theme, "you", x + (atRight ? 14 : -14), y - 12, { align: atRight ? "left" : "right", colour: theme.text, halo: theme.panel, weight: 600 });
  }

  function drawTrace(canvas, layout, theme) {
    if (!about || !desk.live) return;
    const context = canvas.getContext("2d");
    for (const name of ["valence", "arousal"]) {
      const points = desk.live.times_s.map((time, i) => [layout.x(time), layout.curveY(desk.live[name][i])]);
      if (points.length > 1) stroke(context, points, theme[name], 2.2);
      else if (points.length) dot(context, ...points[0], 2.5, { fill: theme[name] });
    }
  }

  function listen() {
    const on = (target, kind, handler) => target.addEventListener(kind, handler, { signal });
    let dragging = false;
    const move = (event) => {
      const box = deck.plane.getBoundingClientRect();
      const { left, top, side } = deck.planeLayout();
      place(1 + ((event.clientX - box.left - left) / side) * 8, 9 - ((event.clientY - box.top - top) / side) * 8);
    };
    on(deck.plane, "pointerdown", (event) => {
      if (!about || event.button || !deck.planeLayout()) return;
      dragging = true;
      deck.plane.setPointerCapture(event.pointerId);
      move(event);
    });
    on(deck.plane, "pointermove", (event) => dragging && about && move(event));
    for (const kind of ["pointerup", "pointercancel"]) on(deck.plane, kind, () => (dragging = false));
    on(deck.plane, "keydown", (event) => {
      const [right, up] = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key] ?? [0, 0];
      if (!about || !(right || up) || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      event.stopPropagation(); // elsewhere on the player they move in time
      const step = event.shiftKey ? LEAP : STEP;
      const [valence, arousal] = desk.point ?? [5, 5];
      place(valence + right * step, arousal + up * step);
    });
    on(parts.record, "click", () => {
      if (!desk.live) start();
      else {
        finish("Recording stopped and kept.");
        deck.pause();
      }
    });
    on(parts.keep, "click", keep);
    on(window, "pagehide", () => about && sendNow());
    on(document, "visibilitychange", leap);
    signal.addEventListener("abort", () => clearTimeout(timer));
  }

  listen();
  return { update, clock, leap, rested, draw, drawTrace, isOn: () => Boolean(about), isLive: () => Boolean(about && desk.live) };
}
