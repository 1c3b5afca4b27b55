// Opens what a link leads to, writes times as they are here, copies, keeps a live page up to date, and takes "/" to the
// search. Without it, pages work too.

function reveal() {
  const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (!target) return;
  const closed = target.matches("details") ? target : target.querySelector(":scope > details");
  if (closed) closed.open = true;
  for (let outer = target.parentElement.closest("details"); outer; outer = outer.parentElement.closest("details")) {
    outer.open = true;
  }
  target.scrollIntoView({ block: target.closest("svg") ? "nearest" : "center" });
  const focus = () => (closed?.querySelector("summary") ?? target).focus({ preventScroll: true });
  focus();
  // Chromium clears the focus when it scrolls to what the address names, which may be in the frame after this.
  requestAnimationFrame(() => setTimeout(focus));
}

// Times as this machine's clock shows them; UTC, as the ledger has them, is under the pointer.
function localize(root) {
  for (const time of root.querySelectorAll("time[data-local]")) {
    const moment = new Date(time.dateTime);
    const local = new Date(moment - moment.getTimezoneOffset() * 60_000).toISOString().replace("T", " ");
    time.title = time.textContent;
    time.textContent = local.slice(0, time.dataset.local === "seconds" ? 19 : 23);
  }
  const zone = new Intl.DateTimeFormat("en", { timeZoneName: "short" }).formatToParts();
  for (const each of root.querySelectorAll(".zone")) each.textContent = zone.find(({ type }) => type === "timeZoneName").value;
  for (const button of root.querySelectorAll(".copy")) button.hidden = false;
}

async function copy(button) {
  await navigator.clipboard.writeText(button.dataset.copy);
  button.classList.add("done");
  document.getElementById("announcement")?.replaceChildren("copied");
  setTimeout(() => button.classList.remove("done"), 1500);
}

// What a person has opened and where they are stays as it is.
function replace(main, fresh) {
  const open = [...main.querySelectorAll("details[open][id]")].map((each) => each.id);
  const scrolled = [...main.querySelectorAll(".scroll")].map((each) => each.scrollLeft);
  const focused = main.contains(document.activeElement) ? path(document.activeElement, main) : null;
  localize(fresh);
  main.replaceChildren(...fresh.childNodes);
  for (const id of open) document.getElementById(id)?.setAttribute("open", "");
  main.querySelectorAll(".scroll").forEach((each, place) => { each.scrollLeft = scrolled[place] ?? 0; });
  if (focused) focused.reduce((at, place) => at?.children[place], main)?.focus({ preventScroll: true });
}

function path(element, root) {
  const places = [];
  for (let at = element; at !== root; at = at.parentElement) places.unshift([...at.parentElement.children].indexOf(at));
  return places;
}

function live(main) {
  const state = document.getElementById("live-state");
  let etag = "";

  function say(name, text) {
    state.className = `live-state ${name}`;
    state.textContent = text;
  }

  async function look() {
    // Nobody looks, or somebody types: not now.
    if (document.hidden || main.querySelector("input:focus, select:focus")) return;
    try {
      const answer = await fetch(location.pathname + location.search, { headers: { "If-None-Match": etag }, cache: "no-store" });
      if (answer.status !== 304) {
        const page = new DOMParser().parseFromString(await answer.text(), "text/html");
        if (!answer.ok) {
          const texts = [...page.querySelectorAll("h1, .command code")].map((each) => each.textContent);
          return say("lost", texts.join(": "));
        }
        etag = answer.headers.get("ETag") ?? "";
        const fresh = page.getElementById("main");
        if (fresh.dataset.says !== main.dataset.says) {
          document.getElementById("announcement").textContent = fresh.dataset.says;
          document.title = page.title;
        }
        replace(main, fresh);
        for (const name of ["live", "says"]) {
          if (name in fresh.dataset) main.dataset[name] = fresh.dataset[name];
          else delete main.dataset[name];
        }
      }
      say("live", "live");
    } catch {
      say("lost", "connection lost");
    }
  }

  async function next() {
    await look();
    if (main.dataset.live) setTimeout(next, Number(main.dataset.live));
    else say("", "");
  }

  if (main.dataset.live) {
    say("live", "live");
    setTimeout(next, Number(main.dataset.live));
  }
}

addEventListener("hashchange", reveal);
addEventListener("keydown", (event) => {
  const search = document.querySelector("input[type=search]");
  if (event.key === "/" && search && !event.target.matches("input, select, textarea")) {
    event.preventDefault();
    search.focus();
  }
});
// A link to where one is already brings no hashchange.
addEventListener("click", (event) => {
  const button = event.target.closest(".copy");
  if (button) copy(button);
  const link = event.target.closest("a");
  if (link && String(link.getAttribute("href")) === location.hash) setTimeout(reveal);
});
// Where the picture is wider than its place, begin where the execution began.
for (const picture of document.querySelectorAll(".picture .scroll")) {
  const start = picture.querySelector(".circle").getBoundingClientRect();
  picture.scrollLeft += start.left + start.width / 2 - picture.getBoundingClientRect().left - picture.clientWidth / 2;
}
localize(document);
reveal();
live(document.getElementById("main"));
