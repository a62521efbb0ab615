// The live page without a library: panels come rendered from the server, this swaps what changed and marks it. Without this file the
// page still works, one load at a time. Nothing here computes or formats a figure.
(() => {
  const root = document.documentElement, choices = { theme: ["", "light", "dark"], density: ["", "compact", "roomy"] };
  for (const key of Object.keys(choices)) {
    const kept = localStorage.getItem("isthmus." + key);
    if (kept) root.dataset[key] = kept;
    for (const button of document.querySelectorAll(`[data-cycle="${key}"]`)) {
      const show = () => { button.querySelector("span").textContent = root.dataset[key] || (key === "theme" ? "system" : "regular"); };
      button.addEventListener("click", () => {
        const list = choices[key], now = list[(list.indexOf(root.dataset[key] ?? "") + 1) % list.length];
        if (now) root.dataset[key] = now; else delete root.dataset[key];
        localStorage.setItem("isthmus." + key, now); show();
      });
      show();
    }
  }
  const parsed = (html) => { const box = document.createElement("template"); box.innerHTML = html.trim(); return box.content.firstElementChild; };

  // Changes `old` into `fresh` in place, so that focus, selection and scroll stay where the reader left them.
  const morph = (old, fresh) => {
    if (old.nodeType !== fresh.nodeType || old.nodeName !== fresh.nodeName) { old.replaceWith(fresh); return; }
    if (old.nodeType !== Node.ELEMENT_NODE) { if (old.data !== fresh.data) old.data = fresh.data; return; }
    const before = old.dataset.v, after = fresh.dataset.v, same = old.dataset.f === fresh.dataset.f;
    for (const { name } of [...old.attributes]) if (!fresh.hasAttribute(name)) old.removeAttribute(name);
    for (const { name, value } of fresh.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
    const was = [...old.childNodes], next = [...fresh.childNodes];
    next.forEach((node, i) => { if (was[i]) morph(was[i], node); else old.append(node); });
    was.slice(next.length).forEach((node) => node.remove());
    if (same && before !== undefined && before !== after && old.textContent) {
      old.classList.add(Number(after) > Number(before) ? "flash-up" : "flash-down");
    }
  };

  const pulse = (text) => {
    const cell = document.querySelector(".pulse");
    cell?.classList.toggle("lost", Boolean(text));
    if (text) cell.querySelector("span").textContent = text;
  };
  if (document.body.dataset.stream) {
    let last = 0, at = Date.now(), lost = null;
    const source = new EventSource(document.body.dataset.stream);
    source.addEventListener("panel", (event) => {
      const { id, html, seq } = JSON.parse(event.data), old = document.getElementById(id), fresh = parsed(html);
      if (seq < last || !old || !fresh) return;
      last = seq; at = Date.now();
      morph(old, fresh);
    });
    source.addEventListener("open", () => { clearInterval(lost); lost = null; pulse(""); });
    source.addEventListener("error", () => {
      const say = () => pulse(`last event ${last.toLocaleString("en")}, ${Math.round((Date.now() - at) / 1000)} s ago, trying again`);
      if (!lost) { say(); lost = setInterval(say, 1000); }
    });
  }

  // The explanation of a figure: the same address as without script, opened beside the page, closed by Back, Esc or Close.
  let opener = null;
  const drawer = async (href) => {
    const asked = new URL(href, location.href), old = document.getElementById("drawer");
    const answer = await fetch(asked, { headers: { "X-Fragment": "drawer" } });
    if (!answer.ok || answer.redirected || !old) { location.assign(href); return; }
    old.replaceWith(parsed(await answer.text()));
    const fresh = document.getElementById("drawer");
    if (!fresh.hidden) fresh.focus(); else opener?.focus();
  };
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey || link.pathname !== location.pathname) return;
    const opens = new URLSearchParams(link.search).has("explain");
    if (!document.getElementById("drawer") || !(opens || link.hasAttribute("data-close"))) return;
    event.preventDefault();
    if (opens) opener = link;
    history.pushState({}, "", link.href);
    drawer(link.href);
  });
  addEventListener("popstate", () => { if (document.getElementById("drawer")) drawer(location.href); });
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") document.querySelector("[data-close]")?.click(); });
})();
