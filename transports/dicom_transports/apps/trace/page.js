"use strict";
(() => {
  const MOST = 2000; // arrows in a page
  const ROW = 22, NEAREST = 8, TOP = 40, LONGEST_GAP = 150; // pixels; no two arrows are nearer to each other than that
  const LEFT = 170, WIDTH = 220, LABELS = LEFT + WIDTH + 84;
  const KINDS = ["connection", "association", "message", "data set", "p-data", "release", "abort", "note", "violation"];
  const SVG = "http://www.w3.org/2000/svg";
  const $ = (id) => document.getElementById(id);
  const chunks = [...document.querySelectorAll("script.entries")];
  const parsed = new Map();
  const state = { page: 0, chosen: null, hidden: new Set() };
  let matches = []; // [chunk, index] of each entry that is shown

  const make = (tag, attributes = {}, ...children) => {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    node.append(...children);
    return node;
  };
  const draw = (parent, tag, attributes, text) => {
    const node = document.createElementNS(SVG, tag);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    if (text !== undefined) node.textContent = text;
    parent.append(node);
    return node;
  };
  const entriesOf = (chunk) => {
    if (!parsed.has(chunk)) {
      if (parsed.size > 3) parsed.delete(parsed.keys().next().value);
      parsed.set(chunk, JSON.parse(chunks[chunk].textContent));
    }
    return parsed.get(chunk);
  };
  const colorOf = (entry) => {
    const important = ["warning", "failure", "cancel"].includes(entry.status);
    return `var(--${important ? entry.status : entry.kind.replace(" ", "-")})`;
  };
  const seconds = (s) => (s >= 1 ? `${s.toFixed(3)} s` : s >= 1e-3 ? `${(s * 1e3).toFixed(3)} ms` : `${(s * 1e6).toFixed(0)} \u00b5s`);

  const counts = new Map(), streams = new Map();
  let origin = null;
  for (let chunk = 0; chunk < chunks.length; chunk++) {
    for (const entry of entriesOf(chunk)) {
      origin ??= entry.time;
      counts.set(entry.kind, (counts.get(entry.kind) ?? 0) + 1);
      if (entry.kind === "connection") streams.set(entry.stream, entry.text);
    }
  }

  const showTotals = () => {
    const began = origin === null ? "" : `, beginning at ${new Date(origin * 1000).toISOString().replace("T", " ").replace("Z", " UTC")}`;
    $("totals").textContent = `${streams.size} connection${streams.size === 1 ? "" : "s"}${began}`;
    for (const [stream, text] of streams) $("stream").append(make("option", { value: stream }, `#${stream} ${text}`));
    for (const kind of KINDS.filter((one) => counts.has(one))) {
      const box = make("input", { type: "checkbox", checked: "", "data-kind": kind });
      const dot = make("span", { class: "dot" });
      dot.style.setProperty("--color", `var(--${kind.replace(" ", "-")})`);
      box.addEventListener("change", () => {
        if (box.checked) state.hidden.delete(kind); else state.hidden.add(kind);
        find();
      });
      $("kinds").append(make("label", { class: "kind" }, box, dot, `${kind} ${counts.get(kind)}`));
    }
  };

  const find = () => {
    const words = $("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
    const stream = $("stream").value;
    matches = [];
    for (let chunk = 0; chunk < chunks.length; chunk++) {
      entriesOf(chunk).forEach((entry, index) => {
        if (state.hidden.has(entry.kind) || (stream && String(entry.stream) !== stream)) return;
        const text = `#${entry.stream} ${entry.kind} ${entry.name} ${entry.status ?? ""} ${entry.text}`.toLowerCase();
        if (words.every((word) => text.includes(word))) matches.push([chunk, index]);
      });
    }
    state.page = 0;
    show();
  };

  // Where each entry begins and ends, to scale but for gaps that are cut, and arrows of one moment, which are kept apart.
  const layTimes = (entries) => {
    const points = entries.flatMap((entry, i) => {
      const end = { moment: entry.time + entry.seconds, i, side: "to" };
      return entry.seconds ? [{ moment: entry.time, i, side: "from" }, end] : [end];
    }).sort((a, b) => a.moment - b.moment || a.i - b.i);
    const gaps = points.slice(1).map((point, n) => point.moment - points[n].moment).filter((gap) => gap > 0).sort((a, b) => a - b);
    const scale = (ROW / (gaps[Math.floor(gaps.length / 2)] || 1)) * 2 ** Number($("zoom").value);
    const places = entries.map(() => ({})), breaks = [];
    let y = TOP + 14, last = -Infinity, moment = points[0].moment;
    for (const point of points) {
      const gap = (point.moment - moment) * scale;
      if (gap > LONGEST_GAP) breaks.push([y + LONGEST_GAP / 2, point.moment - moment]);
      y += Math.min(gap, LONGEST_GAP);
      moment = point.moment;
      if (point.side === "to") last = y = Math.max(y, entries[point.i].direction ? last + NEAREST : y);
      places[point.i][point.side] = y;
    }
    return { places, breaks };
  };
  const layOut = (entries) => {
    const scaled = $("scaled").checked;
    const { places, breaks } = scaled ? layTimes(entries) : { places: [], breaks: [] };
    let free = TOP + 4, row = TOP + 14 - ROW;
    const rows = entries.map((_, i) => {
      if (!scaled) {
        row += ROW;
        return { from: row, to: row, label: row - 10 };
      }
      const { to, from = to } = places[i];
      const label = Math.max(to - 10, free);
      free = label + ROW - 2;
      return { from, to, label };
    });
    const height = rows.reduce((most, one) => Math.max(most, one.to, one.label), TOP) + 60;
    return { rows, breaks, height };
  };

  const drawArrow = (svg, entry, { from, to, label }) => {
    const group = draw(svg, "g", {});
    group.style.setProperty("--color", colorOf(entry));
    const right = LEFT + WIDTH;
    const isArrow = entry.direction && !["violation", "note"].includes(entry.kind);
    if (isArrow) {
      const [start, end, turn] = entry.direction === "forth" ? [LEFT, right, -1] : [right, LEFT, 1];
      const isData = ["data set", "p-data"].includes(entry.kind);
      draw(group, "line", { class: `arrow${isData ? " thick" : ""}`, x1: start, y1: from, x2: end + turn * 8, y2: to });
      draw(group, "path", { class: "head", d: `M ${end} ${to} l ${turn * 11} -6 v 12 z` });
      draw(group, "line", { class: "hit", x1: start, y1: from, x2: end, y2: to });
    } else {
      const x = entry.direction === "back" ? right : entry.direction === "forth" ? LEFT : LEFT + WIDTH / 2;
      const shape = entry.kind === "violation" ? `M ${x} ${to - 8} l 8 14 h -16 z` : `M ${x} ${to - 5} l 5 5 l -5 5 l -5 -5 z`;
      draw(group, "path", { class: "mark", d: shape });
      draw(group, "line", { class: "hit", x1: x - 8, y1: to, x2: x + 8, y2: to });
    }
    draw(group, "path", { class: "leader", d: `M ${right + 44} ${to} L ${LABELS - 14} ${label + 10} H ${LABELS - 2}` });
    return group;
  };

  const drawStates = (svg, entries, rows) => {
    let before = [], lowest = -Infinity;
    entries.forEach((entry, i) => {
      const y = rows[i].to + 4;
      if (y < lowest + 11 && i) return;
      entry.states.forEach((name, end) => {
        if (!name || (before[end] === name && entry.kind !== "connection")) return;
        draw(svg, "text", { class: "state", x: end ? LEFT + WIDTH + 8 : LEFT - 8, y, "text-anchor": end ? "start" : "end" }, name);
        before[end] = name;
        lowest = y;
      });
    });
  };

  const drawTimes = (svg, entries, rows, breaks) => {
    let lowest = -Infinity;
    entries.forEach((entry, i) => {
      const y = rows[i].to + 4;
      if (y < lowest + 13) return;
      lowest = y;
      draw(svg, "text", { class: "time", x: 12, y }, `${(entry.time + entry.seconds - origin).toFixed(6)} s`);
    });
    for (const [y, gap] of breaks) {
      for (const x of [LEFT, LEFT + WIDTH]) draw(svg, "path", { class: "break", d: `M ${x - 8} ${y + 3} l 16 -6`, fill: "none" });
      draw(svg, "text", { class: "time cut", x: 12, y: y + 4 }, `\u22ee ${seconds(gap)}`);
    }
  };

  const show = () => {
    const pages = Math.max(1, Math.ceil(matches.length / MOST));
    state.page = Math.min(Math.max(state.page, 0), pages - 1);
    const wanted = matches.slice(state.page * MOST, (state.page + 1) * MOST);
    const entries = wanted.map(([chunk, index]) => entriesOf(chunk)[index]);
    $("page").textContent = `${matches.length} shown, page ${state.page + 1} of ${pages}`;
    $("back").disabled = state.page === 0;
    $("forth").disabled = state.page === pages - 1;
    $("zoom").disabled = !$("scaled").checked;
    const ladder = $("ladder");
    ladder.replaceChildren();
    if (!entries.length) {
      ladder.style.height = "";
      ladder.append(make("p", { class: "none" }, "Nothing fits the filter."));
      return;
    }
    const { rows, breaks, height } = layOut(entries);
    ladder.style.height = `${height}px`;
    const svg = draw(ladder, "svg", { width: LABELS, height });
    for (const x of [LEFT, LEFT + WIDTH]) draw(svg, "line", { class: "life", x1: x, y1: TOP - 8, x2: x, y2: height - 20 });
    const among = new Set(entries.map((entry) => entry.stream).filter(Boolean));
    const only = among.size === 1 ? streams.get([...among][0]) : undefined;
    (only?.split(/: | to /).slice(0, 2) ?? ["who connected", "connected to"]).forEach((text, end) => {
      const head = make("span", { class: "ends" }, text);
      head.style.left = `${LEFT + end * WIDTH}px`;
      ladder.append(head);
    });
    drawTimes(svg, entries, rows, breaks);
    drawStates(svg, entries, rows);
    entries.forEach((entry, i) => {
      const group = drawArrow(svg, entry, rows[i]);
      const label = make(
        "button", { type: "button", class: `label ${entry.kind.replace(" ", "-")}`, title: `${entry.name} ${entry.text}` },
        make("span", { class: "stream" }, entry.stream ? `#${entry.stream}` : ""), " ",
        make("b", {}, entry.name), " ", make("span", { class: "text" }, entry.text),
      );
      label.style.top = `${rows[i].label}px`;
      label.style.left = `${LABELS}px`;
      label.style.setProperty("--color", colorOf(entry));
      const choose = () => {
        for (const node of ladder.querySelectorAll(".chosen")) node.classList.remove("chosen");
        label.classList.add("chosen");
        group.classList.add("chosen");
        describe(entry);
      };
      label.addEventListener("click", choose);
      label.addEventListener("keydown", (event) => {
        const step = { ArrowDown: "nextElementSibling", ArrowUp: "previousElementSibling" }[event.key];
        if (!step) return;
        event.preventDefault();
        const next = label[step];
        if (next?.classList.contains("label")) { next.focus(); next.click(); }
      });
      group.addEventListener("click", choose);
      ladder.append(label);
    });
  };

  const tableOf = (fields) => {
    const body = make("tbody");
    for (const [name, value] of Object.entries(fields)) {
      const isNested = value !== null && typeof value === "object" && (!Array.isArray(value) || typeof value[0] === "object");
      const head = make("th", { scope: "row", ...(isNested ? { colspan: "2" } : {}) }, name);
      const cell = make("td", isNested ? { colspan: "2", class: "nested" } : {}, shown(value));
      body.append(...(isNested ? [make("tr", {}, head), make("tr", {}, cell)] : [make("tr", {}, head, cell)]));
    }
    return make("table", { class: "fields" }, body);
  };
  const elementsOf = (elements) => {
    const hasValues = elements.some((one) => "value" in one);
    const names = ["tag", "VR", "name", "bytes", ...(hasValues ? ["value"] : [])];
    const body = make("tbody");
    for (const one of elements) {
      const length = "items" in one ? `${one.length} (${one.items} items)` : String(one.length);
      const row = make("tr", {}, make("td", { class: "tag" }, one.tag), make("td", {}, one.vr), make("td", {}, one.name), make("td", { class: "number" }, length));
      if (hasValues) row.append(make("td", {}, one.value ?? ""));
      body.append(row);
    }
    return make("table", {}, make("thead", {}, make("tr", {}, ...names.map((name) => make("th", { class: name }, name)))), body);
  };
  const shown = (value) => {
    if (value === null) return "not stated";
    if (Array.isArray(value)) {
      if (value.length && value[0]?.tag) return elementsOf(value);
      const list = make("div");
      value.forEach((one) => list.append(make("div", {}, shown(one))));
      return list;
    }
    return typeof value === "object" ? tableOf(value) : String(value);
  };
  const describe = (entry) => {
    const heading = make("h2", {}, entry.name);
    const details = $("details");
    details.style.setProperty("--color", colorOf(entry));
    const facts = { connection: entry.stream ? `#${entry.stream} ${streams.get(entry.stream) ?? ""}` : "the whole capture" };
    facts.time = `${(entry.time - origin).toFixed(6)} s`;
    if (entry.seconds) facts.took = seconds(entry.seconds);
    if (entry.states[0]) facts["states behind it"] = entry.states.join(", ");
    const { elements, ...fields } = entry.fields;
    details.replaceChildren(heading, make("p", {}, entry.text), tableOf({ ...facts, ...fields }));
    if (elements) details.append(elementsOf(elements));
    details.scrollTop = 0;
  };

  const fit = () => document.body.style.setProperty("--nav", `${document.querySelector("nav").offsetHeight}px`);
  let waiting = 0;
  addEventListener("resize", fit);
  $("filter").addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(find, 120); });
  $("stream").addEventListener("change", find);
  $("scaled").addEventListener("change", show);
  $("zoom").addEventListener("input", show);
  $("back").addEventListener("click", () => { state.page--; show(); scrollTo(0, 0); });
  $("forth").addEventListener("click", () => { state.page++; show(); scrollTo(0, 0); });
  showTotals();
  fit();
  find();
})();
