// A story as a timeline: sound, spectrum, words, responses, under one axis and one cursor that moves with the sound.
// Nothing is asked of the server while it plays; the second is told when it stops, so that a link can hold it.

const kept = new Map(); // by address
const MOST_KEPT = 24;
const SHOWN = 40; // seconds seen at first, on a page that is wide enough for their words
const PER_SECOND = 26; // px that words of a second take
const LEAST = 2; // seconds, zoomed in
const TOLD_AFTER = 150; // ms without another move before the server is told: a drag or a held key tells it once

function fetched(address, decode) {
  if (kept.has(address)) return kept.get(address);
  const found = (async () => {
    const answer = await fetch(new URL(address.replace(/^\//, ""), document.baseURI));
    if (!answer.ok) throw new Error(`${answer.status} for ${address}`);
    const plain = answer.body.pipeThrough(new DecompressionStream("deflate"));
    return decode(await new Response(plain).arrayBuffer());
  })();
  kept.set(address, found);
  found.catch(() => kept.delete(address));
  while (kept.size > MOST_KEPT) kept.delete(kept.keys().next().value);
  return found;
}

class Timeline {
  constructor(root) {
    this.root = root;
    root.className = "timeline";
    this.player = new Player(() => this.moved(), (text) => this.say(text));
    this.view = { from: 0, to: SHOWN };
    this.chosen = -1;
    this.build();
    new ResizeObserver(() => this.draw()).observe(this.stage);
  }

  build() {
    const bar = element("div", "bar");
    this.playButton = button("Play", "Space", () => this.toggle());
    this.playButton.classList.add("main");
    this.allButton = button("Play the moments", "One after the other, the greatest gain first", () => {
      [this.acted, this.chosen] = [true, 0];
      this.player.play(...this.data.moments.map((m) => [m.start, m.end]));
      this.follow(true);
    });
    this.clock = element("span", "time", "");
    const zoom = (factor) => () => this.zoom(factor, this.player.time);
    this.wholeButton = button("Whole story", "Key: F", () => this.look(0, this.duration));
    bar.append(this.playButton, this.allButton, this.clock, element("span", "space"));
    const near = button("Zoom in", "Key: +", zoom(0.5));
    const far = button("Zoom out", "Key: −", zoom(2));
    bar.append(near, far, this.wholeButton);
    this.said = new Said();
    this.legend = element("div");
    this.overview = element("canvas", "overview");
    this.overview.setAttribute("aria-hidden", "true"); // the same as the timeline's own keys
    this.stage = element("div", "stage");
    this.below = element("canvas", "below");
    this.above = element("canvas", "above");
    this.above.tabIndex = 0;
    this.above.setAttribute("role", "slider");
    this.stage.append(this.below, this.above);
    this.tip = element("div", "tip");
    this.tip.hidden = true;
    this.message = element("p", "failed");
    this.message.setAttribute("role", "status");
    this.message.hidden = true;
    const hint = element(
      "p", "hint",
      "Click: go there. Drag: move along. Keys: Space plays, ← → 1 s (with Shift 5 s), + − zoom, F whole story, " +
        "N and P next and previous moment. Ctrl and the wheel zoom too.",
    );
    this.list = element("div");
    this.root.append(bar, this.said.box, this.message, this.legend, this.overview, this.stage, hint, this.list, this.tip);
    new Hands(this);
  }

  say(text) {
    this.message.textContent = text;
    this.message.hidden = !text;
  }

  async show(data, send) {
    const turn = (this.turn = (this.turn ?? 0) + 1);
    const first = this.data?.sound.id !== data.sound.id;
    this.send = send;
    const { sound, rows } = data;
    try {
      const bytes = (buffer) => new Int8Array(buffer);
      const [wave, spectrum, words, numbers] = await Promise.all([
        sound.wave ? fetched(sound.wave, bytes) : null,
        sound.spectrum ? fetched(sound.spectrum, (buffer) => new Uint8Array(buffer)) : null,
        sound.words ? fetched(sound.words, (buffer) => JSON.parse(new TextDecoder().decode(buffer))) : null,
        rows ? fetched(rows.address, (buffer) => new Float32Array(buffer)) : null,
      ]);
      if (turn !== this.turn) return; // another view was asked for meanwhile
      const n = rows ? rows.n : 0;
      const column = (i) => numbers.subarray(i * n, (i + 1) * n);
      Object.assign(this, {
        data,
        duration: sound.duration,
        sound: { ...sound, wave, spectrum },
        words,
        rows: rows && readRows(rows, column),
      });
      this.say("");
    } catch (error) {
      if (turn === this.turn) this.say(`The timeline could not be drawn (${error.message}). Reload the page.`);
      return;
    }
    this.colours = look(this.root);
    this.picture = null; // the theme may have changed
    if (first) {
      [this.acted, this.told] = [false, undefined];
      this.chosen = data.moments.findIndex((m) => data.at >= m.start - 0.05 && data.at < m.end);
      this.player.stop();
      this.player.duration = this.duration;
      this.player.at = Math.min(Math.max(data.at, 0), this.duration);
      const shown = Math.min(SHOWN, Math.max(10, this.stage.clientWidth / PER_SECOND));
      this.look(this.player.at - shown / 4, this.player.at + (3 * shown) / 4);
    } else if (this.chosen >= data.moments.length) this.chosen = -1;
    this.player.load(sound.audio, sound.kind, this.duration).catch((error) => this.say(`The sound could not be read (${error.message}).`));
    this.above.setAttribute("aria-label", data.alt);
    this.above.setAttribute("aria-valuemin", "0");
    this.above.setAttribute("aria-valuemax", this.duration.toFixed(1));
    this.tell();
    this.draw();
    this.moved();
    this.root.dataset.story = sound.id;
  }

  tell() {
    const { colours } = this;
    this.legend.replaceChildren(...(this.rows ? [legend(this.rows.lines, colours, css(colours.text))] : []));
    const { moments } = this.data;
    this.table = moments.length
      ? momentTable(moments, this.data.digits, Boolean(this.words), moments.some((m) => m.regions), Boolean(this.sound.audio), (i) => this.jump(i))
      : null;
    this.list.replaceChildren(...(this.table ? [this.table] : []));
    const silent = !this.sound.audio;
    this.playButton.disabled = silent;
    this.allButton.hidden = silent || !moments.length;
  }

  // --- time ------------------------------------------------------------------------------------

  toggle() {
    this.acted = true;
    if (this.player.playing) this.player.stop();
    else {
      this.player.play();
      this.follow(true);
    }
  }

  jump(i) {
    const m = this.data.moments[i];
    if (!m) return;
    [this.acted, this.chosen] = [true, i];
    if (this.sound.audio) this.player.play([m.start, m.end]);
    else this.player.seek(m.start);
    this.follow(true);
    this.draw();
    this.moved();
  }

  go(seconds) {
    const marked = this.chosen >= 0;
    [this.acted, this.chosen] = [true, -1];
    this.player.seek(seconds);
    this.follow(false);
    if (marked) this.draw();
  }

  // playing or not, or another place: the button, the frames, and what the server is told
  moved() {
    if (!this.data || !this.root.isConnected) return;
    const { playing } = this.player;
    this.playButton.textContent = playing ? "Pause" : "Play";
    this.root.dataset.playing = String(playing);
    this.frame();
    if (playing && !this.running) this.run();
    clearTimeout(this.later);
    // of a moment the beginning is told: a link opens where it can be heard
    const at = this.data.moments[this.chosen]?.start ?? this.player.time;
    if (!playing && this.acted && !(Math.abs(this.told - at) < 0.05))
      this.later = setTimeout(() => this.send((this.told = at)), TOLD_AFTER);
  }

  run() {
    this.running = true;
    const step = () => {
      if (!this.root.isConnected) this.player.stop(); // the reader has gone to another page
      this.player.watch();
      this.frame();
      this.running = this.player.playing;
      if (this.running) requestAnimationFrame(step);
    };
    requestAnimationFrame(step);
  }

  // what changes with the cursor
  frame() {
    const { time } = this.player;
    const { moments } = this.data;
    if (this.player.playing) {
      if (this.player.until !== null) {
        const at = moments.findIndex((m) => Math.abs(m.end - this.player.until) < 0.01);
        if (at >= 0 && at !== this.chosen) {
          this.chosen = at;
          this.draw();
        }
      }
      this.follow(false);
    }
    const spoken = this.words ? this.words.findIndex(([, on, off]) => time >= on && time < off) : -1;
    const next = this.words && spoken < 0 ? this.words.findIndex(([, on]) => on > time) : 0;
    this.said.show(this.words, spoken, next < 0 ? Infinity : next);
    this.clock.textContent = `${clock(time, 1)} / ${clock(this.duration)}`;
    this.root.dataset.time = time.toFixed(3);
    this.above.setAttribute("aria-valuenow", time.toFixed(1));
    const word = spoken >= 0 ? `, ${this.words[spoken][0]}` : "";
    this.above.setAttribute("aria-valuetext", `${clock(time, 1)}${this.player.playing ? "" : word}`);
    [...(this.table?.tBodies[0].rows ?? [])].forEach((row, i) => row.classList.toggle("chosen", i === this.chosen));
    this.mark(time, spoken);
  }

  // --- view ------------------------------------------------------------------------------------

  look(from, to) {
    const span = Math.min(Math.max(to - from, LEAST), this.duration);
    const start = Math.min(Math.max(from, 0), this.duration - span);
    this.view = { from: start, to: start + span };
    this.draw();
  }

  zoom(factor, around) {
    const span = Math.min(Math.max((this.view.to - this.view.from) * factor, LEAST), this.duration);
    const share = Math.min(Math.max((around - this.view.from) / (this.view.to - this.view.from), 0), 1);
    this.look(around - share * span, around + (1 - share) * span);
  }

  // keep the cursor in view
  follow(jumped) {
    const { from, to } = this.view;
    const { time } = this.player;
    const span = to - from;
    const late = time > from + (jumped ? 0.7 : 0.92) * span && to < this.duration - 0.01;
    if (time < from || time > to || late) this.look(time - 0.15 * span, time + 0.85 * span);
  }

  boxes() {
    const width = this.stage.clientWidth;
    const left = width < 640 ? 48 : 60;
    const heights = { axis: 24, wave: 52, spectrum: 84, words: 62, moments: 26, curves: 200, residuals: 120 };
    if (!this.sound.wave) heights.wave = heights.spectrum = 0;
    if (!this.words) heights.words = 0;
    if (!this.data.moments.length) heights.moments = 0;
    if (!this.rows) heights.curves = heights.residuals = 0;
    else if (!this.data.residuals) heights.residuals = 0;
    let y = 0;
    const out = {};
    for (const [name, height] of Object.entries(heights)) {
      if (!height) continue;
      out[name] = { x: left, y, width: width - left - 2, height };
      y += height + 6;
    }
    return { tracks: out, width, height: y };
  }

  pen(canvas, width, height) {
    const ratio = window.devicePixelRatio || 1;
    const [w, h] = [Math.round(width * ratio), Math.round(height * ratio)];
    if (canvas.width !== w || canvas.height !== h) {
      [canvas.width, canvas.height] = [w, h];
      canvas.style.height = `${height}px`;
    }
    const context = canvas.getContext("2d");
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    return context;
  }

  x(box) {
    const { from, to } = this.view;
    return (t) => box.x + ((t - from) / (to - from)) * box.width;
  }

  draw() {
    if (!this.data || !this.stage.clientWidth) return;
    const { tracks, width, height } = (this.room = this.boxes());
    const context = this.pen(this.below, width, height);
    const { colours, view, rows, sound, data } = this;
    const within = (name, text, paint) => {
      const box = tracks[name];
      if (!box) return;
      const pen = { context, box, x: this.x(box), view, colours };
      context.save();
      context.beginPath();
      context.rect(0, box.y - 1, width, box.height + 2);
      context.clip();
      paint(pen);
      context.restore();
      // the gutter holds scales; what is drawn does not run into it
      if (text) title(pen, text);
    };
    const inside = (pen, paint) => {
      pen.context.save();
      pen.context.beginPath();
      pen.context.rect(pen.box.x, pen.box.y, pen.box.width, pen.box.height);
      pen.context.clip();
      paint();
      pen.context.restore();
    };
    within("axis", "", (pen) => drawAxis(pen));
    within("wave", "", (pen) => drawOutline(pen, sound));
    within("spectrum", "", (pen) => drawSpectrum(pen, sound, (this.picture ??= paintedSpectrum(sound, colours))));
    within("words", "", (pen) => inside(pen, () => (this.places = drawWords(pen, this.words, 3))));
    if (rows) {
      const lag = data.shift ? rows.lag : 0;
      const after = lineColour(rows.lines[1], colours);
      within("moments", "", (pen) => inside(pen, () => drawMoments(pen, data.moments, this.chosen, after)));
      const coloured = (curve) => ({ ...curve, colour: curve.light ? lineColour(curve, colours) : css(colours.text) });
      const curves = (curves, range) => (pen) => {
        inside(pen, () => drawShading(pen, rows, rows.tr, lag, data.limit, rows.lines));
        drawCurves(pen, rows, [], lag, range); // the scale
        inside(pen, () => drawCurves(pen, rows, curves.map(coloured), lag, range));
      };
      within("curves", data.labels.response, curves(rows.curves, rows.range));
      within("residuals", data.labels.residual, curves(rows.residuals, rows.residualRange));
    }
    this.root.dataset.drawn = String(Number(this.root.dataset.drawn ?? 0) + 1);
    this.frame();
  }

  // the cursor, the word that is said, and the whole story above
  mark(time, spoken) {
    if (!this.room) return;
    const { tracks, width, height } = this.room;
    const context = this.pen(this.above, width, height);
    const { colours } = this;
    const box = { ...tracks.axis, height };
    const at = this.x(box)(time);
    const place = this.places?.find((p) => p.i === spoken);
    if (place && tracks.words) {
      context.fillStyle = css(colours.primary);
      context.fillRect(place.x - 3, place.y + 1, place.wide + 6, place.height - 2);
      context.fillStyle = "#fff";
      context.font = `${SMALL + 1}px ${colours.font}`;
      context.textBaseline = "middle";
      context.fillText(this.words[spoken][0], place.x, place.y + place.height / 2);
    }
    if (at >= box.x - 1 && at <= box.x + box.width + 1) {
      context.fillStyle = css(colours.primary);
      context.fillRect(at - 1, 0, 2, height);
      context.beginPath();
      context.moveTo(at - 6, 0);
      context.lineTo(at + 6, 0);
      context.lineTo(at, 9);
      context.fill();
    }
    this.drawOverview(time);
  }

  drawOverview(time) {
    const width = this.stage.clientWidth;
    if (!width) return; // the page is being left
    const height = 40;
    const left = this.room.tracks.axis.x;
    const context = this.pen(this.overview, width, height);
    const box = { x: left, y: 2, width: width - left - 2, height: height - 4 };
    const { colours, sound, duration, data } = this;
    const whole = { from: 0, to: duration };
    const x = (t) => box.x + (t / duration) * box.width;
    context.fillStyle = css(colours.text, 0.05);
    context.fillRect(box.x, box.y, box.width, box.height);
    if (sound.wave) {
      const key = `${width} ${sound.id} ${colours.dark} ${window.devicePixelRatio}`;
      if (this.smallKey !== key) {
        this.small = element("canvas");
        drawOutline({ context: this.pen(this.small, width, height), box, x, view: whole, colours }, sound);
        this.smallKey = key;
      }
      context.drawImage(this.small, 0, 0, width, height);
    }
    if (this.rows) drawMoments({ context, box, x, view: whole, colours }, data.moments, this.chosen, lineColour(this.rows.lines[1], colours), false);
    context.strokeStyle = css(colours.primary);
    context.lineWidth = 2;
    context.strokeRect(x(this.view.from) + 1, 1, x(this.view.to) - x(this.view.from) - 2, height - 2);
    context.fillStyle = css(colours.primary);
    context.fillRect(x(time) - 1, 0, 2, height);
  }
}

// the numbers of a view, and what is drawn of them
function readRows(rows, column) {
  const measured = { values: column(1), dash: [], width: 1.6 };
  const lines = rows.lines.map((line, i) => ({ ...line, values: column(3 + i) }));
  const residuals = lines.map((line) => ({ ...line, values: measured.values.map((v, i) => v - line.values[i]) }));
  const curves = [measured, ...lines];
  return {
    ...rows, times: column(0), measured: measured.values, gain: column(2), lines, curves, residuals,
    range: spread(curves), residualRange: spread(residuals),
  };
}

function spread(curves) {
  let [low, high] = [0, 0];
  for (const curve of curves)
    for (const v of curve.values)
      if (Number.isFinite(v)) [low, high] = [Math.min(low, v), Math.max(high, v)];
  const margin = 0.08 * (high - low) || 1;
  return [low - margin, high + 2 * margin]; // room above for the track's title
}

const mounted = new WeakMap();

export default function (component) {
  const { data, parentElement, setTriggerValue } = component;
  let timeline = mounted.get(parentElement);
  if (!timeline) {
    const root = element("div");
    parentElement.append(root);
    timeline = new Timeline(root);
    mounted.set(parentElement, timeline);
  }
  timeline.show(data, (seconds) => setTriggerValue("moment", Math.round(10 * seconds) / 10));
}
