// The deck itself: one <audio>, one clock, input, and when to draw what. The panels are drawn by the files before this.
//
// Streamlit calls the default export again on every new payload and theme. The audio is replaced only when its hash
// changes; a deck that is mounted again within moments takes the audio that is still playing.

const decks = new WeakMap(); // parent element -> deck
const playing = new Set(); // decks that sound now: at most one
const parked = new Map(); // audio hash -> audio of a deck that was just removed
const positions = new Map(); // audio hash -> seconds, where it was left
const PARKED_MS = 400;
const STEP_SECONDS = 1;
const LEAP_SECONDS = 5;

export default function (component) {
  const { parentElement, data: [data], setStateValue } = component;
  const root = parentElement.querySelector(".deck");
  let deck = decks.get(parentElement);
  if (!deck || deck.root !== root) {
    deck?.destroy();
    deck = makeDeck(root);
    decks.set(parentElement, deck);
  }
  deck.update(data, setStateValue);
  // Streamlit also runs this for a call that a newer one overtook, so look whether the player is really gone.
  return () => setTimeout(() => deck.root.isConnected || deck.destroy(), 0);
}

function makeDeck(root) {
  const find = (selector) => root.querySelector(selector);
  const parts = {
    button: find(".play"), time: find(".time"), title: find(".title"), problem: find(".problem"),
    seek: find(".seek"), readout: find(".readout"), plane: find(".plane"), now: find(".now"),
    timeBase: find(".seek .base"), timeOver: find(".seek .over"),
    planeBase: find(".plane .base"), planeOver: find(".plane .over"),
  };
  const still = window.matchMedia("(prefers-reduced-motion: reduce)");
  const gone = new AbortController();
  let data = null;
  let audio = null;
  let theme = null;
  let layout = null;
  let plane = null;
  let hover = null;
  let frame = 0;
  let spokenSecond = -1;

  // While a listener rates, no model's curve or point may lead them.
  const shown = () => (rating.isLive() ? { ...data, series: [], song: [] } : data);

  function update(payload, setStateValue) {
    if (data?.data_hash !== payload.data_hash) {
      data = { ...decode(payload), audio: null };
      parts.title.textContent = data.title;
      parts.title.title = data.title;
      parts.seek.setAttribute("aria-valuemax", data.seconds.toFixed(1));
      hover = null;
      hideReadout();
    }
    if (audio?.hash !== payload.audio_hash) replaceAudio(payload);
    data.rating = payload.rating ?? null;
    rating.update(data.rating, setStateValue);
    redraw();
  }

  function replaceAudio(payload) {
    if (audio) {
      rating.leap(); // the next clip's clock has nothing to do with this one's
      release(audio, false);
    }
    const waiting = parked.get(payload.audio_hash);
    if (waiting) {
      clearTimeout(waiting.timer);
      parked.delete(payload.audio_hash);
      audio = waiting;
    } else {
      audio = { hash: payload.audio_hash, element: new Audio(payload.audio_url) };
      audio.element.preload = "auto";
      audio.element.currentTime = clamp(positions.get(audio.hash) ?? payload.start, 0, payload.seconds);
    }
    parts.problem.textContent = "";
    audio.element.onplay = started;
    audio.element.onpause = stopped;
    audio.element.onended = stopped;
    audio.element.onseeked = moved;
    audio.element.onerror = () => {
      parts.problem.textContent = "This browser cannot play the clip; its curves can still be read.";
    };
    if (audio.element.paused) stopped();
    else started();
  }

  function started() {
    for (const other of playing) if (other !== deck) other.pause();
    playing.add(deck);
    showState();
    cancelAnimationFrame(frame);
    frame = requestAnimationFrame(tick);
  }

  function stopped() {
    playing.delete(deck);
    cancelAnimationFrame(frame);
    showState();
    moved();
    if (audio.element.paused) rating.rested(audio.element.ended);
  }

  function showState() {
    const isPlaying = !audio.element.paused;
    root.dataset.playing = String(isPlaying);
    parts.button.setAttribute("aria-label", isPlaying ? "Pause" : "Play");
  }

  function tick() {
    moved();
    if (audio && !audio.element.paused) frame = requestAnimationFrame(tick);
  }

  function toggle() {
    if (audio.element.paused) {
      audio.element.play().catch(() => {
        parts.problem.textContent = "The browser did not start the sound; press play again.";
      });
    } else audio.element.pause();
  }

  function seek(time) {
    rating.leap();
    audio.element.currentTime = clamp(time, 0, Math.min(data.seconds, audio.element.duration || data.seconds));
    spokenSecond = -1;
    moved();
  }

  // Draw everything that depends on data, size or theme; then what moves.
  function redraw() {
    if (!data || !root.isConnected) return;
    theme = themeOf(root, data.roles);
    root.style.setProperty("--muted", theme.muted);
    root.style.setProperty("--record", theme.record);
    const width = Math.floor(parts.seek.clientWidth);
    if (width < 200) return; // not laid out yet: the resize observer calls again
    layout = timeLayout(width, data, theme);
    parts.timeBase.style.height = `${layout.height}px`;
    root.dataset.plot = `${layout.left},${layout.right}`;
    drawTimeBase(parts.timeBase, layout, shown(), theme);
    plane = planeLayout(Math.floor(parts.plane.clientWidth));
    parts.planeBase.style.height = `${plane.height}px`;
    drawPlaneBase(parts.planeBase, plane, shown(), theme);
    buildTable(parts.now, shown(), theme);
    spokenSecond = -1;
    moved();
  }

  function moved() {
    if (!layout || !audio) return;
    const time = clamp(audio.element.currentTime, 0, data.seconds);
    rating.clock(time, !audio.element.paused);
    drawTimeOver(parts.timeOver, layout, shown(), theme, time, hover);
    drawPlaneOver(parts.planeOver, plane, shown(), theme, time, !still.matches);
    rating.drawTrace(parts.timeOver, layout, theme);
    rating.draw(parts.planeOver, theme);
    const now = data.series.length ? pointAt(data.series[0], time) : [NaN, NaN];
    root.dataset.time = time.toFixed(3);
    root.dataset.point = isPoint(now) ? now.map((value) => value.toFixed(3)).join() : "";
    setText(parts.time, `${clock(time)} / ${clock(data.seconds)}`);
    updateTable(parts.now, shown(), time);
    if (Math.floor(time) !== spokenSecond) speak(time, now);
  }

  function speak(time, now) {
    spokenSecond = Math.floor(time);
    const where = `${clock(time)} of ${clock(data.seconds)}`;
    const point = isPoint(now) ? `valence ${now[0].toFixed(1)}, arousal ${now[1].toFixed(1)}` : "no valence and arousal here";
    const heard = topInstrument(time);
    parts.seek.setAttribute("aria-valuenow", time.toFixed(1));
    parts.seek.setAttribute("aria-valuetext", [where, data.series.length && point, heard].filter(Boolean).join(", "));
    if (!rating.isOn()) parts.plane.setAttribute("aria-label", `Valence–arousal plane, 1 to 9: ${data.series.length ? point : whyEmpty(data, "emotion")}`);
  }

  const topInstrument = (time) => (data.strip ? heardAt(data.strip, time) : "");

  function showReadout(x, y) {
    hover = layout.time(x);
    const lines = [clock(hover)];
    data.series.forEach((one) => {
      const [valence, arousal] = pointAt(one, hover).map(number);
      lines.push(`V ${valence}  A ${arousal}${data.series.length > 1 ? `  ${one.name}` : ""}`);
    });
    const heard = topInstrument(hover);
    if (heard) lines.push(heard);
    parts.readout.replaceChildren(...lines.map((line) => Object.assign(document.createElement("div"), { textContent: line })));
    parts.readout.hidden = false;
    const { offsetWidth: wide, offsetHeight: high } = parts.readout;
    const left = x + 14 + wide > layout.width ? x - 14 - wide : x + 14;
    parts.readout.style.left = `${clamp(left, 0, layout.width - wide)}px`;
    parts.readout.style.top = `${clamp(y - high / 2, 0, layout.height - high)}px`;
    moved();
  }

  function hideReadout() {
    parts.readout.hidden = true;
  }

  function listen() {
    const on = (target, kind, handler) => target.addEventListener(kind, handler, { signal: gone.signal });
    const within = (event) => {
      const box = parts.seek.getBoundingClientRect();
      return [event.clientX - box.left, event.clientY - box.top];
    };
    let dragging = false;
    on(parts.button, "click", toggle);
    on(root, "keydown", key);
    on(document, "keydown", (event) => {
      // A page just opened has the focus nowhere: the keys it promises belong to its player then.
      if (document.activeElement === document.body && root.isConnected) key(event);
    });
    on(parts.seek, "pointerdown", (event) => {
      const [x] = within(event);
      if (event.button || !layout || x < layout.left - 6 || x > layout.right + 6) return;
      dragging = true;
      parts.seek.setPointerCapture(event.pointerId);
      seek(layout.time(x));
    });
    on(parts.seek, "pointermove", (event) => {
      if (!layout) return;
      const [x, y] = within(event);
      if (dragging) seek(layout.time(x));
      if (dragging || (x >= layout.left && x <= layout.right && y < layout.bottom)) showReadout(x, y);
      else leave();
    });
    const leave = () => {
      if (hover === null) return;
      hover = null;
      hideReadout();
      moved();
    };
    for (const kind of ["pointerup", "pointercancel"]) on(parts.seek, kind, () => (dragging = false));
    on(parts.seek, "pointerleave", leave);
    on(still, "change", () => moved());
    const sizes = new ResizeObserver(redraw); // also fires when zoom changes the pixel ratio
    sizes.observe(parts.seek);
    sizes.observe(parts.plane);
    gone.signal.addEventListener("abort", () => sizes.disconnect());
  }

  function key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const step = event.shiftKey ? LEAP_SECONDS : STEP_SECONDS;
    const actions = {
      " ": toggle,
      ArrowRight: () => seek(audio.element.currentTime + step),
      ArrowLeft: () => seek(audio.element.currentTime - step),
      Home: () => seek(0),
      End: () => seek(data.seconds),
    };
    const action = actions[event.key];
    if (!action || (event.key === " " && (event.target.closest("button") || event.repeat))) return; // a button answers space itself
    event.preventDefault();
    event.stopPropagation();
    action();
  }

  function destroy() {
    gone.abort();
    cancelAnimationFrame(frame);
    playing.delete(deck);
    if (audio) release(audio, true);
    audio = null;
  }

  const deck = {
    root, update, destroy, plane: parts.plane,
    planeLayout: () => plane, time: () => audio?.element.currentTime ?? 0, isPlaying: () => Boolean(audio && !audio.element.paused),
    play: () => audio.element.paused && toggle(), pause: () => audio?.element.pause(), redraw, moved,
  };
  const rating = makeRating(deck, gone.signal);
  listen();
  return deck;
}

// Let go of an audio: remember where it was, and keep it a moment where the same clip may be mounted again.
function release(audio, mayComeBack) {
  const { element, hash } = audio;
  for (const handler of ["onplay", "onpause", "onended", "onseeked", "onerror"]) element[handler] = null;
  const finish = () => {
    positions.set(hash, element.ended ? 0 : element.currentTime);
    element.pause();
    if (parked.get(hash) === audio) parked.delete(hash);
  };
  positions.set(hash, element.currentTime);
  if (!mayComeBack) finish();
  else {
    parked.set(hash, audio);
    audio.timer = setTimeout(finish, PARKED_MS);
  }
}
