"use strict";
// What the pages of a report and of a sweep have in common: elements, packed numbers, colours.

const byId = (id) => document.getElementById(id);
const read = (id) => JSON.parse(byId(id).textContent);

function el(tag, options = {}, ...children) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(options)) {
    if (key === "class") node.className = value;
    else if (key === "text") node.textContent = value;
    else if (key === "bar") node.style.setProperty("--bar", value);
    else if (key === "width") node.style.width = value;
    else if (key === "fill") node.style.background = value;
    else if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else node.setAttribute(key, value);
  }
  node.append(...children);
  return node;
}

const count = (n) => Number(n).toLocaleString("en");

function unpack(packed, Type) {
  const binary = atob(packed);
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i++) bytes[i] = binary.charCodeAt(i);
  return new Type(bytes.buffer);
}

const dark = matchMedia("(prefers-color-scheme: dark)");
const PALETTES = {
  light: ["#2a6db5", "#d9702b", "#2b9566", "#bf3f5d", "#7a5cbb", "#0e93a5", "#a97b12", "#b5539d", "#5c7f2a", "#8c5a42", "#4a5ad6", "#de5b8c"],
  dark: ["#6aa8ec", "#f2995c", "#57c795", "#f27c93", "#ab95ee", "#43c9da", "#dfb352", "#e08bce", "#9fca60", "#cb9d84", "#919fff", "#ff9abf"],
};
const N_COLOURS = PALETTES.light.length;
const palette = () => PALETTES[dark.matches ? "dark" : "light"];
const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
