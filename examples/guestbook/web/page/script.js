const form = document.querySelector("#sign");
const list = document.querySelector("#entries");
const count = document.querySelector("#count");
const notice = document.querySelector("#notice");
const shape = document.querySelector("#entry");

const seen = new Set();
const ago = new Intl.RelativeTimeFormat("en", { numeric: "auto" });

function since(time) {
  const seconds = (time - Date.now()) / 1000;
  for (const [unit, size] of [["day", 86400], ["hour", 3600], ["minute", 60]]) {
    if (-seconds >= size) return ago.format(Math.round(seconds / size), unit);
  }
  return "just now";
}

function say(text, bad = false) {
  notice.textContent = text;
  notice.classList.toggle("bad", bad);
}

// ask returns the answer, or throws with a text that a person can read.
async function ask(options) {
  let response;
  try {
    response = await fetch("/entries", options);
  } catch {
    throw new Error("The server does not answer.");
  }
  const answer = await response.json();
  if (!response.ok) throw new Error(`Sorry: ${answer.error}.`);
  return answer;
}

function show(entries) {
  const first = seen.size === 0;
  list.replaceChildren(...entries.map((entry) => {
    const item = shape.content.cloneNode(true).firstElementChild;
    const time = item.querySelector("time");
    const id = entry.time + entry.name + entry.message;
    item.classList.toggle("new", !first && !seen.has(id));
    seen.add(id);
    item.querySelector(".avatar").textContent = [...entry.name][0].toUpperCase();
    item.querySelector("strong").textContent = entry.name;
    item.querySelector(".text").textContent = entry.message;
    time.dateTime = entry.time;
    time.textContent = since(new Date(entry.time));
    return item;
  }));
  const n = entries.length;
  count.textContent = n === 0 ? "Nobody has signed yet" : n === 1 ? "1 entry" : `${n} entries`;
}

async function refresh() {
  try {
    show(await ask());
    if (notice.classList.contains("bad")) say("");
  } catch (error) {
    say(error.message, true);
  }
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const button = form.querySelector("button");
  button.disabled = true;
  try {
    const { name, message } = Object.fromEntries(new FormData(form));
    await ask({ method: "POST", body: JSON.stringify({ name, message }) });
    form.elements.message.value = "";
    say("Thank you!");
    await refresh();
  } catch (error) {
    say(error.message, true);
  } finally {
    button.disabled = false;
  }
});

await refresh();
setInterval(refresh, 5000);
