"use strict";
// The attention explorer: one question, one head, one attending token, unedited and under an edit. `attention` is
// attention.js.
(() => {
  const store = document.getElementById("explorer-data");
  if (!store) return;
  const data = JSON.parse(store.textContent), by = (id) => document.getElementById(id);
  const { made, drawn, shown, total, roving, choices } = attention, LEAST = 0.004, TOP = 5, ALIKE = 0.005;
  const state = { model: "", tier: "", item: 0, edit: "", layer: 0, head: 0, query: 0 };
  const number = (value, digits = 2) => attention.number(value, digits);
  const signed = (value) => (Math.abs(value) < 0.05 ? "0.0" : (value > 0 ? "+" : "") + number(value, 1));
  const items = () => data.items.filter((one) => one.model === state.model && one.tier === state.tier);
  const item = () => items()[state.item];
  const edited = () => item().answered.find((one) => one.arm === state.edit);
  const site = () => `L${state.layer}H${state.head}`;
  const aimed = (layer, head) => data.models[state.model].targets.includes(`L${layer}H${head}`);
  const place = (index) => `“${shown(item().tokens[index])}” (${item().roles[index] || "token"}, place ${index})`;

  // A head's attention as rows of numbers; nothing where the page does not hold it.
  const cache = new Map();
  const pattern = (arm) => {
    const at = `|${state.layer}|${state.head}`;
    const sent = item().patterns[item().same.includes(arm + at) ? item().answered[0].arm + at : arm + at];
    if (sent === undefined) return null;
    if (!cache.has(sent)) cache.set(sent, attention.unpacked(sent, item().tokens.length));
    return cache.get(sent);
  };
  const before = (query) => [...Array(query).keys()].filter((key) => item().ids[key] === item().ids[query]);
  const KINDS = attention.kinds(before);
  const kinds = (rows) => KINDS.map(([name, mass, counts]) => {
    const found = rows.map((row, query) => [row, query]).filter(([, query]) => counts(query));
    return { name, places: found.length, mean: found.length ? total(found.map(([row, query]) => mass(row, query))) / found.length : null };
  });

  const controls = () => {
    const models = Object.keys(data.models).filter((name) => data.items.some((one) => one.model === name));
    if (!models.includes(state.model)) state.model = models[0];
    const tiers = [...new Set(data.items.filter((one) => one.model === state.model).map((one) => one.tier))];
    if (!tiers.includes(state.tier)) state.tier = tiers[0];
    if (!item()) state.item = 0;
    const edits = item().answered.slice(1);
    if (!edits.some((one) => one.arm === state.edit)) state.edit = edits[0].arm;
    by("x-model-label").hidden = models.length < 2;
    choices("x-model", models.map((name) => [name, data.models[name].name]), state.model);
    choices("x-tier", tiers.map((name) => [name, name]), state.tier);
    choices("x-item", items().map((one, index) => [index, `${question(one)} → ${shown(one.answer)} · ${one.picked}`]), state.item);
    choices("x-edit", edits.map((one) => [one.arm, one.did]), state.edit);
  };
  const question = (one) => {
    const whole = one.tokens.slice(0, one.prompt_length).filter((_, index) => !["bos", "shot"].includes(one.roles[index])).join("");
    return shown(whole.length > 40 ? "…" + whole.slice(-40) : whole);
  };
  const outcome = () => {
    const said = (one) => `“${shown(one.predicted)}” (${one.correct ? "right" : "wrong"}, logit difference ${signed(one.logit_diff)})`;
    by("x-outcome").textContent = `Asked: ${shown(item().tokens.slice(0, item().prompt_length).join(""))} — the right answer is “${shown(item().answer)}”, ` +
      `the wrong one it is held against “${shown(item().wrong)}”. Unedited the model says ${said(item().answered[0])}; ${edited().did} the target, ${said(edited())}.`;
  };

  const grid = (arm, words, most, named) => {
    const shares = item().direct[arm], table = made("table", "", { class: "x-grid" }), buttons = [];
    table.append(made("caption", words));
    const top = made("tr");
    top.append(made("th", "layer", { scope: "col" }), ...shares[0].map((_, head) => made("th", `H${head}`, { scope: "col" })));
    const body = made("tbody"), crown = made("thead");
    crown.append(top);
    shares.map((row, layer) => [row, layer]).reverse().forEach(([row, layer]) => {
      const line = made("tr");
      line.append(made("th", `L${layer}`, { scope: "row" }));
      row.forEach((value, head) => {
        const chosen = layer === state.layer && head === state.head;
        const button = made("button", signed(value), { type: "button", "aria-pressed": chosen, tabindex: chosen ? 0 : -1,
          "aria-label": `L${layer}H${head}${aimed(layer, head) ? ", target" : ""}: ${signed(value)} logits`, "data-site": `${named}L${layer}H${head}` });
        button.style.background = `rgba(${value < 0 ? "213,94,0" : "0,114,178"},${(0.55 * Math.abs(value) / most).toFixed(3)})`;
        if (aimed(layer, head)) button.classList.add("aimed");
        button.addEventListener("click", () => { Object.assign(state, { layer, head }); render(button.dataset.site); });
        const cell = made("td");
        cell.append(button);
        line.append(cell);
        buttons.push(button);
      });
      body.append(line);
    });
    table.append(crown, body);
    roving(buttons, shares[0].length);
    const frame = made("div", "", { class: "scroll" });
    frame.append(table);
    return frame;
  };
  const grids = () => {
    const arms = [item().answered[0].arm, state.edit];
    const most = Math.max(1, ...arms.flatMap((arm) => item().direct[arm].flat().map(Math.abs)));
    by("x-grids").replaceChildren(grid(arms[0], "unedited", most, "a"), grid(arms[1], edited().did + " the target", most, "b"));
  };

  const picture = (arm, words) => {
    const rows = pattern(arm), frame = made("figure", ""), caption = made("figcaption", words);
    frame.append(caption);
    if (!rows) {
      frame.append(made("p", "The page does not hold this pattern; explorer.parquet does."));
      return frame;
    }
    const count = rows.length, labels = 9 + 6.5 * Math.min(8, Math.max(...item().tokens.map((text) => shown(text).length)));
    const room = Math.max(240, by("x-pictures").clientWidth), pair = room > 620 ? (room - 24) / 2 : room;
    const step = Math.max(2, Math.min(22, Math.floor((pair - labels - 4) / count))), side = labels + step * count;
    const svg = drawn("svg", { width: side + 2, height: side + 2, role: "img", "aria-label": `Attention of ${site()}, ${words}. ${sentence(rows)}` });
    const size = Math.min(12, Math.max(6, step)), every = Math.max(1, Math.ceil(8 / step));
    item().tokens.forEach((text, index) => {
      if (index % every) return;
      const middle = labels + step * (index + 0.5), short = shown(text).slice(0, 8), bold = index === state.query ? "bold" : "normal";
      svg.append(drawn("text", { x: labels - 4, y: middle, "font-size": size, "text-anchor": "end", "dominant-baseline": "central", "font-weight": bold }, short));
      svg.append(drawn("text", { "font-size": size, "dominant-baseline": "central", transform: `translate(${middle} ${labels - 4}) rotate(-90)` }, short));
    });
    svg.append(drawn("path", { class: "edge", d: `M${labels} ${labels}v${step * count}h${step * count}z` }));
    rows.forEach((row, query) => row.forEach((value, key) => {
      if (value >= LEAST) svg.append(drawn("rect", { class: "cell", x: labels + step * key, y: labels + step * query, width: step, height: step, "fill-opacity": value.toFixed(3) }));
    }));
    rows.forEach((_, query) => before(query).forEach((key) => svg.append(drawn("rect", { class: "stripe", x: labels + step * (key + 1) + 1, y: labels + step * query + 1, width: step - 2, height: step - 2 }))));
    svg.append(drawn("rect", { class: "picked", x: labels - 1, y: labels + step * state.query - 1, width: step * (state.query + 1) + 2, height: step + 2 }));
    svg.addEventListener("click", (event) => {
      const query = Math.floor((event.clientY - svg.getBoundingClientRect().top - labels) / step);
      if (query >= 0 && query < count) { state.query = query; render(); }
    });
    svg.addEventListener("mousemove", (event) => {
      const box = svg.getBoundingClientRect(), query = Math.floor((event.clientY - box.top - labels) / step), key = Math.floor((event.clientX - box.left - labels) / step);
      const value = rows[query] && rows[query][key];
      caption.textContent = value === undefined ? words : `${words}: ${number(value)} from “${shown(item().tokens[query])}” to “${shown(item().tokens[key])}”`;
    });
    svg.addEventListener("mouseleave", () => { caption.textContent = words; });
    frame.append(svg);
    return frame;
  };
  const strongest = (row) => row.map((value, key) => [value, key]).sort((a, b) => b[0] - a[0]);
  const sentence = (rows) => {
    const [value, key] = strongest(rows[state.query])[0];
    return `From ${place(state.query)} it attends most to ${place(key)}: ${number(value)}.`;
  };
  const told = () => {
    const rows = pattern(item().answered[0].arm), parts = [];
    if (rows) {
      // Kinds can coincide on a question; of two that fit alike, the one seen at more tokens says more.
      const alike = (a, b) => Math.abs(a.mean - b.mean) < ALIKE;
      const best = kinds(rows).filter((kind) => kind.mean !== null).sort((a, b) => (alike(a, b) ? b.places - a.places : b.mean - a.mean))[0];
      if (best) parts.push(best.mean >= 0.5 ? `On this question ${site()} attends mostly to ${best.name}: ${number(best.mean)} of its attention on average.`
        : `On this question no simple kind of attention fits ${site()}; the largest is ${best.name}, ${number(best.mean)}.`);
      parts.push(sentence(rows));
    }
    const [was, now] = [item().answered[0].arm, state.edit].map((arm) => item().direct[arm][state.layer][state.head]);
    parts.push(`Its share of the logit difference: ${signed(was)} unedited, ${signed(now)} under the edit.`);
    if (aimed(state.layer, state.head)) parts.push(`It is in the target: where it looks is left as it is, what it writes is multiplied by ${state.edit.split("@")[1]}.`);
    if (item().same.includes(`${state.edit}|${state.layer}|${state.head}`)) parts.push("Its attention is the same under the edit, for an edit reaches the attention of later layers only.");
    by("x-head").textContent = `Head ${site()}${aimed(state.layer, state.head) ? ", in the target" : ""}`;
    by("x-told").textContent = parts.join(" ");
  };
  const pictures = () => by("x-pictures").replaceChildren(picture(item().answered[0].arm, "unedited"), picture(state.edit, edited().did + " the target"));

  // The tokens in reading order, in groups of one role, shaded by the attention that the picked one gives them.
  const tokens = () => {
    const rows = pattern(item().answered[0].arm), strip = by("x-tokens"), buttons = [];
    strip.replaceChildren();
    let group = null, last = null;
    item().tokens.forEach((text, index) => {
      const role = item().roles[index] + (index >= item().prompt_length ? " (given)" : "");
      if (role !== last) {
        group = made("span", "", { class: "x-role" });
        group.append(made("span"), made("small", role || "text"));
        strip.append(group);
        last = role;
      }
      const chosen = index === state.query, weight = rows && index <= state.query ? rows[state.query][index] : 0;
      const button = made("button", shown(text), { type: "button", "aria-pressed": chosen, tabindex: chosen ? 0 : -1, "data-site": `t${index}`,
        "aria-label": `${place(index)}${rows && index <= state.query ? `, gets ${number(weight)}` : ""}` });
      button.style.background = `rgba(0,114,178,${(0.6 * weight).toFixed(3)})`;
      button.addEventListener("click", () => { state.query = index; render(button.dataset.site); });
      group.firstChild.append(button);
      buttons.push(button);
    });
    roving(buttons, 1);
  };
  const filled = (id, caption, heads, lines) => {
    const crown = made("thead"), body = made("tbody"), top = made("tr");
    top.append(...heads.map((words) => made("th", words, { scope: "col" })));
    crown.append(top);
    lines.forEach((line) => {
      const row = made("tr");
      line.forEach((words, index) => row.append(index ? made("td", words, { class: "n" }) : made("th", words, { scope: "row" })));
      body.append(row);
    });
    by(id).replaceChildren(made("caption", caption), crown, body);
  };
  const tables = () => {
    const [was, now] = [pattern(item().answered[0].arm), pattern(state.edit)];
    const cell = (rows, key) => (rows ? number(rows[state.query][key]) : "–");
    const tops = [was, now].filter(Boolean).flatMap((rows) => strongest(rows[state.query]).slice(0, TOP).filter(([value]) => value >= 0.01).map(([, key]) => key));
    const order = [...new Set(tops)], heads = ["unedited", edited().did];
    const roles = [...new Set(item().roles.slice(0, state.query + 1))];
    const share = (rows, role) => (rows ? number(total(rows[state.query].filter((_, key) => item().roles[key] === role))) : "–");
    filled("x-sources", `Top sources of ${place(state.query)}, then all tokens by role`, ["attended token", ...heads],
      [...order.map((key) => [place(key), cell(was, key), cell(now, key)]), ...roles.map((role) => [`all of role: ${role || "none"}`, share(was, role), share(now, role)])]);
    const [left, right] = [was, now].map((rows) => rows && kinds(rows));
    const mean = (found, index) => (found && found[index].mean !== null ? number(found[index].mean) : "–");
    filled("x-kinds", `Mean attention of ${site()} on this question`, ["to", ...heads, "over tokens"],
      KINDS.map(([name], index) => [name, mean(left, index), mean(right, index), String((left || right || [])[index]?.places ?? "–")]));
  };

  const render = (focus) => {
    controls();
    state.query = Math.min(state.query, item().tokens.length - 1);
    [outcome, grids, told, pictures, tokens, tables].forEach((part) => part());
    if (focus) document.querySelector(`[data-site="${focus}"]`)?.focus();
  };
  const fresh = () => { controls(); state.query = item().prompt_length - 1; render(); };
  const listen = (id, change) => by(id).addEventListener("change", () => { change(by(id).value); fresh(); });
  listen("x-model", (value) => Object.assign(state, { model: value, tier: "", item: 0 }));
  listen("x-tier", (value) => Object.assign(state, { tier: value, item: 0 }));
  listen("x-item", (value) => { state.item = Number(value); });
  listen("x-edit", (value) => { state.edit = value; });

  by("explore").hidden = false;
  controls();
  const first = /^L(\d+)H(\d+)$/.exec(data.models[state.model].targets[0] || "");
  if (first) Object.assign(state, { layer: Number(first[1]), head: Number(first[2]) });
  fresh();
  let waiting = 0, width = by("x-pictures").clientWidth;
  window.addEventListener("resize", () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => { if (by("x-pictures").clientWidth !== width) { width = by("x-pictures").clientWidth; pictures(); } }, 120);
  });
  by("explore").dataset.drawn = "yes";
})();
