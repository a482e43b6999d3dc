"use strict";
// Asks the server for one text and draws the answer: heads, one head's attention, tokens. `attention` is attention.js.
(() => {
  const by = (id) => document.getElementById(id), form = by("look");
  if (!form) return;
  const { made, drawn, shown, total, roving, choices } = attention, FAINT = 0.004;
  const state = { layer: 0, head: 0, query: 0, key: 0, kind: 0, colour: "from", least: 0.01 };
  let data = null, cache = new Map();
  const number = (value, digits = 3) => attention.number(value, digits);
  const site = () => `L${state.layer}H${state.head}`;
  const place = (index) => `“${shown(data.tokens[index])}” (place ${index})`;

  const pattern = (layer, head) => {
    const name = `${layer}|${head}`;
    if (!cache.has(name)) cache.set(name, attention.unpacked(data.patterns[layer][head], data.tokens.length));
    return cache.get(name);
  };
  const rows = () => pattern(state.layer, state.head);
  const before = (query) => [...Array(query).keys()].filter((key) => data.ids[key] === data.ids[query]);
  const KINDS = [...attention.kinds(before), ["the token itself", (row, query) => row[query], () => true]];
  const mean = (layer, head, kind) => {
    const [, mass, counts] = KINDS[kind], found = pattern(layer, head).map((row, query) => [row, query]).filter(([, query]) => counts(query));
    return found.length ? total(found.map(([row, query]) => mass(row, query))) / found.length : null;
  };

  // Every head of the model, shaded by the chosen kind of attention.
  const grid = () => {
    const table = made("table", "", { class: "x-grid" }), crown = made("thead"), body = made("tbody"), top = made("tr"), buttons = [];
    top.append(made("th", "layer", { scope: "col" }), ...[...Array(data.heads).keys()].map((head) => made("th", `H${head}`, { scope: "col" })));
    crown.append(top);
    for (let layer = data.layers - 1; layer >= 0; layer--) {
      const line = made("tr");
      line.append(made("th", `L${layer}`, { scope: "row" }));
      for (let head = 0; head < data.heads; head++) {
        const value = mean(layer, head, state.kind), chosen = layer === state.layer && head === state.head, cell = made("td");
        const button = made("button", value === null ? "–" : number(value, 2).replace(/^0/, ""), { type: "button", "aria-pressed": chosen, tabindex: chosen ? 0 : -1,
          "aria-label": `L${layer}H${head}: ${value === null ? "not defined" : number(value, 2)}`, "data-site": `L${layer}H${head}` });
        button.style.background = `rgba(0,114,178,${(0.55 * (value || 0)).toFixed(3)})`;
        button.addEventListener("click", () => { Object.assign(state, { layer, head }); render(); grid(); document.querySelector(`[data-site="${site()}"]`).focus(); });
        cell.append(button);
        line.append(cell);
        buttons.push(button);
      }
      body.append(line);
    }
    table.append(crown, body);
    roving(buttons, data.heads);
    by("l-grid").replaceChildren(table);
  };

  // A small picture of every head of the chosen layer.
  const thumbs = () => {
    const count = data.tokens.length, side = 56, scale = window.devicePixelRatio || 1, buttons = [];
    const colour = getComputedStyle(by("l-map")).getPropertyValue("--cell").trim() || "#08519c";
    for (let head = 0; head < data.heads; head++) {
      const chosen = head === state.head, canvas = made("canvas", "", { width: side * scale, height: side * scale, "aria-hidden": "true" });
      const button = made("button", "", { type: "button", "aria-pressed": chosen, tabindex: chosen ? 0 : -1, "aria-label": `L${state.layer}H${head}`, "data-thumb": head });
      const pen = canvas.getContext("2d"), step = (side * scale) / count;
      pen.fillStyle = colour;
      pattern(state.layer, head).forEach((row, query) => row.forEach((value, key) => {
        if (value < Math.max(FAINT, state.least)) return;
        pen.globalAlpha = Math.min(1, value);
        pen.fillRect(key * step, query * step, Math.ceil(step), Math.ceil(step));
      }));
      button.append(canvas, made("span", `H${head}`));
      button.addEventListener("click", () => { state.head = head; render(); grid(); document.querySelector(`[data-thumb="${head}"]`).focus(); });
      buttons.push(button);
    }
    roving(buttons, 1);
    by("l-thumbs").replaceChildren(...buttons);
  };

  // One head's map. Only the frames move with the cursor.
  let frames = null;
  const map = () => {
    const count = data.tokens.length, longest = Math.min(10, Math.max(...data.tokens.map((text) => shown(text).length)));
    const space = Math.max(240, by("l-map").clientWidth), fits = Math.min(26, Math.floor((space - 20 - 7 * longest) / count));
    const step = Math.max(11, fits), size = Math.min(13, step), labels = 8 + Math.ceil(0.62 * size * longest), side = labels + step * count;
    const svg = drawn("svg", { width: side + 2, height: side + 2, role: "img", "aria-label": `Attention of ${site()} on ${count} tokens` });
    data.tokens.forEach((text, index) => {
      const middle = labels + step * (index + 0.5), short = shown(text).slice(0, longest);
      svg.append(drawn("text", { x: labels - 4, y: middle, "font-size": size, "text-anchor": "end", "dominant-baseline": "central" }, short));
      svg.append(drawn("text", { "font-size": size, "dominant-baseline": "central", transform: `translate(${middle} ${labels - 4}) rotate(-90)` }, short));
    });
    svg.append(drawn("path", { class: "edge", d: `M${labels} ${labels}v${step * count}h${step * count}z` }));
    rows().forEach((row, query) => row.forEach((value, key) => {
      if (value >= Math.max(FAINT, state.least)) svg.append(drawn("rect", { class: "cell", x: labels + step * key, y: labels + step * query, width: step, height: step, "fill-opacity": Math.min(1, value).toFixed(3) }));
    }));
    data.tokens.forEach((_, query) => before(query).forEach((key) => svg.append(drawn("rect", { class: "stripe", x: labels + step * (key + 1) + 1, y: labels + step * query + 1, width: step - 2, height: step - 2 }))));
    frames = { row: drawn("rect", { class: "row", height: step, x: labels }), cell: drawn("rect", { class: "picked", width: step, height: step }), step, labels };
    svg.append(frames.row, frames.cell);
    const pick = (event) => {
      const box = svg.getBoundingClientRect(), query = Math.floor((event.clientY - box.top - labels) / step), key = Math.floor((event.clientX - box.left - labels) / step);
      if (query >= 0 && query < count && key >= 0 && key <= query) point(query, key, event.type === "click");
    };
    svg.addEventListener("mousemove", pick);
    svg.addEventListener("click", pick);
    by("l-map").replaceChildren(svg);
    point(state.query, state.key, false);
  };
  const point = (query, key, anew) => {
    const moved = query !== state.query || anew;
    Object.assign(state, { query, key: Math.min(key, query) });
    const { step, labels } = frames;
    frames.row.setAttribute("y", labels + step * query);
    frames.row.setAttribute("width", step * (query + 1));
    frames.cell.setAttribute("x", labels + step * state.key);
    frames.cell.setAttribute("y", labels + step * query);
    const best = rows()[query].map((value, at) => [value, at]).sort((a, b) => b[0] - a[0]).slice(0, 3).filter(([value], at) => !at || value >= 0.005);
    by("l-cell").textContent = `${number(rows()[query][state.key])} from ${place(query)} to ${place(state.key)}. It attends most to ` +
      `${best.map(([value, at]) => `${place(at)} ${number(value, 2)}`).join(", ")}.`;
    if (moved) tokens();
  };
  by("l-map").addEventListener("keydown", (event) => {
    const [down, right] = { ArrowDown: [1, 0], ArrowUp: [-1, 0], ArrowRight: [0, 1], ArrowLeft: [0, -1] }[event.key] || [];
    if (down === undefined || !data) return;
    event.preventDefault();
    const query = Math.max(0, Math.min(data.tokens.length - 1, state.query + down));
    point(query, Math.max(0, Math.min(query, state.key + right)), false);
    frames.cell.scrollIntoView({ block: "nearest", inline: "nearest" });
  });

  // The tokens in reading order, shaded by a measure of each.
  const COLOURS = {
    from: ["attention that the picked token gives them", (index) => (index <= state.query ? rows()[state.query][index] : null), 1],
    to: ["attention that they give to the picked token", (index) => (index >= state.query ? rows()[index][state.query] : null), 1],
    surprise: ["their log-probability after the tokens before them (nats)", (index) => data.surprise[index], 0],
    logit_diff: ["logit difference of right and wrong at them (logits)", (index) => data.logit_diff && data.logit_diff[index], 0],
  };
  const tokens = () => {
    const [words, value, fixed] = COLOURS[state.colour], values = data.tokens.map((_, index) => value(index)), buttons = [];
    const most = fixed || Math.max(1e-9, ...values.map((one) => Math.abs(one || 0)));
    data.tokens.forEach((text, index) => {
      const chosen = index === state.query, one = values[index], told = one === null || one === undefined ? "" : number(one, 2);
      const button = made("button", shown(text), { type: "button", "aria-pressed": chosen, tabindex: chosen ? 0 : -1, title: told, "aria-label": `${place(index)}${told && `, ${told}`}` });
      button.style.background = `rgba(${one < 0 ? "213,94,0" : "0,114,178"},${(0.6 * Math.abs(one || 0) / most).toFixed(3)})`;
      button.addEventListener("click", () => { point(index, index, true); by("l-tokens").children[index].focus(); });
      buttons.push(button);
    });
    roving(buttons, 1);
    by("l-tokens").replaceChildren(...buttons);
    by("l-scale").textContent = `Shade: ${words}; full colour at ${number(most, fixed ? 0 : 1)}${fixed ? "" : ", orange is negative"}. Pick a token to see where it looks.`;
    document.querySelectorAll("#l-table tbody tr").forEach((row, index) => row.classList.toggle("picked", index === state.query));
  };

  // A row per token: how expected it was, what the model expects next, the logit difference.
  const beam = (value, most, name = "beam") => {
    const cell = made("td", "", { class: "n" });
    if (value === null || value === undefined) return made("td", "–", { class: "n" });
    const bar = made("span", "", { class: name, "aria-hidden": "true" });
    bar.style.width = `${(3.5 * Math.abs(value) / most).toFixed(2)}rem`;
    cell.append(bar, number(value, 2));
    return cell;
  };
  const table = () => {
    const crown = made("thead"), body = made("tbody"), top = made("tr"), pair = data.answers;
    const names = ["Place", "Token", "Its log-probability, nats", "Its rank", "Most likely next (probability)"];
    if (pair) names.push(`Logit difference, “${shown(pair[0])}” minus “${shown(pair[1])}”, logits`);
    top.append(...names.map((words) => made("th", words, { scope: "col" })));
    crown.append(top);
    const most = (values) => Math.max(1e-9, ...values.map((one) => Math.abs(one || 0)));
    const [wide, far] = [most(data.surprise), pair ? most(data.logit_diff) : 1];
    data.tokens.forEach((text, index) => {
      const line = made("tr"), next = data.likeliest[index].slice(0, 3).map(([word, p]) => `${shown(word)} ${number(p, 2)}`).join("   ");
      line.append(made("td", String(index), { class: "n" }), made("th", shown(text), { scope: "row" }), beam(data.surprise[index], wide), made("td", data.rank[index] === null ? "–" : String(data.rank[index]), { class: "n" }), made("td", next, { class: "token" }));
      if (pair) line.append(beam(data.logit_diff[index], far, data.logit_diff[index] < 0 ? "beam less" : "beam"));
      body.append(line);
    });
    by("l-table").replaceChildren(made("caption", "What the model expects at each token"), crown, body);
  };

  const render = () => {
    by("l-head").textContent = `Head ${site()}`;
    by("l-layer").value = state.layer;
    by("l-number").value = state.head;
    by("l-shown").value = number(state.least, 2);
    thumbs();
    map();
    tokens();
  };
  // The head that a link names; else the one that looks most like an induction head, or at the previous token.
  const first = () => {
    const kind = mean(0, 0, 0) === null ? 2 : 0, found = { value: -1 };
    for (let layer = 0; layer < data.layers; layer++) for (let head = 0; head < data.heads; head++) {
      const value = mean(layer, head, kind);
      if (value > found.value) Object.assign(found, { value, layer, head });
    }
    return found.value < 0 ? { layer: 0, head: 0 } : { layer: found.layer, head: found.head };
  };
  const strongest = (row) => row.indexOf(Math.max(...row));
  let begun = "";
  const fresh = () => {
    cache = new Map();
    const wanted = /^L(\d+)H(\d+)$/.exec(form.dataset.head || "");
    if (begun !== data.model) Object.assign(state, wanted ? { layer: Math.min(Number(wanted[1]), data.layers - 1), head: Math.min(Number(wanted[2]), data.heads - 1) } : first());
    const query = data.tokens.length - 1;
    Object.assign(state, { query, key: strongest(rows()[query]) });
    form.dataset.head = "";
    begun = data.model;
    if (!data.logit_diff && state.colour === "logit_diff") state.colour = "from";
    choices("l-kind", KINDS.map(([name], index) => [index, name]), state.kind);
    choices("l-layer", [...Array(data.layers).keys()].map((layer) => [layer, layer]), state.layer);
    choices("l-number", [...Array(data.heads).keys()].map((head) => [head, head]), state.head);
    choices("l-colour", Object.entries(COLOURS).filter(([name]) => name !== "logit_diff" || data.logit_diff).map(([name, [words]]) => [name, words]), state.colour);
    by("l-result").hidden = false;
    grid();
    table();
    render();
  };
  const ask = async () => {
    const button = form.querySelector("button");
    const asked = { model: by("l-model").value, text: by("l-text").value, right: by("l-right").value, wrong: by("l-wrong").value };
    button.disabled = true;
    by("l-said").textContent = `${asked.model} reads the text; the first one opens the model, which takes some seconds.`;
    try {
      const answer = await fetch("/look", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(asked) });
      const found = await answer.json();
      if (!answer.ok) throw new Error(found.error);
      data = found;
      fresh();
      by("l-said").textContent = `${data.model} read ${data.tokens.length} tokens.`;
      by("l-result").dataset.drawn = String(Number(by("l-result").dataset.drawn || 0) + 1);
    } catch (error) {
      by("l-said").textContent = `Nothing was read: ${error.message.replace(/\.$/, "")}.`;
    } finally {
      button.disabled = false;
    }
  };
  form.addEventListener("submit", (event) => { event.preventDefault(); ask(); });
  by("l-kind").addEventListener("change", () => { state.kind = Number(by("l-kind").value); grid(); });
  by("l-layer").addEventListener("change", () => { state.layer = Number(by("l-layer").value); grid(); render(); });
  by("l-number").addEventListener("change", () => { state.head = Number(by("l-number").value); grid(); render(); });
  by("l-colour").addEventListener("change", () => { state.colour = by("l-colour").value; tokens(); });
  by("l-least").addEventListener("input", () => { state.least = Number(by("l-least").value); by("l-shown").value = number(state.least, 2); thumbs(); map(); });
  let waiting = 0;
  window.addEventListener("resize", () => { clearTimeout(waiting); waiting = setTimeout(() => { if (data) map(); }, 120); });
  if (form.dataset.filled) ask();
})();
