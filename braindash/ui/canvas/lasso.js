// An area drawn on a map: with the pointer, or corner by corner with Enter. Its points are shares of width and height.

const FEWEST = 3; // corners of an area
const MOST = 60; // points that are sent
const STEP = 0.004; // of the map's width between two points of a drag

class Lasso {
  constructor(changed, finished) {
    this.changed = changed; // draw again
    this.finished = finished; // (points)
    this.on = false;
    this.points = [];
    this.dragging = false;
    this.button = element("button", "select");
    this.button.type = "button";
    this.button.addEventListener("click", () => this.press());
    this.say();
  }

  say() {
    const ready = this.on && !this.dragging && this.points.length >= FEWEST;
    this.button.textContent = ready ? "Finish the area" : this.on ? "Stop selecting" : "Select an area";
    this.button.setAttribute("aria-pressed", String(this.on));
    this.button.title = "Drag around an area of a map. With the keyboard: arrow keys move, Enter sets a corner, Escape ends.";
  }

  press() {
    if (this.on && this.points.length >= FEWEST) return this.finish();
    this.set(!this.on);
  }

  set(on) {
    this.on = on;
    this.points = [];
    this.dragging = false;
    this.say();
    this.changed();
  }

  start(point) {
    this.points = [point];
    this.dragging = true;
  }

  drag(point) {
    const [x, y] = this.points[this.points.length - 1];
    if (Math.hypot(point[0] - x, point[1] - y) < STEP) return;
    this.points.push(point);
    this.changed();
  }

  drop() {
    this.dragging = false;
    if (this.points.length >= FEWEST) this.finish();
    else this.set(true); // a click is no area
  }

  corner(point) {
    this.points.push(point);
    this.say();
    this.changed();
  }

  finish() {
    const every = Math.ceil(this.points.length / MOST);
    const kept = this.points.filter((_, i) => i % every === 0);
    this.set(false);
    this.finished(kept.map(([x, y]) => [Math.round(1000 * x), Math.round(1000 * y)]));
  }
}

// the area that is chosen: what lies outside is covered by the page's colour
function veil(context, area, width, height, colour) {
  if (!area || area.length < FEWEST) return;
  const trace = () => area.forEach(([x, y], i) => context[i ? "lineTo" : "moveTo"]((x * width) / 1000, (y * height) / 1000));
  context.save();
  context.beginPath();
  context.rect(0, 0, width, height);
  trace();
  context.closePath();
  context.globalAlpha = 0.62;
  context.fillStyle = colour;
  context.fill("evenodd");
  context.globalAlpha = 1;
  context.beginPath();
  trace();
  context.closePath();
  stroke(context);
  context.restore();
}

// the area that is being drawn
function sketch(context, points, width, height) {
  if (!points.length) return;
  context.beginPath();
  points.forEach(([x, y], i) => context[i ? "lineTo" : "moveTo"](x * width, y * height));
  stroke(context);
  for (const [x, y] of [points[0], points[points.length - 1]]) {
    context.beginPath();
    context.arc(x * width, y * height, 4, 0, 2 * Math.PI);
    stroke(context);
  }
}

function stroke(context) {
  for (const [line, style] of [[5, "#000"], [2.5, "#fff"]]) {
    context.lineWidth = line;
    context.strokeStyle = style;
    context.stroke();
  }
}
