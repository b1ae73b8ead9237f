'use strict';
// Shows what GET /status says, each second. Texts are set as text and never as HTML.
const POINTS = 60;
const history = { connections: [], accepted: [], bytes: [] };
let before = null;

const find = id => document.getElementById(id);
const say = (id, text) => { const it = find(id); if (it && it.textContent !== text) it.textContent = text; };
const bytes = n => {
  for (const unit of ['B', 'KiB', 'MiB', 'GiB']) {
    if (n < 1024 || unit === 'GiB') return (unit === 'B' ? n : n.toFixed(1)) + ' ' + unit;
    n /= 1024;
  }
};
const span = s => s < 60 ? s.toFixed(0) + ' s' : s < 3600 ? (s / 60).toFixed(0) + ' min' : s < 86400 ? (s / 3600).toFixed(1) + ' h' : (s / 86400).toFixed(1) + ' d';

function cell(row, text, kind) {
  const td = row.insertCell();
  if (kind === 'code') td.appendChild(document.createElement('code')).textContent = text;
  else td.textContent = text;
  if (kind === 'n') td.className = 'n';
  return td;
}

function fill(id, rows, none) {
  const body = find(id);
  body.replaceChildren();
  for (const cells of rows) {
    const row = body.insertRow();
    for (const [text, kind] of cells) {
      if (kind === 'queue') queue(cell(row, ''), text[0], text[1]);
      else cell(row, text, kind);
    }
  }
  if (!rows.length) cell(body.insertRow(), none).colSpan = 9;
}

function queue(td, length, capacity) {
  td.className = 'queue';
  if (length === null || capacity === null) { td.textContent = 'unknown'; return; }
  const part = capacity ? Math.min(1, length / capacity) : 0;
  const svg = shape('svg', { viewBox: '0 0 100 8', preserveAspectRatio: 'none', 'aria-hidden': 'true' });
  svg.append(shape('rect', { class: 'rest', width: 100, height: 8 }), shape('rect', { class: 'fill', width: 100 * part, height: 8 }));
  td.append(svg, length + ' of ' + capacity);
}

function shape(name, attributes) {
  const it = document.createElementNS('http://www.w3.org/2000/svg', name);
  for (const [key, value] of Object.entries(attributes)) it.setAttribute(key, value);
  return it;
}

function plot(id, points) {
  const svg = find(id);
  const most = Math.max(1, ...points);
  const step = 100 / (POINTS - 1);
  const from = POINTS - points.length;
  const line = points.map((value, at) => ((from + at) * step).toFixed(1) + ',' + (29 - 28 * value / most).toFixed(1));
  svg.replaceChildren(shape('polyline', { points: line.join(' ') }));
}

function note(name, value) {
  history[name].push(value);
  if (history[name].length > POINTS) history[name].shift();
}

function show(status, now) {
  const state = status.draining ? 'draining' : status.ready ? 'ready' : 'not ready';
  say('state', state);
  find('state').className = 'state ' + (status.ready ? 'good' : 'bad');
  say('uptime', 'up ' + span(status.uptime_seconds));
  const totals = status.totals;
  say('connections', String(status.open_connections));
  note('connections', status.open_connections);
  if (before) {
    const seconds = Math.max(0.001, (now - before.now) / 1000);
    const rate = (one, other) => Math.max(0, one - other) / seconds;
    const accepted = rate(totals.accepted, before.totals.accepted);
    const moved = rate(totals.received_bytes + totals.sent_bytes, before.totals.received_bytes + before.totals.sent_bytes);
    say('accepted', accepted.toFixed(accepted < 10 ? 1 : 0) + ' /s');
    say('bytes', bytes(Math.round(moved)) + '/s');
    note('accepted', accepted);
    note('bytes', moved);
  }
  before = { now, totals };
  plot('plot-connections', history.connections);
  plot('plot-accepted', history.accepted);
  plot('plot-bytes', history.bytes);
  const stage = g => g.state + (g.left_seconds === null ? '' : ', ' + span(g.left_seconds) + ' left');
  fill('workers', status.generations.flatMap(g => !g.workers.length ? [[
    [g.number, 'n'], [stage(g)], ['–', 'n'], [g.instances + ' instances'], ['–', 'n'], [span(g.age_seconds), 'n'], [g.open_connections, 'n'], ['–', 'n'], ['–', 'n'],
  ]] : g.workers.map(w => [
    [g.number, 'n'], [stage(g)], [w.number, 'n'], [w.state], [w.restarts, 'n'],
    ...(w.instance ? [[span(w.instance.age_seconds), 'n'], [w.instance.open_connections, 'n'], [bytes(w.instance.memory_bytes), 'n'], [w.instance.cpu_seconds.toFixed(2) + ' s', 'n']] : [['–', 'n'], ['–', 'n'], ['–', 'n'], ['–', 'n']]),
  ])), 'none runs');
  fill('listeners', status.listeners.map(l => [
    [l.address, 'code'], [[l.queue_length, l.queue_capacity], 'queue'], [l.accepted, 'n'], [l.refused, 'n'], [l.generations.join(', ') || 'none'],
  ]), 'no listener');
  fill('denials', status.denials.slice().reverse().map(d => [[d.call, 'code'], [d.what, 'code'], [d.rule], [d.flag || 'none', 'code'], [d.count, 'n']]), 'nothing was denied');
  fill('limits', status.limits.map(l => [
    [l.name, 'code'], [l.used === null ? '–' : l.unit === 'bytes' ? bytes(l.used) : String(l.used), 'n'],
    [l.most === null ? 'no limit' : l.unit === 'bytes' ? bytes(l.most) : l.most + ' ' + l.unit, 'n'], [l.reached, 'n'], [l.changeable ? 'yes' : 'no'],
  ]), 'none');
  say('news', '');
}

async function look() {
  try {
    const answer = await fetch('/status', { cache: 'no-store' });
    if (!answer.ok) throw new Error(String(answer.status));
    show(await answer.json(), performance.now());
  } catch (error) {
    say('news', 'The host does not answer: what is shown is old.');
  }
  setTimeout(look, document.hidden ? 10000 : 1000);
}

document.documentElement.dataset.live = 'yes';
look();
