package people_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sekimori/hub/internal/ledger"
	"sekimori/hub/internal/people"
	"sekimori/hub/internal/pki"
	"sekimori/hub/internal/pki/pkitest"
	"sekimori/hub/internal/store"
	"sekimori/internal/clock"
	"sekimori/internal/record"
)

const fixture = "../../../configs/fixture/kanmori.yaml"

// at runs f with the clock at an instant in JST, in virtual time.
func at(t *testing.T, instant string, f func(t *testing.T, o *office)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		sleepUntil(t, instant)
		f(t, newOffice(t))
	})
}

func sleepUntil(tb testing.TB, instant string) {
	tb.Helper()
	time.Sleep(time.Until(jst(tb, instant)))
}

func jst(tb testing.TB, s string) time.Time {
	tb.Helper()
	t, err := time.ParseInLocation("2006-01-02 15:04", s, clock.JST)
	if err != nil {
		tb.Fatal(err)
	}
	return t
}

// office is a hub's master data over a store in memory.
type office struct {
	*people.Registry
	store   *pkitest.Store
	seal    *pki.Sealer
	dir     *people.Directory
	changes int
}

func newOffice(tb testing.TB) *office {
	tb.Helper()
	seal, err := pki.NewSealer(bytes.Repeat([]byte{7}, 32))
	if err != nil {
		tb.Fatal(err)
	}
	o := &office{store: pkitest.NewStore(), seal: seal}
	if o.dir, err = people.NewDirectory(context.Background(), o.store); err != nil {
		tb.Fatal(err)
	}
	o.Registry = people.NewRegistry(o.store, pkitest.Ledger{}, seal, o.dir, func() { o.changes++ })
	return o
}

func mustText(tb testing.TB, edits ...string) []byte {
	tb.Helper()
	b, err := os.ReadFile(fixture)
	if err != nil {
		tb.Fatal(err)
	}
	text := string(b)
	for i := 0; i < len(edits); i += 2 {
		if strings.Count(text, edits[i]) != 1 {
			tb.Fatalf("%q is %d times in the fixture", edits[i], strings.Count(text, edits[i]))
		}
		text = strings.Replace(text, edits[i], edits[i+1], 1)
	}
	return []byte(text)
}

