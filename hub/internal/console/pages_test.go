package console_test

import (
	"encoding/json"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"sekimori/hub/internal/ledger"
	"sekimori/internal/clock"
	"sekimori/internal/record"
)

// TestPages renders every page with rows in it, and with none.
func TestPages(t *testing.T) {
	w := newTown(t)
	b := w.signedIn("yamada")
	paths := []string{"/", "/occupants", "/registers/entry", "/registers/denials", "/registers/entry/new", "/doors"}
	for _, p := range paths {
		checkPage(t, b, p)
	}
	now := clock.Now()
	w.event(record.KindEntered, enters("P07", "0000012345"), now.Add(-time.Hour))
	w.event(record.KindDenied, record.Passage{Door: "D31", Room: "R31", Level: 3, Reason: record.ReasonUnknownCredential}, now.Add(-time.Minute))
	w.event(record.KindForcedOpen, record.DoorState{Door: "D31", Room: "R31", Level: 3}, now)
	w.event(record.KindDoorEquipped, record.DoorEquipped{Door: "D31", Readers: []record.ReaderFitted{
		{Reader: "D31-in", Direction: record.DirectionIn, Driver: "wiegand", Proof: record.ProofUIDOnly},
		{Reader: "D31-fp", Direction: record.DirectionIn, Driver: "fingerprint", Proof: record.ProofBiometric, Secure: true}}}, now) // [T-22]
	row := "/registers/entry/R31/" + fiscalYear(now) + "/1"
	for _, p := range append(paths, row, "/registers/denials/R31/"+fiscalYear(now)+"/1") {
		checkPage(t, b, p)
	}
	for path, want := range map[string][]string{
		"/":                  {"継続中の警報", "1人", "要対応", "関森市"},
		"/occupants":         {"𠮷田 誠", "総務課情報係"},
		"/registers/entry":   {"𠮷田 誠", "…2345", "カード+暗証番号", "令和", "在室中"},
		"/registers/denials": {"未登録", "強制開扉", "警報"},
		"/doors":             {"施錠", "DC-31", "正常", "未登録", "D31-fp", "照合情報", "保護あり", "番号のみのカードで入室する扉"},
		row:                  {"退室を記入する", "000-7.2"},
	} {
		body := html.UnescapeString(b.page(path))
		for _, s := range want {
			if !strings.Contains(body, s) {
				t.Errorf("%s lacks %q", path, s)
			}
		}
		if strings.Contains(body, "0000012345") {
			t.Errorf("%s shows a whole card number", path)
		}
	}
}

// checkPage is what holds for every page.
func checkPage(t *testing.T, b *browser, path string) {
	t.Helper()
	r, body := b.get(path)
	if r.StatusCode != http.StatusOK {
		t.Errorf("%s: %s", path, r.Status)
	}
	if csp := r.Header.Get("Content-Security-Policy"); !strings.HasPrefix(csp, "default-src 'none'") || strings.Contains(csp, "unsafe") {
		t.Errorf("%s: CSP %q", path, csp)
	}
	for _, h := range []string{"X-Content-Type-Options", "Referrer-Policy", "Cross-Origin-Opener-Policy", "Permissions-Policy"} {
		if r.Header.Get(h) == "" {
			t.Errorf("%s lacks %s", path, h)
		}
	}
	if r.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("%s: Cache-Control %q", path, r.Header.Get("Cache-Control"))
	}
	for _, s := range []string{`lang="ja"`, `href="#main"`, "<h1>", "</html>"} {
		if !strings.Contains(body, s) {
			t.Errorf("%s lacks %s", path, s)
		}
	}
	if inline.MatchString(body) {
		t.Errorf("%s has inline script or style: %s", path, inline.FindString(body))
	}
	if strings.Contains(body, "ZgotmplZ") || strings.Contains(body, "<no value>") {
		t.Errorf("%s has a value the template could not place", path)
	}
}

var inline = regexp.MustCompile(`(?i)<script[^>]*>[^<]|\sstyle=|<style|\son[a-z]+=|javascript:|hx-on|hx-vals`)

