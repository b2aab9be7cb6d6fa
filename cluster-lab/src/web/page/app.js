// The page: takes the lab's messages in, and has each part draw itself.

import { el, keyed, say, set, clock, hue } from './dom.js';
import { Lab } from './lab.js';
import { Cluster } from './cluster.js';
import { Timeline } from './timeline.js';
import { Tables } from './tables.js';

/** Lines of the story that the page keeps. */
const LINES = 300;

const at = id => document.getElementById(id);
const shown = { events: [], timeline: { tenures: [], takeovers: [] }, picture: null };

const lab = new Lab(told, connection);
const cluster = new Cluster(act);
const timeline = new Timeline();
const tables = new Tables(lab);

function told(message) {
  const { picture, events, timeline: changed, served_by: server } = message;
  // A lab that has begun anew counts its events anew.
  if (shown.picture?.began !== picture.began) shown.events = [];
  const known = shown.events[0]?.number ?? 0;
  const fresh = events.filter(event => event.number > known);
  shown.events.unshift(...fresh.slice().reverse());
  shown.events.length = Math.min(shown.events.length, LINES);
  shown.picture = picture;
  if (changed) shown.timeline = changed;
  draw(server);
  note(fresh, known > 0);
}

function draw(server) {
  const { picture, events } = shown;
  document.title = `${picture.lab} · cluster-lab`;
  say(at('lab'), picture.lab);
  const running = picture.images.filter(image => image.state === 'running').length;
  const served = server ? ` · page served by ${server}` : '';
  say(at('summary'), `${clock(picture.at, false)} · ${running} of ${picture.images.length} images run${served}`);
  cluster.draw(picture, lab.mayAct);
  timeline.draw(picture, shown.timeline);
  tables.draw(picture);
  const addresses = picture.dvipas.map(dvipa => dvipa.address);
  keyed(at('events'), events, event => event.number, line, (item, event) => {
    if (event.dvipa) item.style.setProperty('--hue', hue(addresses, event.dvipa));
    say(item.lastChild, shortly(event, picture.dvipas));
  });
}

/** One line of the story. */
const line = event => el('li', { 'data-kind': event.kind, 'data-level': event.level, 'data-image': event.image, title: event.text },
  el('time', {}, clock(event.at)), el('b', {}, event.image ?? 'lab'), el('span'));

/** An event for people: DVIPAs by their names, and no epochs. */
function shortly(event, dvipas) {
  const dvipa = dvipas.find(one => one.address === event.dvipa);
  const text = event.text.replace(/ \(epoch [^)]*\)/, '');
  return dvipa ? text.replaceAll(dvipa.address, dvipa.name) : text;
}

/** Notes how long after an event the page shows it: the frame in which it is drawn is the next one. */
function note(events, live) {
  if (!events.length || !live) return;
  const began = shown.picture.began;
  const noted = () => {
    const now = performance.timeOrigin + performance.now();
    for (const event of events) {
      // What the lab itself did began with its signal.
      const after = now - (began + (event.signalled ?? event.at)) / 1000;
      const item = at('events').querySelector(`[data-key="${event.number}"]`);
      if (item) set(item, 'data-after', after.toFixed(1));
    }
    const first = events[0];
    const after = now - (began + (first.signalled ?? first.at)) / 1000;
    // Another machine's clock says nothing of this.
    if (after >= 0 && after < 10_000) say(at('seen'), `shown after ${Math.round(after)} ms`);
  };
  if (document.hidden) noted();
  else requestAnimationFrame(noted);
}

function connection(state, why) {
  const words = { live: 'live', lost: 'reconnecting…', locked: 'locked' };
  set(at('link'), 'data-state', state);
  set(at('link'), 'title', why);
  say(at('link'), words[state]);
  set(document.body, 'data-link', state);
  const hidden = lab.mayAct;
  if (at('unlock').hidden !== hidden) at('unlock').hidden = hidden;
  if (state === 'locked') complain(why.trim());
}

let quiet;
function complain(words) {
  clearTimeout(quiet);
  at('notice').hidden = !words;
  say(at('notice'), words);
  if (words) quiet = setTimeout(() => complain(''), 8000);
}

async function act(verb, image) {
  try {
    await lab.act(verb, image);
    complain('');
  } catch (error) {
    // A kill of the image that serves this page takes the answer with it.
    if (!(error instanceof TypeError)) complain(error.message);
  }
}

at('unlock').addEventListener('submit', event => {
  event.preventDefault();
  const token = at('token').value.trim();
  at('token').value = '';
  if (token) {
    lab.unlock(token);
    at('unlock').hidden = true;
    if (shown.picture) draw();
  }
});

const THEME = 'cluster-lab-theme';
function theme(dark) {
  document.documentElement.dataset.theme = dark ? 'dark' : 'light';
  say(at('theme'), dark ? 'Light' : 'Dark');
}
const asked = matchMedia('(prefers-color-scheme: dark)');
const chosen = localStorage.getItem(THEME);
theme(chosen ? chosen === 'dark' : asked.matches);
asked.addEventListener('change', () => localStorage.getItem(THEME) ?? theme(asked.matches));
function turn() {
  const dark = document.documentElement.dataset.theme !== 'dark';
  localStorage.setItem(THEME, dark ? 'dark' : 'light');
  theme(dark);
}
at('theme').addEventListener('click', turn);

document.addEventListener('keydown', event => {
  const typing = event.target.closest('input, select, textarea');
  if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === 't') turn();
  // A digit goes to that image's buttons.
  if (/^[1-9]$/.test(event.key)) cluster.focus(Number(event.key) - 1);
});
addEventListener('resize', () => shown.picture && draw());

lab.follow();
