// Live rows. The page is complete without this file; it only adds what changes.
// Every event carries the ledger index it is good for, so a broken, frozen or
// restarted stream goes on from there and nothing is lost.
(() => {
  const box = document.querySelector('[data-live]');
  if (!box) return;
  const byMode = box.dataset.mode;
  const fresh = document.querySelector('[data-fresh]'), count = document.querySelector('[data-count]');
  const link = document.querySelector('[data-link]'), total = document.querySelector('[data-total]');
  const most = 400; // rows kept on the page; older ones are on the next
  const held = new Map(); // rows that wait for the reader, by id
  let at = box.dataset.after, source, dog;

  const parse = html => { const t = document.createElement('template'); t.innerHTML = html; return t.content; };
  const say = text => { link.hidden = !text; link.textContent = text; };
  // The list never moves under the reader: not while scrolled, focused or selecting.
  const reading = () => window.scrollY > 0 || box.contains(document.activeElement) || !getSelection().isCollapsed;

  const put = row => {
    const old = document.getElementById(row.id);
    if ('gone' in row.dataset) { if (old) { old.remove(); add(-1); } return; }
    if (old) { old.replaceWith(row); return; }
    const rows = [...box.rows], next = rows.find(r => r.dataset.sort < row.dataset.sort);
    if (!next && rows.length >= 100) return; // belongs to a later page
    box.insertBefore(row, next || null);
    row.classList.add('fresh');
    add(1);
    document.querySelector('[data-empty]')?.remove();
    while (box.rows.length > most) box.deleteRow(-1);
  };
  const add = n => { if (total) total.textContent = Number(total.textContent) + n; };
  const tell = () => { fresh.hidden = !held.size; fresh.textContent = held.size < most ? `新着 ${held.size} 件を表示` : `新着 ${most} 件以上 再読み込み`; count.textContent = held.size ? `新着 ${held.size} 件` : ''; };
  const take = row => {
    const old = document.getElementById(row.id);
    if (held.has(row.id) || (old ? old.contains(document.activeElement) || ('gone' in row.dataset && reading()) : reading() && !('gone' in row.dataset))) { if (held.size < most) held.set(row.id, row); }
    else put(row);
  };
  const show = () => { if (held.size >= most) return location.reload(); held.forEach(put); held.clear(); tell(); };
  fresh.addEventListener('click', show);

  const swap = html => {
    const focused = box.contains(document.activeElement) && document.activeElement.getAttribute('href');
    box.replaceChildren(parse(html));
    if (focused) [...box.querySelectorAll('a')].find(a => a.getAttribute('href') === focused)?.focus({ preventScroll: true });
  };

  const open = () => {
    source?.close();
    source = new EventSource(box.dataset.live + (box.dataset.live.includes('?') ? '&' : '?') + 'after=' + at);
    const on = (name, f) => source.addEventListener(name, e => { if (e.lastEventId) at = e.lastEventId; watch(); f(e); });
    source.onopen = () => { say(''); watch(); };
    source.onerror = () => { say('接続が切れました。つながり次第、抜けた分も表示します。'); if (source.readyState === 2) { clearTimeout(dog); dog = setTimeout(open, 2000); } };
    on('ping', () => {});
    on('rows', e => { [...parse(e.data).children].forEach(take); tell(); });
    on('fragment', e => swap(e.data));
    on('reload', () => location.reload());
    on('signedout', () => { source.close(); clearTimeout(dog); say('サインインの期限が切れました。再読み込みしてサインインしてください。'); });
  };
  // A stream that says nothing for three pings is dead, whatever the browser thinks.
  const watch = () => { clearTimeout(dog); dog = setTimeout(open, 45000); };
  document.addEventListener('visibilitychange', () => { if (!document.hidden && source.readyState === 2) open(); });
  addEventListener('pageshow', e => { if (e.persisted) open(); });
  addEventListener('pagehide', () => { source.close(); clearTimeout(dog); });
  open();
})();
