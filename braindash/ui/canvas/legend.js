// What is written beside a map: numbers as text, a bar, swatches of layers, or a plane of two scales.

const number = (value, digits) => (Object.is(value, -0) ? 0 : value).toFixed(digits).replace("-", "−");

function said(map, code) {
  if (code === 0) return "no value";
  const value = map.low + ((map.high - map.low) * (code - 1)) / 254;
  const text = (map.signed && value > 0 ? "+" : "") + number(value, map.digits);
  if (map.kind === "layers") return text; // a layer is a layer, not the end of a scale
  return code === 1 ? `≤ ${text}` : code === 255 ? `≥ ${text}` : text;
}

function element(kind, className, text) {
  const made = document.createElement(kind);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text; // text, never HTML: names come from users
  return made;
}

const hex = (colour) => `#${colour.toString(16).padStart(6, "0")}`;

// the parts of a map's legend that stand below it, made anew for every view
function legend(map) {
  if (map.kind === "plane") return plane(map);
  const scale = element("div", "scale");
  const left = element("div");
  const ticks = element("div", map.kind === "layers" ? "swatches" : "ticks");
  if (map.kind === "layers") {
    for (const layer of map.layers) {
      const swatch = element("span", "swatch");
      const code = Math.round((254 * (layer - map.low)) / (map.high - map.low));
      const colour = element("span", "colour");
      colour.style.background = hex(map.palette[code]);
      swatch.append(colour, element("span", "", String(layer)));
      ticks.append(swatch);
    }
    left.append(ticks);
  } else {
    const bar = element("div", "bar");
    bar.style.background = `linear-gradient(to right, ${[0, 32, 64, 96, 127, 159, 191, 222, 254].map((k) => hex(map.palette[k])).join(",")})`;
    ticks.append(...[map.low, (map.low + map.high) / 2, map.high].map((v) => element("span", "", number(v, map.digits))));
    left.append(bar, ticks);
  }
  scale.append(left, element("div", "unit", map.unit));
  return scale;
}

// change runs to the right, accuracy upwards
function plane(map) {
  const { columns, rows, limit, low, high, across, up } = map.plane;
  const scale = element("div", "scale plane");
  const canvas = element("canvas");
  [canvas.width, canvas.height] = [columns, rows];
  const context = canvas.getContext("2d");
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < columns; column++) {
      context.fillStyle = hex(map.palette[row * columns + column]);
      context.fillRect(column, rows - 1 - row, 1, 1);
    }
  const side = element("div", "side");
  side.append(element("span", "", number(high, map.digits)), element("span", "", number(low, map.digits)));
  const under = element("div", "ticks");
  const ends = [-limit, 0, limit].map((v) => (v > 0 ? "+" : "") + number(v, map.digits));
  under.append(...ends.map((text) => element("span", "", text)));
  const text = element("div", "unit");
  text.append(element("div", "", `↑ ${up}`), element("div", "", `→ ${across}`));
  scale.append(side, canvas, text, element("span"), under);
  return scale;
}