// mustCity is the fixture with edits: old, new, old, new.
func mustCity(tb testing.TB, edits ...string) people.City {
	tb.Helper()
	c, err := people.Parse("city.yaml", mustText(tb, edits...))
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

func (o *office) mustImport(tb testing.TB, c people.City, prune bool) people.Report {
	tb.Helper()
	r, err := o.Import(context.Background(), c, people.Options{By: "P01", Via: "import", Prune: prune})
	if err != nil {
		tb.Fatal(err)
	}
	return r
}

func (o *office) secrets(tb testing.TB) (s people.Secrets) {
	tb.Helper()
	err := o.store.View(context.Background(), func(tx store.ReadTx) (err error) {
		s, err = people.ReadSecrets(tx, o.seal)
		return err
	})
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// [T-43] [T-30]: glyphs come out as they went in, code point by code point.
func TestNamesKeepTheirGlyphs(t *testing.T) {
	at(t, "2026-06-15 08:00", func(t *testing.T, o *office) {
		o.mustImport(t, mustCity(t), false)
		for id, want := range map[record.PersonID]string{
			"P02": "\u9ad9橋 花子", "P05": "\ufa11山 律子", "P06": "\u8fbb\U000e0100 健", "P07": "\U00020bb7田 誠",
		} {
			got, ok := o.dir.Resolve(id, clock.Now())
			if !ok || got.Name != want {
				t.Errorf("%s is %+q, want %+q", id, got.Name, want)
			}
		}
		p07, _ := o.dir.Resolve("P07", clock.Now())
		if p07.Section != "総務課情報係" || p07.Category != "職員" {
			t.Errorf("P07 is %+v", p07)
		}
		if p01, _ := o.dir.Resolve("P01", clock.Now()); p01.Post != "総務課長" {
			t.Errorf("P01 is %+v", p01)
		}
		var declared store.MasterItem
		for _, r := range o.store.RowsOf(ledger.KindMasterDeclared) {
			if bytes.Contains(r.Body, []byte(`"ID":"P06"`)) {
				if err := json.Unmarshal(r.Body, &declared); err != nil {
					t.Fatal(err)
				}
			}
		}
		if !bytes.Contains(declared.Data, []byte("\u8fbb\U000e0100")) {
			t.Errorf("the ledger says %s", declared.Data)
		}
	})
}

// TestImportTwiceChangesNothing: PINs included, whose salts are random.
func TestImportTwiceChangesNothing(t *testing.T) {
	at(t, "2026-06-15 08:00", func(t *testing.T, o *office) {
		first := o.mustImport(t, mustCity(t), false)
		rows, held := len(o.store.Rows()), o.store.Everything()
		second := o.mustImport(t, mustCity(t), false)
		if second.Added+second.Changed+second.Ended != 0 || second.Unchanged != first.Added || len(o.store.Rows()) != rows || o.changes != 1 {
			t.Errorf("first %+v, second %+v, %d facts more, told %d times", first, second, len(o.store.Rows())-rows, o.changes)
		}
		if len(o.store.Everything()) != len(held) {
			t.Error("something was written")
		}
		if len(second.Warnings) != 0 || len(second.NotInFile) != 0 {
			t.Errorf("%+v", second)
		}
	})
}

// TestOnlyWhatChangedIsDeclared, from now on and not for yesterday [T-33].
func TestOnlyWhatChangedIsDeclared(t *testing.T) {
	at(t, "2026-06-15 08:00", func(t *testing.T, o *office) {
		o.mustImport(t, mustCity(t), false)
		before := len(o.store.Rows())
		sleepUntil(t, "2026-06-20 12:00")
		r := o.mustImport(t, mustCity(t, "section: 総務課情報係,", "section: 総務課,"), false)
		if r.Changed != 1 || r.Added != 0 || len(o.store.Rows()) != before+1 {
			t.Errorf("%+v, %d facts", r, len(o.store.Rows())-before)
		}
		for when, want := range map[string]string{"2026-06-20 11:59": "総務課情報係", "2026-06-20 12:01": "総務課", "2026-01-01 00:00": "総務課情報係"} {
			if got, _ := o.dir.Resolve("P07", jst(t, when)); got.Section != want {
				t.Errorf("on %s P07 was in %s, want %s", when, got.Section, want)
			}
		}
		row := o.store.Rows()[before]
		if row.Actor == nil || row.Actor.Name != "山田 太郎" || row.Via != "import" || len(row.Basis) == 0 {
			t.Errorf("fact %+v", row)
		}
		var item store.MasterItem
		if err := json.Unmarshal(row.Body, &item); err != nil || item.Index != int64(before) || item.ID != "P07" {
			t.Errorf("fact names item %+v, %v", item, err)
		}
	})
}

// [T-33]: what is entered in advance (内示) begins at 0:00 of its day.
func TestAdvanceNoticeTakesEffectOnItsDay(t *testing.T) {
	at(t, "2026-06-15 08:00", func(t *testing.T, o *office) {
		o.mustImport(t, mustCity(t), false)
		sleepUntil(t, "2026-06-25 09:00")
		o.mustImport(t, mustCity(t, "effective: 2026-04-01", "effective: 2026-07-01", "title: 市民生活課長", "title: 税務課長"), false)
		for when, want := range map[string]string{"2026-06-30 23:59": "市民生活課長", "2026-07-01 00:00": "税務課長"} {
			if got, _ := o.dir.Resolve("P02", jst(t, when)); got.Post != want {
				t.Errorf("on %s P02 was %s, want %s", when, got.Post, want)
			}
		}
	})
}

// TestPrune: without it nothing ends by being left out.
func TestPrune(t *testing.T) {
	at(t, "2026-06-15 08:00", func(t *testing.T, o *office) {
		o.mustImport(t, mustCity(t), false)
		line := "  - {id: K8-06, person: P06, rooms: [R12], from: 2026-04-01, until: 2027-03-31}\n"
		less := mustCity(t, line, "")
		if r := o.mustImport(t, less, false); !slices.Equal(r.NotInFile, []string{"permit K8-06"}) || r.Ended != 0 {
			t.Errorf("%+v", r)
		}
		time.Sleep(time.Second)
		if r := o.mustImport(t, less, true); r.Ended != 1 || len(o.dir.Permits(clock.Now())) != 6 {
			t.Errorf("%+v, %d permits", r, len(o.dir.Permits(clock.Now())))
		}
		time.Sleep(time.Second)
		if r := o.mustImport(t, mustCity(t), false); r.Changed != 1 || len(o.dir.Permits(clock.Now())) != 7 {
			t.Errorf("declared again: %+v", r)
		}
	})
}

// [001-4.4(4)] [001-4.5(1)]: neither card bits nor PINs are in items, facts,
// state, or anything printed.
func TestSecretsAreSealed(t *testing.T) {
	at(t, "2026-06-15 08:00", func(t *testing.T, o *office) {
		city := mustCity(t)
		o.mustImport(t, city, false)
		all := o.store.Everything()
		for _, secret := range []string{"7007", "26:06181cc0", "06181cc0", `"facility"`, "12345,"} {
			if bytes.Contains(all, []byte(secret)) {
				t.Errorf("%q is in the store", secret)
			}
		}
		encoded, err := json.Marshal(city)
		if err != nil {
			t.Fatal(err)
		}
		printed := fmt.Sprintf("%v %+v %#v %s", city.Credentials, city.Credentials, city.Credentials, encoded) + fmt.Sprint(o.secrets(t))
		for _, secret := range []string{"7007", "06181cc0", " 12345"} {
			if strings.Contains(printed, secret) {
				t.Errorf("%q is printed: %s", secret, printed)
			}
		}
		s := o.secrets(t)
		if key, ok := s.Card("0000012345"); !ok || key != "26:06181cc0" {
			t.Errorf("card is %s", key)
		}
		root, ok := s.PIN("0000012345")
		if !ok || !bytes.Equal(root.Hash, record.NewPINRoot("7007", root.Salt).Hash) || len(root.Salt) < 16 {
			t.Error("the PIN is not 7007")
		}
		if _, ok := s.PIN("0000010011"); ok {
			t.Error("a PIN nobody set")
		}
	})
}

// TestNewPINIsDeclaredWithoutSayingIt: a revision rises.
func TestNewPINIsDeclaredWithoutSayingIt(t *testing.T) {
	at(t, "2026-06-15 08:00", func(t *testing.T, o *office) {
		o.mustImport(t, mustCity(t), false)
		time.Sleep(time.Hour)
		r := o.mustImport(t, mustCity(t, "pin: '7007'", "pin: '7008'", "id: 10005}", "id: 10006}"), false)
		if r.Changed != 2 {
			t.Errorf("%+v", r)
		}
		want := map[string][2]int{"0000012345": {1, 2}, "0000010005": {2, 1}, "0000010001": {1, 1}, "0000010011": {1, 0}, "F0007": {0, 0}}
		for _, c := range o.dir.Credentials(clock.Now()) {
			if w, ok := want[c.ID]; ok && (c.CardRev != w[0] || c.PINRev != w[1]) {
				t.Errorf("%+v, want revisions %v", c, w)
			}
		}
		root, _ := o.secrets(t).PIN("0000012345")
		if !bytes.Equal(root.Hash, record.NewPINRoot("7008", root.Salt).Hash) {
			t.Error("the old PIN is still good")
		}
	})
}

// [000-9.2]: a card is not bound to somebody whose permit has ended; one that is
// bound already stays declared.
func TestCardNeedsAPermitInForce(t *testing.T) {
	card := "  - {id: '0000010099', person: P08, card: {format: h10301, facility: 12, id: 10099}}\n\nusers:"
	at(t, "2026-06-15 08:00", func(t *testing.T, o *office) {
		o.mustImport(t, mustCity(t), false)
		sleepUntil(t, "2026-07-01 09:00")
		if r := o.mustImport(t, mustCity(t), false); r.Changed != 0 {
			t.Errorf("%+v", r)
		}
		_, err := o.Import(context.Background(), mustCity(t, "effective: 2026-04-01\n", "", "\nusers:", card), people.Options{By: "P01", Via: "import"})
		var unbound *people.UnboundError
		if !errors.As(err, &unbound) || !slices.Equal(unbound.Credentials, []string{"0000010099 (P08)"}) || unbound.JA() == "" {
			t.Errorf("bound to an ended permit: %v", err)
		}
		if len(o.dir.Credentials(clock.Now())) != 10 {
			t.Error("half of an import was kept")
		}
	})
}

func TestImportNeedsANamedPerson(t *testing.T) {
	at(t, "2026-06-15 08:00", func(t *testing.T, o *office) {
		for _, by := range []record.PersonID{"", "P99"} {
			if _, err := o.Import(context.Background(), mustCity(t), people.Options{By: by}); !errors.Is(err, people.ErrWho) {
				t.Errorf("as %q: %v", by, err)
			}
		}
		if len(o.store.Rows()) != 0 {
			t.Error("facts by nobody")
		}
	})
}

// [000-2] [000-3] [T-32] [T-33]: posts by day in JST, and who acts for them.
func TestHoldersByDay(t *testing.T) {
	at(t, "2026-06-15 08:00", func(t *testing.T, o *office) {
		o.mustImport(t, mustCity(t,
			"name: セキュリティ統括責任者, holders: [{person: P09, from: 2026-04-01}]",
			"name: セキュリティ統括責任者, holders: [{person: P09, from: 2026-04-01, last: 2026-09-30}, {person: P02, from: 2026-10-01}], acting: [{person: P01, from: 2026-06-15, last: 2026-06-19}]"), false)
		for when, want := range map[string]struct {
			who    record.PersonID
			acting bool
		}{
			"2026-06-14 23:59": {"P09", false}, "2026-06-15 00:00": {"P01", true}, "2026-06-19 23:59": {"P01", true}, "2026-06-20 00:00": {"P09", false},
			"2026-09-30 23:59": {"P09", false}, "2026-10-01 00:00": {"P02", false}, "2026-03-31 12:00": {"", false},
		} {
			if who, acting := o.dir.Holder("role_cso", jst(t, when)); who != want.who || acting != want.acting {
				t.Errorf("on %s the CSO was %q acting %v, want %+v", when, who, acting, want)
			}
		}
		during := jst(t, "2026-06-16 10:00")
		if acting, ok := o.dir.Holds("P09", "role_cso", during); !ok || acting {
			t.Error("the holder lost the post while somebody acts")
		}
		if _, ok := o.dir.Holds("P01", "role_cso", jst(t, "2026-06-20 00:00")); ok {
			t.Error("still acting")
		}
		who, ok := o.dir.ResolveAs("P01", "role_cso", during)
		if !ok || !who.Acting || who.Post != "セキュリティ統括責任者" || who.Name != "山田 太郎" {
			t.Errorf("%+v", who)
		}
		if n := len(o.dir.PostsOf("P01", during)); n != 6 {
			t.Errorf("P01 exercises %d posts, want 5 and 1 acting", n)
		}
	})
}

// [T-30]: who has left opens and holds nothing, and keeps the name.
func TestLeaversKeepTheirNames(t *testing.T) {
	at(t, "2026-06-15 08:00", func(t *testing.T, o *office) {
		o.mustImport(t, mustCity(t), false)
		time.Sleep(time.Hour)
		o.mustImport(t, mustCity(t, "title: 総務課長, category: 職員", "title: 総務課長, category: 職員, retired: true"), false)
		if who, _ := o.dir.Holder("role_system_admin", clock.Now()); who != "" {
			t.Errorf("%s still holds a post", who)
		}
		if got, ok := o.dir.Resolve("P01", clock.Now()); !ok || got.Name != "山田 太郎" {
			t.Errorf("%+v", got)
		}
		if _, ok := o.dir.Resolve("P99", clock.Now()); ok {
			t.Error("P99 was resolved")
		}
		for _, c := range o.dir.Credentials(clock.Now()) {
			if want := map[bool]string{true: "revoked", false: "active"}[c.Person == "P01"]; c.State != want {
				t.Errorf("the card of %s is %s", c.Person, c.State)
			}
		}
		if slices.ContainsFunc(o.dir.Permits(clock.Now()), func(p people.Permit) bool { return p.Person == "P01" }) {
			t.Error("a leaver has a permit")
		}
		if slices.ContainsFunc(o.dir.Credentials(jst(t, "2026-06-15 08:30")), func(c people.CredentialItem) bool { return c.State != "active" }) {
			t.Error("revoked before leaving")
		}
	})
}

// TestPasswords: none by default, none for leavers, none too short.
func TestPasswords(t *testing.T) {
	at(t, "2026-06-15 08:00", func(t *testing.T, o *office) {
		ctx := context.Background()
		o.mustImport(t, mustCity(t), false)
		for _, p := range []string{"", "yamada", "password"} {
			if _, err := o.CheckPassword(ctx, "yamada", p); !errors.Is(err, people.ErrSignIn) {
				t.Errorf("signed in with no password set, by %q: %v", p, err)
			}
		}
		if err := o.SetPassword(ctx, "yamada", "short"); !errors.Is(err, people.ErrWeakPassword) {
			t.Error(err)
		}
		if err := o.SetPassword(ctx, "nobody", "long enough"); !errors.Is(err, people.ErrNoUser) {
			t.Error(err)
		}
		if err := o.SetPassword(ctx, "yamada", "関森の山と川と田"); err != nil {
			t.Fatal(err)
		}
		if who, err := o.CheckPassword(ctx, "yamada", "関森の山と川と田"); err != nil || who != "P01" {
			t.Errorf("%s %v", who, err)
		}
		if _, err := o.CheckPassword(ctx, "takahashi", "関森の山と川と田"); !errors.Is(err, people.ErrSignIn) {
			t.Error("another account's password")
		}
		hash, err := people.HashPassword("another one")
		if err != nil {
			t.Fatal(err)
		}
		city := mustCity(t, "{id: takahashi, person: P02}", "{id: takahashi, person: P02, password_hash: '"+string(hash)+"'}")
		o.mustImport(t, city, false)
		if who, err := o.CheckPassword(ctx, "takahashi", "another one"); err != nil || who != "P02" {
			t.Errorf("declared hash: %s %v", who, err)
		}
		if bytes.Contains(o.store.Everything(), []byte("argon2id")) || strings.Contains(fmt.Sprintf("%v %+v", city.Users, hash), "argon2id") {
			t.Error("a hash is in clear")
		}
		time.Sleep(time.Hour)
		o.mustImport(t, mustCity(t, "title: 総務課長, category: 職員", "title: 総務課長, category: 職員, retired: true"), false)
		if _, err := o.CheckPassword(ctx, "yamada", "関森の山と川と田"); !errors.Is(err, people.ErrSignIn) {
			t.Error("a leaver signed in")
		}
	})
}
