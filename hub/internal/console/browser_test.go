package console_test

import (
	"context"
	"fmt"
	"iter"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"sekimori/hub/internal/ledger"
	"sekimori/internal/clock"
	"sekimori/internal/record"
)

// chrome is a real browser on the console.
type chrome struct {
	context.Context
	t *testing.T
	w *town

	mu         sync.Mutex
	complaints []string // what the browser found wrong; guarded by mu
}

// newChrome starts a browser, with colours: light, dark or forced.
func newChrome(t *testing.T, w *town, colours string) *chrome {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.NoSandbox, chromedp.IgnoreCertErrors, chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true), chromedp.Flag("lang", "ja"), chromedp.WindowSize(1366, 768))
	switch colours {
	case "dark":
		options = append(options, chromedp.Flag("blink-settings", "preferredColorScheme=0"))
	case "forced":
		options = append(options, chromedp.Flag("force-high-contrast", true))
	}
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewExecAllocator(ctx, options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	c := &chrome{Context: ctx, t: t, w: w}
	c.do() // starts it
	messages := chromedp.Console(ctx)
	var listening sync.WaitGroup
	listening.Go(func() { c.listen(messages) })
	t.Cleanup(func() { cancel(); listening.Wait() })
	return c
}

// listen keeps what the browser complains of, but for what tests do on purpose:
// a hub that is stopped, a page that does not exist.
func (c *chrome) listen(messages iter.Seq2[chromedp.ConsoleMessage, error]) {
	for m, err := range messages {
		if err != nil {
			return
		}
		if strings.Contains(m.Text, "net::ERR_") || strings.Contains(m.Text, "status of 404") {
			continue
		}
		c.mu.Lock()
		c.complaints = append(c.complaints, m.String())
		c.mu.Unlock()
	}
}

func (c *chrome) do(a ...chromedp.Action[chromedp.Void]) {
	c.t.Helper()
	if err := chromedp.Do(c, a...); err != nil {
		c.t.Fatal(err)
	}
}

func get[T any](c *chrome, a chromedp.Action[T]) T {
	c.t.Helper()
	v, err := chromedp.Run(c, a)
	if err != nil {
		c.t.Fatal(err)
	}
	return v
}

func (c *chrome) open(path string) {
	c.t.Helper()
	c.do(chromedp.Navigate("https://"+c.w.addr+path), chromedp.WaitReady(chromedp.CSS("main")))
}

// signIn types a name and a password, as people do.
func (c *chrome) signIn(then string) {
	c.t.Helper()
	c.do(chromedp.SendKeys(chromedp.CSS("input[name=login]"), "yamada"), chromedp.SendKeys(chromedp.CSS("input[name=password]"), password+"\r"),
		chromedp.WaitReady(chromedp.CSS(then)))
}

// eventually waits for an expression to become true in the page.
func (c *chrome) eventually(expression string) {
	c.t.Helper()
	if _, err := chromedp.Run(c, chromedp.Poll[bool](expression, chromedp.WithPollingTimeout(30*time.Second))); err != nil {
		text, _ := chromedp.Run(c, chromedp.Text(chromedp.CSS("main")))
		c.t.Fatalf("never: %s: %v\n%s", expression, err, text)
	}
}

