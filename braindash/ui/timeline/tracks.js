// How the tracks are drawn. Every function takes a pen: a 2-d context, a box in it, x(seconds) and the page's colours.

const SMALL = 12; // px of text

const clock = (seconds, digits = 0) => {
  const s = Math.max(0, seconds);
  const minutes = Math.floor(s / 60 + 1e-9);
  return `${minutes}:${(s - 60 * minutes).toFixed(digits).padStart(digits ? 3 + digits : 2, "0")}`;
};
const signed = (value, digits) => (value > 0 ? "+" : "") + value.toFixed(digits).replace("-", "−");
const plainNumber = (value, digits) => (Object.is(value, -0) ? 0 : value).toFixed(digits).replace("-", "−");

function parts(colour) {
  const canvas = (parts.canvas ??= Object.assign(document.createElement("canvas"), { width: 1, height: 1 }));
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.fillStyle = "#888";
  context.fillStyle = colour || "#888";
  context.clearRect(0, 0, 1, 1);
  context.fillRect(0, 0, 1, 1);
  return [...context.getImageData(0, 0, 1, 1).data.slice(0, 3)];
}

const mixed = (a, b, share) => a.map((v, i) => Math.round(v + (b[i] - v) * share));
const css = (rgb, alpha = 1) => `rgba(${rgb.join(",")},${alpha})`;

function look(root) {
  const style = getComputedStyle(root);
  const named = (name, otherwise) => parts(style.getPropertyValue(name).trim() || otherwise);
  const page = named("--st-background-color", "#ffffff");
  const text = named("--st-text-color", "#1f2328");
  return {
    page,
    text,
    dark: page[0] + page[1] + page[2] < 384,
    primary: named("--st-primary-color", "#0f6e84"),
    muted: mixed(page, text, 0.68),
    grid: mixed(page, text, 0.14),
    font: style.getPropertyValue("--st-font").trim() || "sans-serif",
  };
}

const lineColour = (line, colours) => (colours.dark ? line.dark : line.light);

// steps of 1, 2 or 5 that leave about `most` ticks
function ticks(low, high, most) {
  const raw = (high - low) / Math.max(1, most);
  const size = 10 ** Math.floor(Math.log10(raw));
  const step = size * ([1, 2, 5, 10].find((k) => k * size >= raw) ?? 10);
  const out = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + 1e-9 * step; i++) out.push(i * step);
  return { at: out, digits: Math.max(0, -Math.floor(Math.log10(step) + 1e-9)) };
}

function timeSteps(from, to, pixels) {
  const raw = (to - from) / Math.max(2, pixels / 90);
  const step = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300].find((s) => s >= raw) ?? 600;
  const out = [];
  for (let i = Math.ceil(from / step - 1e-9); i * step <= to; i++) out.push(i * step);
  return { at: out, digits: step < 1 ? 1 : 0 };
}

function title(pen, text) {
  const { context: c, box, colours } = pen;
  c.font = `${SMALL}px ${colours.font}`;
  c.textAlign = "left";
  c.textBaseline = "top";
  const wide = c.measureText(text).width;
  c.fillStyle = css(colours.page, 0.82);
  c.fillRect(box.x + 2, box.y + 2, wide + 8, SMALL + 5);
  c.fillStyle = css(colours.muted);
  c.fillText(text, box.x + 6, box.y + 4);
}

function drawAxis(pen) {
  const { context: c, box, x, view, colours } = pen;
  const { at, digits } = timeSteps(view.from, view.to, box.width);
  c.font = `${SMALL}px ${colours.font}`;
  c.textBaseline = "middle";
  c.textAlign = "center";
  for (const t of at) {
    c.fillStyle = css(colours.grid);
    c.fillRect(Math.round(x(t)), box.y + box.height - 6, 1, 6);
    c.fillStyle = css(colours.muted);
    const half = c.measureText(clock(t, digits)).width / 2;
    if (x(t) + half < box.x + box.width && x(t) - half > box.x - 4) c.fillText(clock(t, digits), x(t), box.y + box.height / 2 - 2);
  }
}