// TestHostileNames: what people and devices write is text, in pages, streams
// and the API [T-43].
func TestHostileNames(t *testing.T) {
	w := newTown(t)
	b := w.signedIn("yamada")
	evil := `<script>alert(1)</script>"'=HYPERLINK("x")` + "\u202e逆\u2028"
	now := clock.Now()
	fact := ledger.EntryByHand{Room: "R31", Person: "P07", Entered: now.Add(-time.Hour).UTC(), Method: record.MethodKey, Purpose: evil, Paper: evil, Note: evil}
	raw, err := json.Marshal(fact)
	if err != nil {
		t.Fatal(err)
	}
	who := ledger.Resolved{Person: "P07", Name: evil, Section: evil, Post: evil, Category: evil}
	if err := w.Record(t.Context(), []ledger.Fact{{Row: ledger.Row{Kind: ledger.KindEntryByHand, At: now.UTC(), Who: &who, Actor: &who, Via: "console", Body: raw}}}); err != nil {
		t.Fatal(err)
	}
	w.settle()
	pages := []string{"/", "/occupants", "/registers/entry", "/registers/entry/R31/" + fiscalYear(now) + "/1",
		"/registers/entry?" + url.Values{"person": {evil}, "room": {evil}}.Encode(), "/signin?next=" + url.QueryEscape(evil)}
	for _, p := range pages {
		_, body := b.get(p)
		if strings.Contains(body, "<script>alert") {
			t.Errorf("%s runs a name", p)
		}
	}
	if body := b.page("/registers/entry"); !strings.Contains(body, "&lt;script&gt;alert(1)") || !strings.Contains(body, "\u202e逆") {
		t.Error("the name is not shown as it was written")
	}
	var l struct{ Rows []struct{ Name string } }
	if err := json.Unmarshal([]byte(b.page("/api/v1/registers/entry")), &l); err != nil || len(l.Rows) != 1 || l.Rows[0].Name != evil {
		t.Errorf("API: %+v %v", l, err)
	}
	events := b.stream(t, "/live/entry?after=-1", "")
	if e := events.next(t, "rows"); strings.Contains(e.data, "<script>alert") || !strings.Contains(e.data, "&lt;script&gt;") {
		t.Errorf("stream: %s", e.data)
	}
}

// TestNames: glyphs that break elsewhere are the same code points in the page.
func TestNames(t *testing.T) {
	w := newTown(t)
	b := w.signedIn("yamada")
	for n, p := range []record.PersonID{"P05", "P06", "P07"} {
		w.event(record.KindEntered, enters(p, ""), clock.Now().Add(time.Duration(n-9)*time.Minute))
	}
	body := b.page("/registers/entry")
	for _, name := range []string{"﨑山 律子", "辻\U000e0100 健", "𠮷田 誠"} {
		if !strings.Contains(body, name) {
			t.Errorf("%+q is not on the page", name)
		}
	}
	for search, found := range map[string]string{"崎山": "﨑山", "吉田": "𠮷田", "辻": "辻", "ジョウホウ": "", "p06": "辻", "情報係": "𠮷田"} {
		body := b.page("/registers/entry?person=" + url.QueryEscape(search))
		if found != "" && (!strings.Contains(body, found) || !strings.Contains(body, "data-total>1<")) || found == "" && !strings.Contains(body, "この条件の行はありません") {
			t.Errorf("search %q does not find %q alone", search, found)
		}
	}
}

