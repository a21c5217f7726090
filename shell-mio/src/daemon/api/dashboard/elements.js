'use strict';
// Building the page's elements, and saying amounts. All text goes in as text nodes: what comes from the network is
// never markup.

const byId = (id) => document.getElementById(id);

function furnish(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, String(value));
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** An HTML element with attributes, listeners (`onclick`) and children; children that are no elements become text. */
const html = (tag, attributes = {}, ...children) => furnish(document.createElement(tag), attributes, children);

/** The same for SVG. */
const svg = (tag, attributes = {}, ...children) =>
  furnish(document.createElementNS('http://www.w3.org/2000/svg', tag), attributes, children);

/** Sets a text, and touches the page only where it is another one. */
function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Attributes that let a mouse and a keyboard open something. */
const opens = (open) => ({
  tabindex: 0,
  role: 'button',
  onclick: open,
  onkeydown: (event) => {
    if (event.key === 'Enter' || event.key === ' ') {
      event.preventDefault();
      open();
    }
  },
});

const short = (id) => String(id).slice(0, 10);

/** A span in milliseconds, in at most two units. */
function span(ms) {
  if (!Number.isFinite(ms)) return '–';
  const seconds = Math.max(0, ms) / 1000;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 100) return `${Math.floor(seconds)} s`;
  const units = [[86400, 'd'], [3600, 'h'], [60, 'min']];
  const at = Math.max(0, units.findIndex(([size]) => seconds >= size));
  const [size, name] = units[at];
  const whole = Math.floor(seconds / size);
  if (name === 'min') return `${whole} min`;
  const [below, smaller] = units[at + 1];
  return `${whole} ${name} ${Math.floor((seconds % size) / below)} ${smaller}`;
}

function bytes(count) {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let at = 0;
  while (count >= 1024 && at + 1 < units.length) {
    count /= 1024;
    at += 1;
  }
  return `${at === 0 || count >= 100 ? Math.round(count) : count.toFixed(1)} ${units[at]}`;
}

const rtt = (ms) => (Number.isFinite(ms) ? `${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms` : '–');

/** The time of day of an RFC 3339 time, in the reader's zone. */
function clock(text) {
  const at = new Date(text);
  return Number.isNaN(at.getTime()) ? '–' : at.toLocaleTimeString('en-GB');
}
