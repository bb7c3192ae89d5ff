// Lays every frame out and writes what a reader would meet into <pre id="measured">, as JSON.
"use strict";

for (const frame of FRAMES) {
  const element = document.createElement("iframe");
  element.setAttribute("sandbox", "allow-same-origin"); // no script of the page runs
  element.style = `width: ${frame.width}px; height: 900px; border: 0; color-scheme: ${frame.scheme}`;
  element.src = frame.page;
  frame.element = element;
  document.body.append(element);
}

addEventListener("load", () => {
  const rows = FRAMES.map((frame) => ({ page: frame.page, width: frame.width, scheme: frame.scheme, media: frame.media,
    ...measure(frame) }));
  const out = document.createElement("pre");
  out.id = "measured";
  out.textContent = JSON.stringify(rows);
  document.body.replaceChildren(out);
});

function measure(frame) {
  const page = frame.element.contentDocument, view = frame.element.contentWindow;
  if (frame.media === "print") printStyle(page);
  const all = [...page.body.querySelectorAll("*")];
  const shown = all.filter((x) => x.checkVisibility());
  const root = page.documentElement;
  const formulas = shown.filter((x) => x.localName === "math");
  const dark = view.matchMedia("(prefers-color-scheme: dark)").matches;
  return {
    dark,
    words: page.body.innerText.length,
    height: root.scrollHeight,
    overflow: root.scrollWidth - root.clientWidth,
    // what reaches beyond the page without a part that scrolls around it
    sticking_out: shown.filter((x) => x.getBoundingClientRect().right > root.clientWidth + 1 && !scrolled(x, view))
      .map(name).slice(0, 5),
    cut_off: shown.filter((x) => scrolls(x, view) && x.scrollWidth > x.clientWidth + 1 && x.tabIndex < 0).map(name),
    cut_tables: shown.filter((x) => x.matches(".scroll") && x.scrollWidth > x.clientWidth + 1)
      .map((x) => x.getAttribute("aria-label") ?? "table"),
    formulas: formulas.length,
    flat_formulas: formulas.filter((x) => !(x.getBoundingClientRect().width > 4 && x.getBoundingClientRect().height > 4))
      .map((x) => x.getAttribute("alttext")),
    empty_pictures: shown.filter((x) => x.matches("svg, img") && !(x.getBoundingClientRect().width > 4))
      .map((x) => x.outerHTML.slice(0, 200)),
    broken_images: shown.filter((x) => x.localName === "img" && x.naturalWidth === 0).map((x) => x.src),
    dead_anchors: shown.filter((x) => x.matches('a[href^="#"]') && !page.getElementById(x.getAttribute("href").slice(1)))
      .map((x) => x.outerHTML),
    small_text: shown.filter((x) => ownText(x) && !script(x) && size(x, view) < 9).map((x) => `${name(x)}: ${size(x, view)} px`).slice(0, 5),
    faint: shown.filter(ownText).map((x) => [contrast(x, view), name(x), ownText(x).slice(0, 40)])
      .filter(([ratio]) => ratio < 4.5).slice(0, 5),
    tall: shown.filter((x) => view.getComputedStyle(x).breakInside === "avoid" && x.localName !== "pre")
      .map((x) => [x.getBoundingClientRect().height, name(x)]).reduce((a, b) => (a[0] > b[0] ? a : b), [0, ""]),
  };
}

function printStyle(page) {
  for (const sheet of page.styleSheets)
    for (const rule of sheet.cssRules)
      if (rule.media?.mediaText === "print") rule.media.mediaText = "all";
}

const name = (x) => x.localName + (x.id ? `#${x.id}` : "") + (x.getAttribute("class") ? `.${x.getAttribute("class")}` : "");
const scrolls = (x, view) => ["auto", "scroll", "hidden"].includes(view.getComputedStyle(x).overflowX);

function scrolled(x, view) {
  for (let up = x.parentElement; up; up = up.parentElement)
    if (scrolls(up, view) || up.localName === "svg") return true;
  return false;
}

// indices and powers are small by convention
const script = (x) => x.closest("math, sub, sup") !== null;

function ownText(x) {
  return [...x.childNodes].filter((node) => node.nodeType === 3).map((node) => node.data).join("").trim();
}

function size(x, view) {
  const font = parseFloat(view.getComputedStyle(x).fontSize);
  const svg = x.ownerSVGElement; // text of a picture shrinks and grows with it
  return svg?.viewBox.baseVal?.width ? (font * svg.getBoundingClientRect().width) / svg.viewBox.baseVal.width : font;
}

function channels(colour) {
  const [r, g, b, alpha = 1] = colour.match(/[\d.]+/g).map(Number);
  return { rgb: [r, g, b], alpha };
}

// WCAG 2: https://www.w3.org/TR/WCAG22/#dfn-contrast-ratio
function luminance(rgb) {
  const [r, g, b] = rgb.map((c) => c / 255).map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

function contrast(x, view) {
  const style = view.getComputedStyle(x);
  const ink = channels(x.ownerSVGElement ? style.fill : style.color).rgb;
  let ground = [255, 255, 255];
  for (let up = x; up; up = up.parentElement) {
    const { rgb, alpha } = channels(view.getComputedStyle(up).backgroundColor);
    if (alpha > 0) { ground = rgb; break; }
  }
  const [low, high] = [luminance(ink), luminance(ground)].sort((a, b) => a - b);
  return (high + 0.05) / (low + 0.05);
}