function drawOutline(pen, sound) {
  const { context: c, box, view, colours } = pen;
  const [n, middle, scale] = [sound.columns, box.y + box.height / 2, box.height / 2 / 128];
  const perSecond = n / sound.duration;
  c.fillStyle = css(colours.muted);
  for (let px = 0; px < box.width; px++) {
    const first = Math.floor((view.from + (px / box.width) * (view.to - view.from)) * perSecond);
    const last = Math.max(first, Math.floor((view.from + ((px + 1) / box.width) * (view.to - view.from)) * perSecond) - 1);
    let [low, high] = [0, 0];
    for (let i = Math.max(0, first); i <= Math.min(last, n - 1); i++) {
      low = Math.min(low, sound.wave[i]);
      high = Math.max(high, sound.wave[n + i]);
    }
    c.fillRect(box.x + px, middle - high * scale, 1, Math.max(1, (high - low) * scale));
  }
}

function paintedSpectrum(sound, colours) {
  const { columns: n, mels } = sound;
  const canvas = Object.assign(document.createElement("canvas"), { width: n, height: mels });
  const context = canvas.getContext("2d");
  const image = context.createImageData(n, mels);
  const out = new Uint32Array(image.data.buffer);
  const table = new Uint32Array(256);
  for (let k = 0; k < 256; k++) {
    const [r, g, b] = mixed(colours.page, colours.text, Math.min(1, Math.max(0, (k - 70) / 170)) * 0.95);
    table[k] = (255 << 24) | (b << 16) | (g << 8) | r;
  }
  for (let band = 0; band < mels; band++)
    for (let i = 0; i < n; i++) out[(mels - 1 - band) * n + i] = table[sound.spectrum[band * n + i]];
  context.putImageData(image, 0, 0);
  return canvas;
}

function drawSpectrum(pen, sound, picture) {
  const { context: c, box, view, colours } = pen;
  const per = sound.columns / sound.duration;
  const [from, to] = [Math.max(0, view.from), Math.min(sound.duration, view.to)];
  c.imageSmoothingEnabled = true;
  c.drawImage(picture, from * per, 0, (to - from) * per, sound.mels, pen.x(from), box.y, pen.x(to) - pen.x(from), box.height);
  c.font = `${SMALL}px ${colours.font}`;
  c.textAlign = "right";
  c.textBaseline = "middle";
  c.fillStyle = css(colours.muted);
  for (const [height, hz] of sound.ticks) {
    if (hz !== 100 && hz !== 1000 && hz !== 4000) continue;
    const y = box.y + box.height * (1 - height);
    c.fillRect(box.x - 5, Math.round(y), 5, 1);
    c.fillText(hz >= 1000 ? `${hz / 1000} kHz` : `${hz} Hz`, box.x - 8, Math.min(Math.max(y, box.y + 6), box.y + box.height - 6));
  }
}

// words in three rows, so that neighbours do not meet; those without room are ticks
function drawWords(pen, words, rows) {
  const { context: c, box, x, view, colours } = pen;
  const ends = new Array(rows).fill(-Infinity);
  const height = box.height / rows;
  c.textAlign = "left";
  c.textBaseline = "middle";
  const places = [];
  const seen = words.reduce((n, [, on, off]) => n + (off >= view.from && on <= view.to), 0);
  if (seen > (rows * box.width) / 16) {
    // a few of many would read as if they followed one another
    c.font = `${SMALL}px ${colours.font}`;
    c.fillStyle = css(colours.muted);
    c.fillText(`${seen} words here: zoom in to read them`, box.x + 6, box.y + box.height / 2);
    return places;
  }
  for (let i = 0; i < words.length; i++) {
    const [text, on, off] = words[i];
    if (off < view.from || on > view.to) continue;
    c.font = `${SMALL + 1}px ${colours.font}`;
    const [left, wide] = [x(on), c.measureText(text).width];
    const row = ends.findIndex((end) => end + 5 < left);
    c.fillStyle = css(colours.grid);
    c.fillRect(left, box.y, 1, 3);
    if (row < 0 || left < box.x - wide) continue;
    ends[row] = left + wide;
    const y = box.y + 3 + height * (row + 0.5);
    places.push({ i, x: left, y: box.y + 3 + height * row, wide, height });
    c.fillStyle = css(colours.text);
    c.fillText(text, left, y);
  }
  return places;
}

