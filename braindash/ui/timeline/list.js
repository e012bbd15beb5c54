// What stands around the drawing: buttons, the words as they are said, the legend, and the list of moments.

function element(kind, className, text) {
  const made = document.createElement(kind);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text; // text, never HTML: words and names come from users
  return made;
}

function button(text, hint, pressed) {
  const made = element("button", "button", text);
  made.type = "button";
  made.title = hint;
  made.addEventListener("click", pressed);
  return made;
}

const PAGE = 14; // words shown at once

// the words around the one being said; the same line stays until its last word
class Said {
  constructor() {
    this.box = element("p", "said");
    this.from = -1;
  }

  show(words, spoken, next) {
    if (!words) {
      this.box.textContent = "This study has no times of words.";
      this.from = -1;
      return;
    }
    const i = spoken >= 0 ? spoken : Math.min(next, words.length - 1);
    const from = Math.floor(Math.max(0, i) / PAGE) * PAGE;
    if (this.from !== from || this.words !== words) {
      [this.from, this.words] = [from, words];
      this.spans = words.slice(from, from + PAGE).map(([text]) => element("span", "", text));
      this.box.replaceChildren(...this.spans.flatMap((span) => [span, document.createTextNode(" ")]));
    }
    this.spans.forEach((span, k) => span.classList.toggle("now", from + k === spoken));
  }
}

function legend(lines, colours, measured) {
  const box = element("div", "legend");
  const entry = (text, colour, dash) => {
    const one = element("span", "entry");
    const mark = element("span", "stroke");
    mark.style.borderTop = `3px ${dash ? "dashed" : "solid"} ${colour}`;
    one.append(mark, element("span", "", text));
    return one;
  };
  box.append(entry("Measured", measured, false));
  for (const line of lines) box.append(entry(line.title, lineColour(line, colours), line.dash.length > 0));
  const shades = element("span", "entry");
  for (const line of [...lines].reverse()) {
    const patch = element("span", "patch");
    patch.style.background = css(parts(lineColour(line, colours)), 0.42);
    shades.append(patch, element("span", "", `${line.title} is nearer`));
  }
  box.append(shades);
  return box;
}

// the table of moments: a press plays one
function momentTable(moments, digits, hasWords, hasRegions, canPlay, press) {
  const table = element("table", "moments");
  table.append(element("caption", "", "Moments of greatest gain, the greatest first"));
  const head = element("tr");
  const titles = ["", "Sound", ...(hasWords ? ["Words heard"] : []), "Gain (z²)", ...(hasRegions ? ["Gained most in"] : [])];
  for (const text of titles) {
    const cell = element("th", "", text);
    cell.scope = "col";
    head.append(cell);
  }
  const top = element("thead");
  top.append(head);
  const body = element("tbody");
  moments.forEach((m, i) => {
    const row = element("tr");
    const first = element("td");
    const verb = canPlay ? "Play" : "Go to";
    const go = button(`${verb} ${i + 1}`, `${verb} the sound from ${clock(m.start)} to ${clock(m.end)}`, () => press(i));
    first.append(go);
    row.append(first, element("td", "number", `${clock(m.start)} – ${clock(m.end)}`));
    if (hasWords) row.append(element("td", "words", m.words || "no word"));
    row.append(element("td", "number", signed(m.gain, digits)));
    if (hasRegions) row.append(element("td", "", m.regions));
    body.append(row);
  });
  table.append(top, body);
  return table;
}
