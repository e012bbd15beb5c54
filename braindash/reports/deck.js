"use strict";
(() => {
  const body = document.body;
  const slides = [...document.querySelectorAll("section")];
  const where = document.getElementById("where");
  const mode = document.getElementById("mode");
  let at = Math.min(Math.max(Number(body.dataset.start) || 0, 0), slides.length - 1);

  function show(next) {
    at = Math.min(Math.max(next, 0), slides.length - 1);
    slides.forEach((slide, i) => slide.classList.toggle("shown", i === at));
    where.textContent = `${at + 1} / ${slides.length}`;
    if (body.classList.contains("slides")) {
      try { history.replaceState(null, "", `#${slides[at].id}`); } catch { /* a frame may forbid it */ }
    }
  }

  function view(name) {
    body.className = name;
    mode.textContent = name === "slides" ? "Reading view" : "Slides";
    show(at);
    if (name === "reading") slides[at].scrollIntoView();
  }

  function fullScreen() {
    if (document.fullscreenElement) document.exitFullscreen();
    else document.documentElement.requestFullscreen().catch(() => { /* not allowed here: the slides fill the window */ });
    view("slides");
  }

  const steps = { ArrowRight: 1, ArrowDown: 1, PageDown: 1, " ": 1, ArrowLeft: -1, ArrowUp: -1, PageUp: -1 };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const onButton = event.target instanceof HTMLButtonElement && (event.key === " " || event.key === "Enter");
    if (onButton) return;
    if (event.key === "f" || event.key === "F") return fullScreen();
    if (event.key === "r" || event.key === "R") return view(body.classList.contains("slides") ? "reading" : "slides");
    if (!body.classList.contains("slides")) return;
    if (event.key === "Home") show(0);
    else if (event.key === "End") show(slides.length - 1);
    else if (event.key in steps) show(at + (event.key === " " && event.shiftKey ? -1 : steps[event.key]));
    else return;
    event.preventDefault();
  });
  document.getElementById("previous").addEventListener("click", () => show(at - 1));
  document.getElementById("next").addEventListener("click", () => show(at + 1));
  document.getElementById("full").addEventListener("click", fullScreen);
  mode.addEventListener("click", () => view(body.classList.contains("slides") ? "reading" : "slides"));

  let still; // buttons are there while the pointer moves
  document.addEventListener("pointermove", () => {
    body.classList.add("moved");
    clearTimeout(still);
    still = setTimeout(() => body.classList.remove("moved"), 2000);
  });

  const linked = slides.findIndex((slide) => `#${slide.id}` === location.hash);
  if (linked >= 0) at = linked;
  view("slides");
})();