// check looks for violations and for a page wider than the screen.
func (c *chrome) check(where string) {
	c.t.Helper()
	if get(c, chromedp.Evaluate[bool](`document.documentElement.scrollWidth > innerWidth`)) {
		c.t.Errorf("%s: wider than the screen", where)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := c.w.reports.Load(); n > 0 || len(c.complaints) > 0 {
		c.t.Errorf("%s: %d reports of the content security policy, complaints %q", where, n, c.complaints)
		c.complaints = nil
	}
}

// TestBrowser: somebody signs in and watches; rows come in, over a restart of
// the hub too, and the list does not move while it is read.
func TestBrowser(t *testing.T) {
	w := newTown(t)
	c := newChrome(t, w, "light")
	c.open("/registers/entry")
	c.signIn("tbody")
	c.check("sign-in")

	now := clock.Now()
	w.event(record.KindEntered, enters("P07", "0000012345"), now.Add(-2*time.Minute))
	c.eventually(`document.querySelector('tbody').innerText.includes('𠮷田')`)
	t.Logf("a row is on the page %v after its fact", clock.Now().Sub(now).Round(time.Millisecond))
	c.eventually(`document.querySelector('[data-total]').textContent === '1' && !document.querySelector('[data-empty]')`)
	out := enters("P07", "0000012345")
	out.Direction = record.DirectionOut
	w.event(record.KindExited, out, now.Add(-time.Minute))
	c.eventually(`document.querySelectorAll('tbody tr').length === 1 && !document.querySelector('tbody').innerText.includes('在室中')`)

	w.stop() // and somebody enters before the browser is back
	w.start()
	w.event(record.KindEntered, enters("P01", ""), clock.Now())
	c.eventually(`document.querySelector('tbody tr').innerText.includes('山田')`)

	// While a row has the focus, a new one waits behind a button.
	c.do(chromedp.Focus(chromedp.CSS("tbody tr a")))
	w.event(record.KindEntered, enters("P08", ""), clock.Now())
	c.eventually(`document.querySelector('[data-fresh]').textContent.includes('新着 1 件') && !document.querySelector('[data-fresh]').hidden`)
	c.eventually(`document.querySelector('[data-count]').textContent === '新着 1 件' && document.querySelectorAll('tbody tr').length === 2`)
	c.do(chromedp.Click(chromedp.CSS("[data-fresh]")))
	c.eventually(`document.querySelectorAll('tbody tr').length === 3 && document.querySelector('tbody tr').innerText.includes('中村')`)
	c.check("live list")

	c.open("/")
	w.event(record.KindForcedOpen, record.DoorState{Door: "D31", Room: "R31", Level: 3}, clock.Now())
	c.eventually(`document.querySelector('main').innerText.includes('継続中の警報')`)
	c.check("today")
	c.keyboard()
	c.check("keyboard")

	// The check above can fail: what the policy refuses is reported.
	get(c, chromedp.Evaluate[bool](`document.body.append(Object.assign(document.createElement('style'), { textContent: 'body { color: red }' })), true`))
	for deadline := time.Now().Add(30 * time.Second); w.reports.Load() == 0; {
		if time.Now().After(deadline) {
			t.Fatal("an inline style was not reported")
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// keyboard: the first stop is the way to the content, and everything shows its
// focus.
func (c *chrome) keyboard() {
	c.t.Helper()
	c.open("/registers/entry")
	c.do(chromedp.KeyEvent("\t"))
	if first := get(c, chromedp.Evaluate[string](`document.activeElement.textContent`)); first != "本文へ移動" {
		c.t.Errorf("the first stop is %q", first)
	}
	var hidden []string
	for range 60 {
		c.do(chromedp.KeyEvent("\t"))
		at := get(c, chromedp.Evaluate[string](`(() => { const e = document.activeElement, s = getComputedStyle(e);
			return e === document.body ? 'end' : s.outlineStyle === 'none' || parseFloat(s.outlineWidth) < 2 ? e.outerHTML.slice(0, 80) : '' })()`))
		if at == "end" {
			break
		}
		if at != "" {
			hidden = append(hidden, at)
		}
	}
	if len(hidden) > 0 {
		c.t.Errorf("focus not visible: %q", hidden)
	}
}

// TestShapes shows every page at the sizes and in the colours people use:
// nothing is wider than the screen and nothing is refused. With SEKIMORI_SHOTS
// naming a folder, it leaves pictures there to look at.
func TestShapes(t *testing.T) {
	w := newTown(t)
	w.day(t)
	year := fiscalYear(clock.Now())
	pages := map[string]string{
		"today": "/", "occupants": "/occupants", "entry": "/registers/entry", "denials": "/registers/denials", "doors": "/doors",
		"newentry": "/registers/entry/new", "stay": "/registers/entry/R31/" + year + "/2", "denial": "/registers/denials/R31/" + year + "/1",
		"empty": "/registers/entry?" + url.Values{"person": {"いない人"}, "year": {year}}.Encode(), "missing": "/nowhere",
	}
	for _, colours := range []string{"light", "dark", "forced"} {
		c := newChrome(t, w, colours)
		c.open("/signin")
		c.shapes("signin", colours)
		c.signIn("dl.counts")
		if dark := get(c, chromedp.Evaluate[bool](`matchMedia('(prefers-color-scheme: dark)').matches`)); dark != (colours == "dark") && colours != "forced" {
			t.Errorf("%s: dark is %v", colours, dark)
		}
		if forced := get(c, chromedp.Evaluate[bool](`matchMedia('(forced-colors: active)').matches`)); forced != (colours == "forced") {
			t.Errorf("%s: forced is %v", colours, forced)
		}
		for name, path := range pages {
			c.open(path)
			c.shapes(name, colours)
		}
	}
}

// day is a day with something of everything.
func (w *town) day(t *testing.T) {
	t.Helper()
	now := clock.Now()
	out := func(p record.PersonID) record.Passage {
		e := enters(p, "0000012345")
		e.Direction = record.DirectionOut
		return e
	}
	w.event(record.KindEntered, enters("P01", "0000010001"), now.Add(-30*time.Hour))
	w.event(record.KindEntered, enters("P07", "0000012345"), now.Add(-100*time.Minute))
	w.event(record.KindExited, out("P07"), now.Add(-70*time.Minute))
	w.event(record.KindEntered, enters("P06", "0000010006"), now.Add(-50*time.Minute))
	w.event(record.KindEntered, enters("P08", "0000020008"), now.Add(-40*time.Minute))
	w.event(record.KindDenied, record.Passage{Door: "D31", Room: "R31", Level: 3, Reason: record.ReasonUnknownCredential, Method: record.MethodCard}, now.Add(-35*time.Minute))
	w.event(record.KindDenied, record.Passage{Door: "D31", Room: "R31", Level: 3, Person: "P05", Credential: "0000010005", Reason: record.ReasonNoPermit, Method: record.MethodCard}, now.Add(-30*time.Minute))
	w.event(record.KindForcedOpen, record.DoorState{Door: "D31", Room: "R31", Level: 3}, now.Add(-20*time.Minute))
	w.late(record.KindEntered, enters("P02", "0000010002"), now.Add(-20*time.Hour), now)
	w.settle()
	b := w.signedIn("yamada")
	local := func(d time.Duration) string { return now.Add(d).In(clock.JST).Format("2006-01-02T15:04") }
	b.post("/registers/entry/R31/"+fiscalYear(now)+"/1/close", url.Values{"exited": {local(-29 * time.Hour)}, "reason": {"退室釦の不具合。本人に聞き取りのうえ確認した"}})
	b.post("/registers/entry/new", url.Values{"room": {"R21"}, "person": {"P05"}, "entered": {local(-90 * time.Minute)}, "exited": {local(-80 * time.Minute)},
		"method": {"physical_key"}, "purpose": {"定期点検の立会い"}, "after": {"1"}, "paper": {"6-14"}})
	if err := w.Record(t.Context(), []ledger.Fact{{Row: ledger.Row{Kind: ledger.KindEvidenceGap, At: now.UTC(),
		Body: []byte(`{"device":"DC-21","epoch":"00000000000000000000000000000001","after":12,"before":15,"why":"番号が飛んでいる"}`)}}}); err != nil {
		t.Fatal(err)
	}
	w.settle()
	w.device("DC-31", record.TimeSynced, clock.Now())
	w.device("DC-21", record.TimeSynced, clock.Now().Add(-3*time.Hour))
}

// shapes looks at the present page in every size.
func (c *chrome) shapes(name, colours string) {
	c.t.Helper()
	folder := os.Getenv("SEKIMORI_SHOTS")
	for _, width := range []int64{1366, 390, 320} {
		c.do(chromedp.EmulateViewport(width, 768))
		c.check(fmt.Sprintf("%s at %d px, %s", name, width, colours))
		if folder == "" {
			continue
		}
		png := get(c, chromedp.FullScreenshot(100))
		if err := os.WriteFile(filepath.Join(folder, fmt.Sprintf("%s-%d-%s.png", name, width, colours)), png, 0o644); err != nil {
			c.t.Fatal(err)
		}
	}
}