// TestFilters: a list is exactly what its address says, and its numbers add up.
func TestFilters(t *testing.T) {
	w := newTown(t)
	b := w.signedIn("yamada")
	now := clock.Now()
	today := now.Add(-3 * time.Second).In(clock.JST).Format(time.DateOnly)
	w.event(record.KindEntered, enters("P01", ""), now.Add(-49*time.Hour)) // 退室未確認 by its length
	w.event(record.KindEntered, enters("P07", ""), now.Add(-3*time.Second))
	out := enters("P07", "")
	out.Direction = record.DirectionOut
	w.event(record.KindExited, out, now.Add(-2*time.Second))
	w.event(record.KindDenied, record.Passage{Door: "D31", Room: "R31", Level: 3, Person: "P05", Reason: record.ReasonNoPermit}, now.Add(-time.Second))
	for path, want := range map[string]int{
		"/registers/entry":                                   2,
		"/registers/entry?open=1":                            1,
		"/registers/entry?open=1&result=exit_unconfirmed":    1,
		"/registers/entry?result=granted":                    1,
		"/registers/entry?room=R21":                          0,
		"/registers/entry?room=R31":                          2,
		"/registers/entry?from=" + today + "&to=" + today:    1,
		"/registers/entry?person=P01":                        1,
		"/registers/entry?year=1999":                         0,
		"/registers/entry?page=7":                            2,
		"/registers/entry?from=garbage&month=13&page=-1":     2,
		"/registers/denials":                                 1,
		"/registers/denials?reason=no_permit_for_room":       1,
		"/registers/denials?reason=unknown_credential":       0,
		"/registers/denials?severity=alarm":                  0,
		"/registers/denials?kind=access_denied&room=R31":     1,
		"/registers/denials?person=" + url.QueryEscape("崎山"): 1,
		"/registers/denials?open=1":                          0,
	} {
		if got := total(b.page(path)); got != want {
			t.Errorf("%s: %d rows, want %d", path, got, want)
		}
	}
	// Every number on 本日の状況 is the number of rows behind it.
	body := b.page("/")
	checked := 0
	for _, l := range anchor.FindAllStringSubmatch(body, -1) {
		number := digits.FindString(tag.ReplaceAllString(l[2], ""))
		if number == "" {
			continue
		}
		checked++
		if got := total(b.page(html.UnescapeString(l[1]))); got != atoi(number) {
			t.Errorf("%s says %s and lists %d", l[1], number, got)
		}
	}
	if checked < 8 {
		t.Fatalf("%d numbers on the page", checked)
	}
}

var (
	anchor = regexp.MustCompile(`(?s)<a href="(/registers/[^"?]+\?[^"]+)"[^>]*>(.*?)</a>`)
	tag    = regexp.MustCompile(`<[^>]+>`)
	digits = regexp.MustCompile(`\d+`)
)

// TestActs: only the room's manager acts; what was is not lost [T-29] [000-8.1].
func TestActs(t *testing.T) {
	w := newTown(t)
	manager, other := w.signedIn("yamada"), w.signedIn("takahashi")
	now := clock.Now()
	w.event(record.KindEntered, enters("P07", ""), now.Add(-2*time.Hour))
	row := "/registers/entry/R31/" + fiscalYear(now.Add(-2*time.Hour)) + "/1"
	local := func(t time.Time) string { return t.In(clock.JST).Format("2006-01-02T15:04") }
	form := url.Values{"exited": {local(now.Add(-time.Hour))}, "reason": {"退室釦の故障。本人に確認"}}
	if r, _ := other.post(row+"/close", form); r.StatusCode != http.StatusForbidden {
		t.Errorf("somebody else closes a stay: %s", r.Status)
	}
	for name, bad := range map[string]url.Values{
		"no reason": {"exited": form["exited"]}, "no time": {"reason": {"x"}}, "future": {"exited": {local(now.Add(time.Hour))}, "reason": {"x"}},
		"before entry": {"exited": {local(now.Add(-3 * time.Hour))}, "reason": {"x"}}, "long": {"exited": form["exited"], "reason": {strings.Repeat("長", 201)}},
	} {
		if r, body := manager.post(row+"/close", bad); r.StatusCode != http.StatusUnprocessableEntity || !strings.Contains(body, `role="alert"`) {
			t.Errorf("%s: %s", name, r.Status)
		}
	}
	if r, body := manager.post(row+"/close", form); r.StatusCode != http.StatusSeeOther {
		t.Fatalf("close: %s %s", r.Status, body)
	}
	w.settle()
	for _, p := range []string{row, "/registers/entry"} {
		body := manager.page(p)
		for _, s := range []string{"退室未確認", "退室釦の故障。本人に確認", "山田 太郎"} {
			if !strings.Contains(body, s) {
				t.Errorf("%s lacks %q after the closing", p, s)
			}
		}
	}
	if r, _ := manager.post(row+"/close", form); r.StatusCode != http.StatusUnprocessableEntity {
		t.Errorf("closed twice: %s", r.Status)
	}
	hand := url.Values{"room": {"R31"}, "person": {"P08"}, "entered": {local(now.Add(-30 * time.Minute))}, "method": {"physical_key"}, "after": {"1"}, "paper": {"紙-12"}}
	if r, _ := other.post("/registers/entry/new", hand); r.StatusCode != http.StatusUnprocessableEntity { // she manages R11 only
		t.Errorf("entry by hand by another room's manager: %s", r.Status)
	}
	if r, body := manager.post("/registers/entry/new", hand); r.StatusCode != http.StatusSeeOther {
		t.Fatalf("entry by hand: %s %s", r.Status, body)
	}
	w.settle()
	if body := manager.page("/registers/entry?person=P08"); !strings.Contains(body, "事後転記") || !strings.Contains(body, "紙-12") || !strings.Contains(body, "中村 保") {
		t.Error("the entry by hand is not shown")
	}
	if r, _ := other.post("/doors/D31/close", url.Values{"reason": {"incident"}}); r.StatusCode != http.StatusForbidden || len(w.orders) > 0 {
		t.Errorf("order by somebody else: %s %v", r.Status, w.orders)
	}
	for path, form := range map[string]url.Values{"/doors/D31/rearm": {"reason": {"fire_over"}}, "/doors/D31/close": {"reason": {"because P07"}}, "/doors/D99/close": {}, "/doors/D31/open": {}} {
		if r, _ := manager.post(path, form); r.StatusCode < 400 || len(w.orders) > 0 {
			t.Errorf("%s %v: %s %v", path, form, r.Status, w.orders)
		}
	}
	if r, _ := manager.post("/doors/D31/rearm", url.Values{"reason": {"fire_over"}, "checked": {"1"}}); r.StatusCode != http.StatusSeeOther || len(w.orders) != 1 {
		t.Fatalf("rearm: %s %v", r.Status, w.orders)
	}
	if o := w.orders[0]; o.Device != "DC-31" || o.Purpose != record.PurposeRearm || o.Issuer.Person != "P01" || o.Role != "entry_manager_R31" || o.Via != "console" {
		t.Errorf("order %+v", o)
	}
}

