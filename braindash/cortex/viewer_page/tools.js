// Which map, which shape, which side: buttons over pycortex's viewer, whose own menu stays for everything else.
(function () {
  const said = /*SAID*/ {};
  const chosen = { map: said.maps[said.first].name, shape: "inflated", side: "left" };
  const bar = document.createElement("div");
  const under = document.createElement("div");
  bar.id = "braindash-tools";
  under.id = "braindash-said";
  const AWAY = 1.3; // times pycortex's distance, so that the scale below hides nothing

  function say(text) {
    const box = document.createElement("div");
    box.id = "braindash-failed";
    box.textContent = text; // text, never HTML
    document.body.append(box);
    document.body.dataset.viewer = "failed";
    for (const waiting of document.querySelectorAll(".loadmsg")) waiting.remove();
  }

  function look() {
    const [subject] = Object.keys(viewopts.saved_views);
    const known = viewopts.saved_views[subject];
    const side = { left: "lateral_left", right: "lateral_right", top: "dorsal", below: "ventral" }[chosen.side];
    const name = chosen.shape === "flat" ? "flat" : chosen.shape === "inflated" ? `${side}_inflated` : side;
    const view = { ...(known[name] ?? known[side]) };
    const narrow = Math.max(1, (1.15 * window.innerHeight) / window.innerWidth); // the sides must fit as well
    if ("camera.radius" in view) view["camera.radius"] *= AWAY * narrow;
    viewer.applyView(view);
    viewer.schedule();
  }

  function show(map) {
    viewer.setData(map);
    const { unit, note } = said.maps.find((m) => m.name === map);
    under.replaceChildren(...[unit, note].filter(Boolean).map((text) => {
      const line = document.createElement("div");
      line.textContent = text;
      return line;
    }));
  }

  function group(kind, options, act) {
    const box = document.createElement("div");
    box.setAttribute("role", "group");
    for (const [value, label] of options) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = label;
      button.dataset[kind] = value;
      button.addEventListener("click", () => {
        chosen[kind] = value;
        press();
        act(value);
      });
      box.append(button);
    }
    bar.append(box);
  }

  function press() {
    for (const button of bar.querySelectorAll("button")) {
      const [kind] = Object.keys(button.dataset);
      button.setAttribute("aria-pressed", String(chosen[kind] === button.dataset[kind]));
      button.disabled = kind === "side" && chosen.shape === "flat"; // a flat map has one side
    }
  }

  group("map", said.maps.map((m) => [m.name, m.name]), show);
  group("shape", said.shapes, look);
  group("side", [["left", "Left"], ["right", "Right"], ["top", "Above"], ["below", "Below"]], look);
  if (!said.shapes.some(([shape]) => shape === chosen.shape)) chosen.shape = said.shapes[0][0];
  press();

  $(document).ready(function () {
    if (!validator.webgl) return say("This browser has no WebGL, which a view in 3-D needs. The flat maps show the same numbers.");
    if (!validator.vtex(3, 5)) return say("This computer's graphics are too limited for a view in 3-D. The flat maps show the same numbers.");
    viewer.loaded.done(() => {
      document.body.append(bar, under); // pycortex has emptied the page before
      show(chosen.map);
      look();
      document.body.dataset.viewer = "ready";
    });
  });
})();
