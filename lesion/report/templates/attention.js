"use strict";
// What both attention pages draw with: elements, tokens, patterns, buttons. Text is only ever set as text.
const attention = (() => {
  const SVG = "http://www.w3.org/2000/svg", STEPS = 65535;
  const filled = (element, attributes) => {
    Object.entries(attributes).forEach(([name, value]) => element.setAttribute(name, value));
    return element;
  };
  const made = (tag, words = "", attributes = {}) => {
    const element = document.createElement(tag);
    element.textContent = words;
    return filled(element, attributes);
  };
  const drawn = (tag, attributes, words) => {
    const element = filled(document.createElementNS(SVG, tag), attributes);
    if (words !== undefined) element.textContent = words;
    return element;
  };
  const shown = (text) => (text === "" ? "∅" : text.replaceAll(" ", "␣").replaceAll("\n", "⏎").replaceAll("\t", "⇥"));
  const number = (value, digits) => value.toFixed(digits).replace("-", "−");
  const total = (numbers) => numbers.reduce((sum, value) => sum + value, 0);
  // A pattern is the lower triangle, row after row, in 16-bit steps.
  const unpacked = (packed, tokens) => {
    const bytes = Uint8Array.from(atob(packed), (c) => c.charCodeAt(0)), rows = [];
    for (let query = 0, next = 0; query < tokens; query++) {
      const row = [];
      for (let key = 0; key <= query; key++, next++) row.push((bytes[2 * next] + 256 * bytes[2 * next + 1]) / STEPS);
      rows.push(row);
    }
    return rows;
  };
  // Kinds of attention: name, a row's share, and which rows count; `before` gives the earlier places of the same token.
  const kinds = (before) => [
    ["what came after an earlier same token (induction stripe)", (row, query) => total(before(query).map((key) => row[key + 1])), (query) => before(query).length > 0],
    ["an earlier same token", (row, query) => total(before(query).map((key) => row[key])), (query) => before(query).length > 0],
    ["the previous token", (row, query) => row[query - 1], (query) => query > 0],
    ["the first token", (row) => row[0], (query) => query > 0],
  ];
  // Arrow keys move among the buttons of a grid or a toolbar; one of them is a tab stop.
  const roving = (buttons, columns) => buttons.forEach((button, index) => button.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns, Home: -index, End: buttons.length - 1 - index }[event.key];
    if (step === undefined || !buttons[index + step]) return;
    event.preventDefault();
    buttons[index + step].focus();
  }));
  const choices = (id, values, chosen) => document.getElementById(id).replaceChildren(...values.map(([value, words]) => {
    const option = made("option", words, { value });
    option.selected = String(value) === String(chosen);
    return option;
  }));
  return { made, drawn, shown, number, total, unpacked, kinds, roving, choices };
})();
