// Making and changing elements, and writing numbers. Text goes in as text: names cannot become markup.

const SVG = 'http://www.w3.org/2000/svg';

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name === 'class') node.setAttribute('class', value);
    else if (name.startsWith('on')) node.addEventListener(name.slice(2), value);
    else if (value === true) node.setAttribute(name, '');
    else if (value !== false && value != null) node.setAttribute(name, value);
  }
  node.append(...children.filter(child => child != null));
  return node;
}

/** An HTML element. */
export const el = (tag, attributes = {}, ...children) => fill(document.createElement(tag), attributes, children);

/** An SVG element. */
export const svg = (tag, attributes = {}, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);

/** Sets text only where it differs: nothing is laid out again for what stays. */
export function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Sets an attribute only where it differs. */
export function set(node, name, value) {
  const text = value === true ? '' : value;
  if (value == null || value === false) node.removeAttribute(name);
  else if (node.getAttribute(name) !== String(text)) node.setAttribute(name, text);
}

/** Keeps one child of `parent` for each item, by key, in order: makes, updates and removes as need be. */
export function keyed(parent, items, key, make, update = () => {}) {
  const known = new Map([...parent.children].filter(child => child.dataset.key).map(child => [child.dataset.key, child]));
  let last = null;
  for (const item of items) {
    const id = String(key(item));
    let child = known.get(id);
    if (!child) {
      child = make(item);
      child.dataset.key = id;
    }
    known.delete(id);
    const next = last ? last.nextSibling : parent.firstChild;
    if (child !== next) parent.insertBefore(child, next);
    update(child, item);
    last = child;
  }
  for (const child of known.values()) child.remove();
}

/** One of a few quiet colours, by the place of `name` in `names`. */
export const hue = (names, name) => `var(--hue-${Math.max(names.indexOf(name), 0) % 6})`;

/** Bits a second. */
export function bits(bytesPerSecond) {
  let value = bytesPerSecond * 8;
  for (const unit of ['bit/s', 'kbit/s', 'Mbit/s']) {
    if (value < 999.5) return `${value < 9.95 && unit !== 'bit/s' ? value.toFixed(1) : Math.round(value)} ${unit}`;
    value /= 1000;
  }
  return `${value < 9.95 ? value.toFixed(1) : Math.round(value)} Gbit/s`;
}

/** Microseconds in the unit that suits them. */
export function span(micros) {
  if (micros < 1000) return `${micros} µs`;
  if (micros < 10_000) return `${(micros / 1000).toFixed(1)} ms`;
  if (micros < 1_000_000) return `${Math.round(micros / 1000)} ms`;
  return `${(micros / 1e6).toFixed(1)} s`;
}

/** A time since the lab began. */
export function clock(micros, millis = true) {
  const seconds = Math.floor(micros / 1e6);
  const two = number => String(number).padStart(2, '0');
  const hours = Math.floor(seconds / 3600);
  const text = `${hours ? `${hours}:` : ''}${two(Math.floor(seconds / 60) % 60)}:${two(seconds % 60)}`;
  return millis ? `${text}.${String(Math.floor(micros / 1000) % 1000).padStart(3, '0')}` : text;
}

/** Whether things may move. */
export const moves = () => !matchMedia('(prefers-reduced-motion: reduce)').matches;
