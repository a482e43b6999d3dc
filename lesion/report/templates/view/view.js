// Fetches the page again while something runs, and puts its live part in place. Nothing else is loaded.
"use strict";
(() => {
  const EVERY = 3000;
  const box = document.getElementById("refresh");
  if (!box) return;
  box.closest("p").hidden = false;
  const renew = async () => {
    const live = document.getElementById("live");
    if (!box.checked || document.hidden || live.contains(document.activeElement)) return;
    const answer = await fetch(location.href, { cache: "no-store" });
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const fresh = page.getElementById("live");
    if (!answer.ok || !fresh || !fresh.hasAttribute("data-live")) {
      location.reload();
      return;
    }
    live.replaceWith(document.adoptNode(fresh));
  };
  const again = () => renew().catch(() => {}).finally(() => setTimeout(again, EVERY));
  setTimeout(again, EVERY);
})();