function drawMoments(pen, moments, chosen, colour, numbered = true) {
  const { context: c, box, x, colours } = pen;
  c.font = `600 ${SMALL}px ${colours.font}`;
  c.textAlign = "center";
  c.textBaseline = "middle";
  moments.forEach((m, i) => {
    const [left, right] = [x(m.start), x(m.end)];
    if (right < box.x || left > box.x + box.width) return;
    c.fillStyle = css(parts(colour), i === chosen ? 0.95 : 0.3);
    c.fillRect(left + 1, box.y + 3, Math.max(3, right - left - 2), box.height - 6);
    const [seen, last] = [Math.max(left, box.x), Math.min(right, box.x + box.width)];
    if (!numbered || last - seen < 12) return;
    c.fillStyle = css(i === chosen ? [0, 0, 0] : colours.text);
    c.fillText(String(i + 1), (seen + last) / 2, box.y + box.height / 2);
  });
}

// first and last row in view, and how many make up one pixel or more
function inView(pen, rows, lag) {
  const { box, view } = pen;
  if (rows.n <= 4 * box.width) return { first: 0, last: rows.n - 1, every: 1 };
  const step = rows.n > 1 ? rows.times[1] - rows.times[0] : 1;
  const at = (t) => Math.round((t + lag - rows.times[0]) / step);
  const first = Math.max(0, at(view.from) - 2);
  const last = Math.min(rows.n - 1, at(view.to) + 2);
  return { first, last, every: Math.max(1, Math.floor((last - first) / (2 * box.width))) };
}

// where which model is nearer to what was measured
function drawShading(pen, rows, width, lag, limit, [before, after]) {
  const { context: c, box, x, colours } = pen;
  const tints = [before, after].map((line) => parts(lineColour(line, colours)));
  const { first, last, every } = inView(pen, rows, lag);
  for (let i = first; i <= last; i += every) {
    const gain = rows.gain[i];
    const share = Math.min(1, Math.abs(gain) / limit);
    if (!(share > 0.02)) continue;
    // whole pixels: neighbours neither overlap nor leave a gap
    const left = Math.round(x(rows.times[i] - lag - width / 2));
    const right = Math.round(x(rows.times[i] - lag + (every - 0.5) * width));
    if (right <= left) continue;
    c.fillStyle = css(tints[gain > 0 ? 1 : 0], 0.42 * share);
    c.fillRect(left, box.y, right - left, box.height);
  }
}

function drawCurves(pen, rows, curves, lag, range) {
  const { context: c, box, x, colours } = pen;
  const y = (v) => box.y + box.height * (1 - (v - range[0]) / (range[1] - range[0]));
  const { at, digits } = ticks(range[0], range[1], box.height / 32);
  c.font = `${SMALL}px ${colours.font}`;
  c.textAlign = "right";
  c.textBaseline = "middle";
  for (const v of at) {
    c.fillStyle = css(mixed(colours.page, colours.text, Math.abs(v) < 1e-9 ? 0.45 : 0.14));
    c.fillRect(box.x, Math.round(y(v)), box.width, 1);
    c.fillStyle = css(colours.muted);
    c.fillText(plainNumber(v, digits), box.x - 8, Math.min(Math.max(y(v), box.y + 6), box.y + box.height - 6));
  }
  const { first, last, every } = inView(pen, rows, lag);
  for (const curve of curves) {
    c.beginPath();
    let begun = false;
    const to = (i) => {
      if (!Number.isFinite(curve.values[i])) return;
      c[begun ? "lineTo" : "moveTo"](x(rows.times[i] - lag), y(curve.values[i]));
      begun = true;
    };
    for (let i = first; i <= last; i += every) {
      // of rows that share a pixel the least and the greatest, in their order: peaks stay
      let [low, high] = [i, i];
      for (let k = i + 1; k < Math.min(i + every, last + 1); k++) {
        if (curve.values[k] < curve.values[low]) low = k;
        if (curve.values[k] > curve.values[high]) high = k;
      }
      to(Math.min(low, high));
      if (low !== high) to(Math.max(low, high));
    }
    c.lineWidth = curve.width;
    c.strokeStyle = curve.colour;
    c.setLineDash(curve.dash);
    c.lineJoin = "round";
    c.stroke();
  }
  c.setLineDash([]);
}
