// What a person would see of a page: pale text, graphics without words, what sticks out. Called by test_walk.py.
() => {
  const parse = (text) => {
    const found = text.match(/rgba?\(([^)]+)\)/);
    if (!found) return [0, 0, 0, 0];
    const v = found[1].split(/[ ,/]+/).map(Number);
    return [v[0], v[1], v[2], v.length > 3 ? v[3] : 1];
  };
  const over = (a, b) => {
    const k = a[3] + b[3] * (1 - a[3]);
    return k ? [0, 1, 2].map((i) => (a[i] * a[3] + b[i] * b[3] * (1 - a[3])) / k).concat(k) : [0, 0, 0, 0];
  };
  const luminance = (c) => {
    const part = (v) => (v / 255 <= 0.03928 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4);
    return 0.2126 * part(c[0]) + 0.7152 * part(c[1]) + 0.0722 * part(c[2]);
  };
  const behind = (element) => {
    let found = [0, 0, 0, 0];
    for (let e = element; e && found[3] < 0.999; e = e.parentElement)
      found = over(found, parse(getComputedStyle(e).backgroundColor));
    return over(found, [255, 255, 255, 1]);
  };
  const opacity = (element) => {
    let found = 1;
    for (let e = element; e; e = e.parentElement) found *= Number(getComputedStyle(e).opacity);
    return found;
  };
  // drawings have their own tests; what cannot be used need not be read; a slider's number stands beside its thumb
  const ELSEWHERE = "svg, canvas, iframe, style, script, :disabled, [aria-disabled=true], [aria-hidden=true], "
    + "[data-testid=stSliderThumbValue], [data-testid=stSlider]:has([aria-disabled=true])";
  // what Streamlit writes in or on the accent: its own two choices, of which one accent cannot serve both
  const ACCENTED = "button[kind^=primary], [role=radio][aria-checked=true], [aria-pressed=true], "
    + "[data-testid=stMultiSelectTagsContainer]";

  const main = document.querySelector("[data-testid=stMain]");
  const pale = [];
  let texts = 0;
  const walk = document.createTreeWalker(main, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const node = walk.currentNode;
    const element = node.parentElement;
    const label = element && element.closest("label");
    if (!node.textContent.trim() || !element || element.closest(ELSEWHERE)) continue;
    if (label && label.querySelector(":disabled")) continue;
    if (!element.checkVisibility({ opacityProperty: true, visibilityProperty: true })) continue;
    const box = element.getBoundingClientRect();
    if (box.width < 2 || box.height < 2) continue;
    const style = getComputedStyle(element);
    const ground = behind(element);
    const ink = parse(style.color);
    ink[3] *= opacity(element);
    const [a, b] = [luminance(over(ink, ground)), luminance(ground)];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    texts += 1;
    if (ratio < (large ? 3 : element.closest(ACCENTED) ? 3.9 : 4.5))
      pale.push(`${ratio.toFixed(2)}: ${node.textContent.trim().slice(0, 60)}`);
  }

  const said = (e) => ["aria-label", "alt", "title"].some((k) => (e.getAttribute(k) || "").trim().length > 2);
  const mute = [];
  let graphics = 0;
  for (const e of main.querySelectorAll("[data-testid=stPlotlyChart], img, iframe, [role=img], canvas[role]")) {
    graphics += 1;
    if (!said(e) && !e.closest("[aria-hidden=true]")) mute.push(e.outerHTML.slice(0, 120));
  }
  const wide = [...main.querySelectorAll("*")].filter(
    (e) => e.getBoundingClientRect().right > window.innerWidth + 1 && !e.closest("[data-testid=stDataFrame], svg, canvas")
  );
  return {
    texts, pale, graphics, mute,
    overflow: document.documentElement.scrollWidth - window.innerWidth,
    aside: Math.max(0, main.scrollWidth - main.clientWidth),
    widest: wide.slice(0, 3).map((e) => e.outerHTML.slice(0, 120)),
  };
}
