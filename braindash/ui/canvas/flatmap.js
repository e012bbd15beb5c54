// Flatmaps drawn by look-up: the pixels' targets are fetched once a subject, then one byte a target and map.
// Several maps share one cursor, one scale each, and what is under the cursor is said for all of them.
// The formats are those of braindash/cortex/packing.py.

const OUTSIDE = -1;
const GREY = [150, 205]; // sulcus, gyrus
const kept = (globalThis.__braindashMaps ??= new Map()); // by address, for all maps of the page
const MOST_KEPT = 64;
const PATIENCE = 4000; // ms
const shadings = new Map();
const MOST_SHADINGS = 8;

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
    const [inside, shown] = [new Uint32Array(n), new Uint32Array(n)];
    let [at, count] = [0, 0];
    for (let i = 0; i < n; i++) {
      at += bytes[i] | (bytes[n + i] << 8) | (bytes[2 * n + i] << 16) | (bytes[3 * n + i] << 24);
      target[i] = at;
      if (at === OUTSIDE) continue;
      inside[count] = i;
      shown[count++] = 2 * at + (bytes[4 * n + i] ? 1 : 0);
    }
    // of the pixels within the outline: where they are; twice the number of their target, and 1 more on a gyrus
    return { target, inside: inside.slice(0, count), shown: shown.slice(0, count) };
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

// the colour of every value (low byte) at every opacity (next byte), in sulci and then on gyri; once a colour map
function shades(palette) {
  const name = palette.join();
  if (!shadings.has(name)) {
    const made = new Uint32Array(2 << 16);
    for (let code = 0; code < 256; code++) {
      const rgb = code ? palette[code - 1] : 0;
      const [r, g, b] = [(rgb >> 16) & 255, (rgb >> 8) & 255, rgb & 255];
      for (let opacity = 0; opacity < 256; opacity++) {
        const o = code ? opacity : 0;
        for (let side = 0; side < 2; side++) {
          const grey = (255 - o) * GREY[side] + 127; // and a half, to round
          const mixed = (channel) => ((o * channel + grey) / 255) | 0;
          made[(side << 16) | (opacity << 8) | code] = (255 << 24) | (mixed(b) << 16) | (mixed(g) << 8) | mixed(r);
        }
      }
    }
    shadings.set(name, made);
    while (shadings.size > MOST_SHADINGS) shadings.delete(shadings.keys().next().value);
  }
  return shadings.get(name);
}

// what a pixel looks up: number 0 is cortex without a target, which has no value
function looks(values, nTargets) {
  const look = new Uint16Array(nTargets + 1);
  const faded = values.length > nTargets;
  for (let t = 0; t < nTargets; t++) look[t + 1] = values[t] | ((faded ? values[nTargets + t] : 255) << 8);
  return look;
}

function paint(panel, index, map, values, nTargets) {
  const context = panel.below.getContext("2d");
  panel.image ??= context.createImageData(panel.below.width, panel.below.height);
  const out = new Uint32Array(panel.image.data.buffer);
  const [colours, look] = [shades(map.palette), looks(values, nTargets)];
  const { inside, shown } = index;
  if (panel.index !== index) out.fill(0); // another subject has another outline
  for (let i = 0; i < inside.length; i++) {
    const at = shown[i];
    out[inside[i]] = colours[((at & 1) << 16) | look[at >> 1]];
  }
  context.putImageData(panel.image, 0, 0);
}

class Maps {
  constructor(root) {
    this.root = root;
    this.lasso = new Lasso(() => this.markAll(), (points) => this.send.area(points));
    this.tip = element("div", "tip");
    this.tip.hidden = true;
    this.tip.setAttribute("role", "status");
    this.drawn = 0;
  }