// TestDevices: a device that is silent is never 正常 [T-50].
func TestDevices(t *testing.T) {
	w := newTown(t)
	b := w.signedIn("yamada")
	w.device("DC-31", record.TimeSynced, clock.Now())
	if body := b.page("/doors"); !strings.Contains(body, "施錠</span>") || !strings.Contains(body, "同期") {
		t.Error("a fresh device is not shown as it says it is")
	}
	w.device("DC-31", record.TimeUnsynced, clock.Now())
	if body := b.page("/"); !strings.Contains(body, "要確認") || !strings.Contains(body, "時計 未同期") {
		t.Error("an unsynced clock is not shown")
	}
	for _, ago := range []time.Duration{2 * time.Minute, -2 * time.Minute} {
		w.device("DC-31", record.TimeSynced, clock.Now().Add(-ago))
		if body := b.page("/doors"); !strings.Contains(body, "不明（最後は施錠）") || strings.Contains(body, "正常</span>") {
			t.Errorf("a status of %v ago counts as fresh", ago)
		}
	}
}

func TestHealth(t *testing.T) {
	w := newTown(t)
	b := w.browser()
	b.page("/livez")
	b.page("/readyz")
	if body := b.page("/api/openapi.yaml"); !strings.HasPrefix(body, "openapi: 3.1") {
		t.Error("no OpenAPI file")
	}
	signed := w.signedIn("yamada")
	w.broken.Store(&errDiskFull)
	if r, body := b.get("/readyz"); r.StatusCode != http.StatusServiceUnavailable || strings.Contains(body, "disk") {
		t.Errorf("ready while nothing can be stored: %s %s", r.Status, body)
	}
	if body := signed.page("/"); !strings.Contains(body, "記録を保存できません") {
		t.Error("本日の状況 does not say that nothing can be stored")
	}
	if r, body := signed.post("/registers/entry/new", url.Values{"room": {"R31"}, "person": {"P08"}, "entered": {"2026-06-15T09:00"}, "method": {"card"}}); r.StatusCode != http.StatusServiceUnavailable || !strings.Contains(body, "SK-1501") {
		t.Errorf("an act that was not recorded: %s", r.Status)
	}
	if r, _ := b.signIn("yoshida", password); r.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("a sign-in that cannot be recorded: %s", r.Status)
	}
	if r, _ := b.get("/api/v1/today"); r.StatusCode != http.StatusUnauthorized {
		t.Errorf("API without a session: %s", r.Status)
	}
}
