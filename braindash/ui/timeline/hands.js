// What the reader does on a timeline with the pointer, the wheel and the keys.

class Hands {
  constructor(line) {
    this.line = line;
    const { above, overview } = line;
    const seconds = (event) => {
      const box = line.room.tracks.axis;
      const px = event.clientX - above.getBoundingClientRect().left;
      return line.view.from + ((px - box.x) / box.width) * (line.view.to - line.view.from);
    };
    above.addEventListener("pointerdown", (event) => {
      if (event.button !== 0 || !line.room) return;
      above.setPointerCapture(event.pointerId);
      this.drag = { x: event.clientX, from: line.view.from, to: line.view.to, moved: false };
    });
    above.addEventListener("pointermove", (event) => {
      if (!line.room) return;
      if (!this.drag) return this.hover(event, seconds(event));
      const px = event.clientX - this.drag.x;
      if (!this.drag.moved && Math.abs(px) < 4) return;
      this.drag.moved = true;
      line.tip.hidden = true;
      above.classList.add("dragging");
      const by = (px / line.room.tracks.axis.width) * (this.drag.to - this.drag.from);
      line.look(this.drag.from - by, this.drag.to - by);
    });
    above.addEventListener("pointerup", (event) => {
      const { drag } = this;
      this.drag = null;
      above.classList.remove("dragging");
      if (!drag || drag.moved) return;
      const at = seconds(event);
      const y = event.clientY - above.getBoundingClientRect().top;
      const strip = line.room.tracks.moments;
      const on = strip && y >= strip.y && y <= strip.y + strip.height;
      const i = on ? line.data.moments.findIndex((m) => at >= m.start && at < m.end) : -1;
      if (i >= 0) line.jump(i);
      else line.go(at);
    });
    above.addEventListener("pointercancel", () => (this.drag = null));
    above.addEventListener("pointerleave", () => (line.tip.hidden = true));
    above.addEventListener(
      "wheel",
      (event) => {
        const asked = event.ctrlKey || event.metaKey;
        if (!line.room || (!asked && !event.shiftKey && !event.deltaX)) return; // the page scrolls
        event.preventDefault();
        if (asked) return line.zoom(event.deltaY > 0 ? 1.25 : 0.8, seconds(event));
        const by = ((event.deltaX || event.deltaY) / line.room.tracks.axis.width) * (line.view.to - line.view.from);
        line.look(line.view.from + by, line.view.to + by);
      },
      { passive: false },
    );
    above.addEventListener("keydown", (event) => this.key(event));
    const middle = (event) => {
      const box = line.room.tracks.axis;
      const t = ((event.clientX - overview.getBoundingClientRect().left - box.x) / box.width) * line.duration;
      const half = (line.view.to - line.view.from) / 2;
      line.look(t - half, t + half);
    };
    overview.addEventListener("pointerdown", (event) => {
      if (!line.room) return;
      overview.setPointerCapture(event.pointerId);
      middle(event);
    });
    overview.addEventListener("pointermove", (event) => {
      if (event.buttons === 1 && line.room) middle(event);
    });
  }

  key(event) {
    const { line } = this;
    if (!line.data || event.altKey || event.ctrlKey || event.metaKey) return;
    const { time } = line.player;
    const step = event.shiftKey ? 5 : 1;
    const { moments } = line.data;
    const ordered = moments.map((m, i) => [m.start, i]).sort((a, b) => a[0] - b[0]);
    const does = {
      " ": () => line.toggle(),
      ArrowLeft: () => line.go(time - step),
      ArrowRight: () => line.go(time + step),
      Home: () => line.go(0),
      End: () => line.go(line.duration),
      "+": () => line.zoom(0.5, time),
      "=": () => line.zoom(0.5, time),
      "-": () => line.zoom(2, time),
      f: () => line.look(0, line.duration),
      n: () => line.jump(ordered.find(([start]) => start > time + 0.05)?.[1] ?? ordered[0]?.[1]),
      p: () => line.jump(ordered.findLast(([start]) => start < time - 1)?.[1] ?? ordered.at(-1)?.[1]),
    }[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!does) return;
    event.preventDefault();
    does();
  }

  // the numbers of the row that is drawn under the pointer
  hover(event, seconds) {
    const { line } = this;
    const { rows, data } = line;
    if (!rows || seconds < line.view.from || seconds > line.view.to) return void (line.tip.hidden = true);
    const lag = data.shift ? rows.lag : 0;
    let row = -1;
    for (let i = 0; i < rows.n; i++) if (row < 0 || Math.abs(rows.times[i] - lag - seconds) < Math.abs(rows.times[row] - lag - seconds)) row = i;
    if (row < 0 || Math.abs(rows.times[row] - lag - seconds) > rows.tr) return void (line.tip.hidden = true);
    const entry = (name, text) => {
      const one = element("div");
      one.append(element("span", "", name), element("span", "", text));
      return one;
    };
    line.tip.replaceChildren(
      entry("Response at", clock(rows.times[row], 1)),
      entry("Measured", plainNumber(rows.measured[row], 2)),
      ...rows.lines.map((l) => entry(l.title, plainNumber(l.values[row], 2))),
      entry("Gain", signed(rows.gain[row], data.digits)),
    );
    line.tip.hidden = false;
    const box = line.root.getBoundingClientRect();
    const [left, top] = [event.clientX - box.left, event.clientY - box.top];
    const right = left + 24 + line.tip.offsetWidth > box.width;
    line.tip.style.left = `${right ? Math.max(0, left - line.tip.offsetWidth - 16) : left + 16}px`;
    line.tip.style.top = `${Math.max(0, top - line.tip.offsetHeight - 12)}px`;
  }
}