  async show(data, send) {
    this.data = data;
    this.send = send;
    const turn = ++this.drawn;
    this.layOut();
    // the page's other parts wait for the maps, but not for ever
    if (data.report) setTimeout(() => this.tell(), PATIENCE);
    try {
      const [index, regions, above, ...values] = await Promise.all([
        fetched(data.index, readIndex(data.width, data.height)),
        fetched(data.regions, (bytes) => new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.length >> 1)),
        data.overlay ? readImage(data.overlay) : null,
        ...[...data.maps, ...data.extras].map((m) => fetched(m.values, (bytes) => bytes)),
      ]);
      if (turn !== this.drawn) return; // another view was asked for meanwhile
      if (index !== this.index) this.places = new Map(); // centres of targets: another subject has others
      Object.assign(this, { index, regions, above, values });
      const began = performance.now();
      this.panels.forEach((p, i) => {
        const drawn = [data.maps[i].values, ...data.maps[i].palette].join();
        if (p.index !== index || p.drawn !== drawn) paint(p, index, data.maps[i], values[i], data.n);
        if (p.lines.shows !== above) trace(p.lines, above);
        Object.assign(p, { index, drawn });
        p.lines.shows = above;
      });
      this.markAll();
      this.root.dataset.painted = String(data.maps.length);
      this.root.dataset.ms = (performance.now() - began).toFixed(1);
      requestAnimationFrame(() => setTimeout(() => this.tell())); // once they are on the screen
    } catch (error) {
      if (turn !== this.drawn) return;
      this.grid.replaceChildren(element("div", "failed", `The maps could not be drawn (${error.message}). Reload the page.`));
      this.key = null;
      this.tell();
    }
  }

  tell() {
    if (!this.data.report || this.told) return;
    this.told = true;
    this.send.painted(true);
  }

  layOut() {
    const { data } = this;
    const key = `${data.width}x${data.height}x${data.maps.length}`;
    if (this.key !== key) {
      this.key = key;
      this.grid = element("div", "maps");
      this.panels = data.maps.map((_, i) => this.panel(i));
      this.grid.append(...this.panels.map((p) => p.frame));
      const bar = element("div", "tools");
      bar.append(this.lasso.button);
      this.root.replaceChildren(bar, this.grid, this.tip);
    }
    this.grid.style.setProperty("--least", `${data.least}px`);
    this.panels.forEach((p, i) => {
      const map = data.maps[i];
      p.title.textContent = map.title;
      p.legend.replaceChildren(legend(map));
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
    const lines = element("canvas", "lines");
    const over = element("canvas", "above");
    for (const canvas of [below, lines, over]) [canvas.width, canvas.height] = [data.width, data.height];
    over.setAttribute("role", "img");
    over.tabIndex = 0;
    stage.append(below, lines, over);
    const under = element("div");
    frame.append(title, stage, under);
    const share = (event) => {
      const box = over.getBoundingClientRect();
      const within = (v) => Math.min(Math.max(v, 0), 1);
      return [within((event.clientX - box.left) / box.width), within((event.clientY - box.top) / box.height)];
    };
    const at = (event) => {
      const [x, y] = share(event);
      return [x * data.width, y * data.height];
    };
    over.addEventListener("pointerdown", (event) => {
      this.drawnArea = false;
      if (!this.lasso.on || event.button !== 0) return;
      over.setPointerCapture(event.pointerId);
      this.lasso.start(share(event));
    });
    over.addEventListener("pointermove", (event) => {
      if (this.lasso.dragging) this.lasso.drag(share(event));
      else this.hover(event, ...at(event));
    });
    for (const end of ["pointerup", "pointercancel"])
      over.addEventListener(end, () => {
        if (!this.lasso.dragging) return;
        this.drawnArea = true; // the click that follows is the end of the drag
        this.lasso.drop();
      });
    over.addEventListener("pointerleave", () => this.leave());
    over.addEventListener("click", (event) => {
      const ended = this.drawnArea;
      this.drawnArea = false;
      const target = this.targetAt(...at(event));
      if (!ended && !this.lasso.on && target >= 0) this.send.target(target);
    });
    over.addEventListener("keydown", (event) => this.step(event));
    return { frame, title, below, lines, over, legend: under, number: i };
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
    [...data.maps, ...data.extras].forEach((map, i) => {
      if (map.kind === "plane") return; // its two numbers stand in rows of their own
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
    this.markAll();
  }

  leave() {
    this.tip.hidden = true;
    this.cursor = null;
    this.markAll();
  }

  markAll() {
    const box = getComputedStyle(this.root);
    const page = box.getPropertyValue("--st-background-color").trim() || "#fff";
    (this.panels ?? []).forEach((p) => this.mark(p, this.data.selected, page));
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
      this.markAll();
    } else if (event.key === "Enter" && this.lasso.on) {
      this.lasso.corner([x / data.width, y / data.height]);
    } else if (event.key === "Enter") {
      const target = this.targetAt(x, y);
      if (target >= 0) this.send.target(target);
    } else if (event.key === "Escape" && this.lasso.on) {
      this.lasso.set(false);
    }
  }

  // the area, the cursor on every map, and a ring around the target that was chosen
  mark(panel, selected, page) {
    const { data } = this;
    const context = panel.over.getContext("2d");
    context.clearRect(0, 0, data.width, data.height);
    veil(context, data.area, data.width, data.height, page);
    sketch(context, this.lasso.points, data.width, data.height);
    panel.over.classList.toggle("drawing", this.lasso.on);
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
      if (!this.places.has(selected)) this.places.set(selected, centre(this.index.target, selected + 1, data.width));
      const place = this.places.get(selected);
      if (place) ring(...place, 12, "#ff3b7f");
    }
  }
}

// outlines and names of regions, on a canvas of their own: they stay while the cursor moves
function trace(canvas, picture) {
  const context = canvas.getContext("2d");
  context.clearRect(0, 0, canvas.width, canvas.height);
  if (picture) context.drawImage(picture, 0, 0, canvas.width, canvas.height);
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
  maps.show(data, {
    target: (target) => setTriggerValue("target", target),
    area: (points) => setTriggerValue("area", points),
    painted: (done) => setTriggerValue("painted", done),
  });
}
