// The page /websocket: a room for all, and two lines that each visitor has for himself.

const address = path => new URL(path, location.href.replace(/^http/, "ws")).href;

function add(list, text, kind) {
  const item = document.createElement("li");
  item.textContent = text;
  item.className = kind;
  list.append(item);
  while (list.children.length > 50) list.firstElementChild.remove();
  list.scrollTop = list.scrollHeight;
}

// Echo and talk: opened with the first message, and again when it was closed.
for (const section of document.querySelectorAll("[data-line]")) {
  const list = section.querySelector("ol"), input = section.querySelector("input");
  let line = null;
  section.querySelector("form").addEventListener("submit", event => {
    event.preventDefault();
    if (line === null) {
      line = new WebSocket(address(section.dataset.line));
      line.onmessage = message => add(list, message.data, "other");
      line.onclose = closed => { line = null; add(list, `closed (${closed.code})`, "event"); };
    }
    const text = input.value, send = () => { line.send(text); add(list, text, "own"); };
    if (line.readyState === WebSocket.OPEN) send();
    else line.addEventListener("open", send);
  });
}

// The room. `last` is the position of the last message: with it a lost line loses nothing.
const room = document.querySelector("[data-room]");
const said = document.getElementById("said"), state = document.getElementById("state");
let line = null, name = "", last = "", pause = 1;

function enter() {
  const query = new URLSearchParams({name, last});
  line = new WebSocket(`${address(room.dataset.room)}?${query}`);
  line.onopen = () => { pause = 1; state.textContent = ""; };
  line.onmessage = ({data}) => {
    const message = JSON.parse(data);
    last = message.id ?? last;  // null while the bus is away
    if (message.missed) add(said, "some messages are missing here", "event");
    if (message.data) show(JSON.parse(message.data));
  };
  line.onclose = closed => {
    if (closed.code === 1008) { state.textContent = closed.reason; return; }
    state.textContent = "The line is lost. It comes back by itself.";
    setTimeout(enter, pause * 1000);
    pause = Math.min(2 * pause, 30);
  };
}

function show(message) {
  if (message.says) add(said, `${message.name}: ${message.says}`, message.name === name ? "own" : "other");
  else { add(said, `${message.name} ${message.does}`, "event"); who(); }
}

async function who() {
  const {names} = await (await fetch(room.dataset.who)).json();
  document.getElementById("here").replaceChildren(...names.map(each => {
    const item = document.createElement("li");
    item.textContent = each;
    return item;
  }));
}

document.getElementById("enter").addEventListener("submit", event => {
  event.preventDefault();
  name = document.getElementById("name").value.trim();
  event.target.hidden = true;
  document.querySelector(".kitchen").hidden = false;
  enter();
  document.getElementById("text").focus();
});

document.getElementById("say").addEventListener("submit", event => {
  event.preventDefault();
  const input = document.getElementById("text");
  if (line.readyState !== WebSocket.OPEN) return;
  line.send(input.value);
  input.value = "";
});
