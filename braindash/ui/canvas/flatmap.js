// Flatmaps drawn by look-up: the pixels' targets are fetched once a subject, then one byte a target and map.
// Several maps share one cursor, one scale each, and what is under the cursor is said for all of them.
// The formats are those of braindash/cortex/packing.py.

const OUTSIDE = -1;
const GREY = [150, 205]; // sulcus, gyrus
const kept = (globalThis.__braindashMaps ??= new Map()); // by address, for all maps of the page
const MOST_KEPT = 64;

function fetched(address, decode) {
  if (kept.has(address)) {
    const found = kept.get(address);
    kept.delete(address);
    kept.set(address, found); // the last used stay
    return found;
  }
  const found = (async () => {
    // media is served beside the app's root, wherever that is mounted
    const answer = await fetch(new URL(address.replace(/^\//, ""), document.baseURI));
    if (!answer.ok) throw new Error(`${answer.status} for ${address}`);
    const plain = answer.body.pipeThrough(new DecompressionStream("deflate"));
    return decode(new Uint8Array(await new Response(plain).arrayBuffer()));
  })();
  kept.set(address, found);
  found.catch(() => kept.delete(address));
  while (kept.size > MOST_KEPT) kept.delete(kept.keys().next().value);
  return found;
}

function readIndex(width, height) {
  return (bytes) => {
    const n = width * height;
    const target = new Int32Array(n);
    let at = 0;
    for (let i = 0; i < n; i++) {
      at += bytes[i] | (bytes[n + i] << 8) | (bytes[2 * n + i] << 16) | (bytes[3 * n + i] << 24);
      target[i] = at;
    }
    return { target, gyrus: bytes.subarray(4 * n, 5 * n) };
  };
}

function readImage(address) {
  if (!kept.has(address))
    kept.set(address, new Promise((done, failed) => {
      const image = new Image();
      image.onload = () => done(image);
      image.onerror = () => failed(new Error(`no picture at ${address}`));
      image.src = new URL(address.replace(/^\//, ""), document.baseURI);
    }));
  return kept.get(address);
}

function paint(canvas, index, map, values, nTargets) {
  const { width, height } = canvas;
  const context = canvas.getContext("2d");
  const image = context.createImageData(width, height);
  const out = new Uint32Array(image.data.buffer);
  const colours = map.palette;
  const opacity = values.length > nTargets ? values.subarray(nTargets) : null;
  // one colour a target on a gyrus and one in a sulcus, then pixels only copy
  const table = [new Uint32Array(nTargets + 1), new Uint32Array(nTargets + 1)];
  for (let side = 0; side < 2; side++) {
    const grey = GREY[side];
    table[side][0] = (255 << 24) | (grey << 16) | (grey << 8) | grey;
    for (let t = 0; t < nTargets; t++) {
      const code = values[t];
      const a = code === 0 ? 0 : opacity ? opacity[t] / 255 : 1;
      const rgb = code === 0 ? 0 : colours[code - 1];
      const mix = (shift) => Math.round(a * ((rgb >> shift) & 255) + (1 - a) * grey);
      table[side][t + 1] = (255 << 24) | (mix(0) << 16) | (mix(8) << 8) | mix(16);
    }
  }
  const { target, gyrus } = index;
  for (let i = 0; i < out.length; i++) out[i] = target[i] === OUTSIDE ? 0 : table[gyrus[i]][target[i]];
  context.putImageData(image, 0, 0);
}

const number = (value, digits) => (Object.is(value, -0) ? 0 : value).toFixed(digits).replace("-", "−");

function said(map, code) {
  if (code === 0) return "no value";
  const value = map.low + ((map.high - map.low) * (code - 1)) / 254;
  const text = (map.signed && value > 0 ? "+" : "") + number(value, map.digits);
  return code === 1 ? `≤ ${text}` : code === 255 ? `≥ ${text}` : text;
}

function element(kind, className, text) {
  const made = document.createElement(kind);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text; // text, never HTML: names come from users
  return made;
}

class Maps {
  constructor(root) {
    this.root = root;
    this.tip = element("div", "tip");
    this.tip.hidden = true;
    this.tip.setAttribute("role", "status");
    this.drawn = 0;
  }

  async show(data, chosen) {
    this.data = data;
    this.chosen = chosen;
    const turn = ++this.drawn;
    this.layOut();
    try {
      const [index, regions, above, ...values] = await Promise.all([
        fetched(data.index, readIndex(data.width, data.height)),
        fetched(data.regions, (bytes) => new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.length >> 1)),
        data.overlay ? readImage(data.overlay) : null,
        ...data.maps.map((m) => fetched(m.values, (bytes) => bytes)),
      ]);
      if (turn !== this.drawn) return; // another view was asked for meanwhile
      Object.assign(this, { index, regions, above, values });
      const began = performance.now();
      this.panels.forEach((p, i) => paint(p.below, index, data.maps[i], values[i], data.n));
      this.panels.forEach((p) => this.mark(p, data.selected));
      this.root.dataset.painted = String(data.maps.length);
      this.root.dataset.ms = (performance.now() - began).toFixed(1);
    } catch (error) {
      if (turn !== this.drawn) return;
      this.grid.replaceChildren(element("div", "failed", `The maps could not be drawn (${error.message}). Reload the page.`));
      this.key = null;
    }
  }

  layOut() {
    const { data } = this;
    const key = `${data.width}x${data.height}x${data.maps.length}`;
    if (this.key !== key) {
      this.key = key;
      this.grid = element("div", "maps");
      this.panels = data.maps.map((_, i) => this.panel(i));
      this.grid.append(...this.panels.map((p) => p.frame));
      this.root.replaceChildren(this.grid, this.tip);
    }
    this.grid.style.setProperty("--least", `${data.least}px`);
    this.panels.forEach((p, i) => {
      const map = data.maps[i];
      p.title.textContent = map.title;
      p.bar.style.background = `linear-gradient(to right, ${[0, 32, 64, 96, 127, 159, 191, 222, 254]
        .map((k) => `#${map.palette[k].toString(16).padStart(6, "0")}`).join(",")})`;
      const marks = [map.low, (map.low + map.high) / 2, map.high];
      p.ticks.replaceChildren(...marks.map((v) => element("span", "", number(v, map.digits))));
      p.unit.textContent = map.unit;
      p.over.setAttribute("aria-label", map.alt);
    });
  }

  panel(i) {
    const { data } = this;
    const frame = element("figure", "map");
    frame.style.margin = 0;
    const title = element("h4");
    const stage = element("div", "stage");
    const below = element("canvas", "below");
    const over = element("canvas", "above");
    for (const canvas of [below, over]) [canvas.width, canvas.height] = [data.width, data.height];
    over.setAttribute("role", "img");
    over.tabIndex = 0;
    stage.append(below, over);
    const scale = element("div", "scale");
    const bar = element("div", "bar");
    const ticks = element("div", "ticks");
    const unit = element("div", "unit");
    const left = element("div");
    left.append(bar, ticks);
    scale.append(left, unit);
    frame.append(title, stage, scale);
    const at = (event) => {
      const box = over.getBoundingClientRect();
      return [((event.clientX - box.left) / box.width) * data.width, ((event.clientY - box.top) / box.height) * data.height];
    };
    over.addEventListener("pointermove", (event) => this.hover(event, ...at(event)));
    over.addEventListener("pointerleave", () => this.leave());
    over.addEventListener("click", (event) => {
      const target = this.targetAt(...at(event));
      if (target >= 0) this.chosen(target);
    });
    over.addEventListener("keydown", (event) => this.step(event));
    return { frame, title, below, over, bar, ticks, unit, number: i };
  }

  targetAt(x, y) {
    const { data, index } = this;
    if (!index || x < 0 || y < 0 || x >= data.width || y >= data.height) return -1;
    return index.target[Math.floor(y) * data.width + Math.floor(x)] - 1;
  }

  hover(event, x, y) {
    const target = this.targetAt(x, y);
    if (target < 0) return this.leave();
    const { data } = this;
    const rows = [element("b", "", data.names[this.regions[target]] ?? "")];
    data.maps.forEach((map, i) => {
      const row = element("div", "row");
      row.append(element("span", "", map.short), element("span", "", said(map, this.values[i][target])));
      rows.push(row);
    });
    const last = element("div", "row");
    last.append(element("span", "", "Target"), element("span", "", String(target)));
    rows.push(last);
    this.tip.replaceChildren(...rows);
    this.tip.hidden = false;
    const box = this.root.getBoundingClientRect ? this.root.getBoundingClientRect() : this.root.host.getBoundingClientRect();
    const [left, top] = [event.clientX - box.left, event.clientY - box.top];
    const right = left + 24 + this.tip.offsetWidth > box.width;
    this.tip.style.left = `${right ? Math.max(0, left - this.tip.offsetWidth - 16) : left + 16}px`;
    this.tip.style.top = `${Math.max(0, top - this.tip.offsetHeight - 12)}px`;
    this.cursor = [x, y];
    this.panels.forEach((p) => this.mark(p, data.selected));
  }

  leave() {
    this.tip.hidden = true;
    this.cursor = null;
    this.panels.forEach((p) => this.mark(p, this.data.selected));
  }

  // arrow keys move the chosen place, Enter opens it: the map can be used without a mouse
  step(event) {
    const moves = { ArrowLeft: [-6, 0], ArrowRight: [6, 0], ArrowUp: [0, -6], ArrowDown: [0, 6] };
    const { data } = this;
    const box = event.target.getBoundingClientRect();
    const [x, y] = this.cursor ?? [data.width / 4, data.height / 2];
    if (event.key in moves) {
      event.preventDefault();
      const [dx, dy] = moves[event.key];
      const [nx, ny] = [Math.min(Math.max(x + dx, 0), data.width - 1), Math.min(Math.max(y + dy, 0), data.height - 1)];
      const place = { clientX: box.left + (nx / data.width) * box.width, clientY: box.top + (ny / data.height) * box.height };
      this.hover(place, nx, ny);
      this.cursor = [nx, ny];
      this.panels.forEach((p) => this.mark(p, data.selected));
    } else if (event.key === "Enter") {
      const target = this.targetAt(x, y);
      if (target >= 0) this.chosen(target);
    }
  }

  // outlines, the cursor on every map, and a ring around the target that was chosen
  mark(panel, selected) {
    const { data } = this;
    const context = panel.over.getContext("2d");
    context.clearRect(0, 0, data.width, data.height);
    if (this.above) context.drawImage(this.above, 0, 0, data.width, data.height);
    const ring = (x, y, r, colour) => {
      for (const [line, style] of [[5, "#000"], [2.5, colour]]) {
        context.beginPath();
        context.arc(x, y, r, 0, 2 * Math.PI);
        context.lineWidth = line;
        context.strokeStyle = style;
        context.stroke();
      }
    };
    if (this.cursor) ring(...this.cursor, 7, "#fff");
    if (selected >= 0 && this.index) {
      this.places ??= new Map();
      if (!this.places.has(selected)) this.places.set(selected, centre(this.index.target, selected + 1, data.width));
      const place = this.places.get(selected);
      if (place) ring(...place, 12, "#ff3b7f");
    }
  }
}

function centre(target, wanted, width) {
  let [n, x, y] = [0, 0, 0];
  for (let i = 0; i < target.length; i++)
    if (target[i] === wanted) {
      n++;
      x += i % width;
      y += Math.floor(i / width);
    }
  return n ? [x / n, y / n] : null;
}

const mounted = new WeakMap();

export default function (component) {
  const { data, parentElement, setTriggerValue } = component;
  let maps = mounted.get(parentElement);
  if (!maps) {
    const root = element("div");
    root.style.position = "relative";
    parentElement.append(root);
    maps = new Maps(root);
    mounted.set(parentElement, maps);
  }
  maps.show(data, (target) => setTriggerValue("target", target));
}
