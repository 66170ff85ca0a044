package ledger_test

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"sekimori/hub/internal/ledger"
	"sekimori/hub/internal/store"
	"sekimori/hub/internal/store/sqlite"
	"sekimori/hub/internal/store/sqlite/sqlitetest"
	"sekimori/internal/record"
)

func TestVerifyFindsNothingInAnHonestLedger(t *testing.T) {
	c := buildCity(t)
	r := verify(t, c.path, ledger.VerifyOptions{Against: c.notes})
	if !r.OK() {
		t.Errorf("findings in an honest ledger:\n%s", printed(t, r))
	}
	if r.Rows != cityRows || r.Events != 35 || r.Devices != 2 || r.Signatures != 3 || r.RegisterRows != 35 || r.Checkpoint.Size != cityRows || r.Witnesses != 5 {
		t.Errorf("totals %+v", r)
	}
	// The rebuild was only looked at.
	if again := verify(t, sqlitetest.Copy(t, c.path), ledger.VerifyOptions{}); again.RegisterRows != 35 {
		t.Errorf("after verifying there are %d register rows, want 35", again.RegisterRows)
	}
}

func printed(t *testing.T, r *ledger.Report) string {
	t.Helper()
	var b bytes.Buffer
	if err := r.Print(&b, ledger.Japanese); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestVerifyNamesDamage is the administrator with the file in hand [T-27, T-40]:
// each thing done to a copy is named by kind, ledger row, register and 通番.
func TestVerifyNamesDamage(t *testing.T) {
	c := buildCity(t)
	for _, x := range []struct {
		name   string
		tamper []string
		want   []string // parts of lines that must each be there
		no     string   // what must not be said
	}{
		{"a changed row", []string{"UPDATE ledger SET row = cast(replace(cast(row AS TEXT), '髙橋', '鈴木') AS BLOB) WHERE idx = 5"},
			[]string{"[改変] 台帳5行 REG-01 R31 2026年度 通番4 機器DC-31 第4号: 行の内容が", "[改変] 台帳5行 REG-01 R31 2026年度 通番4: 管理簿の行が台帳から作り直した行と違います"}, "台帳6行"},
		{"a changed salt", []string{"UPDATE ledger SET salt = zeroblob(32) WHERE idx = 23"}, []string{"[改変] 台帳23行: 行の内容が"}, "台帳24行"},
		{"a changed event", []string{"UPDATE ledger SET event = cast(replace(cast(event AS TEXT), 'P07', 'P08') AS BLOB) WHERE idx = 7"},
			[]string{"[改変] 台帳7行 REG-01 R31 2026年度 通番6 機器DC-31 第6号: 機器の事象の内容が、機器の送ったものではありません"}, "台帳8行"},
		{"a wiped event", []string{"UPDATE ledger SET event = NULL WHERE idx = 7"}, []string{"[改変] 台帳7行 REG-01", "機器の事象の内容がありません"}, "台帳8行"},
		{"a wiped row", []string{"UPDATE ledger SET row = NULL WHERE idx = 24"}, []string{"[欠落] 台帳24行: 行の内容がありません"}, "台帳25行"},
		{"a deleted row", []string{"DELETE FROM ledger WHERE idx = 10"},
			[]string{"[欠落] 台帳10行 REG-01 R31 2026年度 通番9: 行がありません", "[欠落] 台帳11行 REG-01 R31 2026年度 通番10 機器DC-31 第10号: 第9号から第9号まで"}, "[改変] 台帳11行: "},
		{"a deleted human row", []string{"DELETE FROM ledger WHERE idx = 24"}, []string{"[欠落] 台帳24行: 行がありません"}, "台帳25行"},
		{"rows moved up over a deleted one", []string{"DELETE FROM ledger WHERE idx = 24", "UPDATE ledger SET idx = 24 WHERE idx = 25", "UPDATE ledger SET idx = 25 WHERE idx = 26"},
			[]string{"[順序] 台帳24行: ここには台帳25行の内容が", "[順序] 台帳25行: ここには台帳26行の内容が", "[欠落] 台帳26行"}, "台帳27行"},
		{"two swapped rows", []string{"UPDATE ledger SET idx = -1 WHERE idx = 30", "UPDATE ledger SET idx = 30 WHERE idx = 31", "UPDATE ledger SET idx = 31 WHERE idx = -1"},
			[]string{"[順序] 台帳30行 REG-01 R31 2026年度 通番24 機器DC-32 第5号: ここには台帳31行の内容が", "[順序] 台帳31行 REG-01 R31 2026年度 通番25 機器DC-32 第4号"}, "台帳33行"},
		{"a cut tail", []string{"DELETE FROM ledger WHERE idx >= 37"},
			[]string{"[末尾欠落] 台帳37行 REG-01 R31 2026年度 通番31: 確認点は42行を証していますが、37行しか", "[末尾欠落] 台帳41行 REG-01 R31 2026年度 通番35"}, "巻戻し"},
		{"everything deleted", []string{"DELETE FROM ledger"}, []string{"[末尾欠落] 台帳0行: 確認点は42行を証していますが、0行しか"}, "巻戻し"},
		{"a forged row at the end", []string{"INSERT INTO ledger SELECT 42, row, salt, NULL, NULL, '', NULL, 0, at, NULL FROM ledger WHERE idx = 26"},
			[]string{"[改変] 台帳42行: ここから後の1行を証する確認点がありません", "[欠落] 台帳42行: この行から後のハッシュがありません"}, "台帳41行"},
		{"a row numbered far away", []string{"UPDATE ledger SET idx = 4611686018427387904 WHERE idx = 41"},
			[]string{"[順序] 台帳4611686018427387904行 機器DC-31 第25号: 台帳の終わり（42行）より先", "[欠落] 台帳41行 REG-01 R31 2026年度 通番35: 行がありません"}, "台帳40行"},
		{"a look-up column", []string{"UPDATE ledger SET at = at + 3600000000000 WHERE idx = 25"}, []string{"[改変] 台帳25行: 索引の欄"}, "台帳26行"},
		{"a device column", []string{"UPDATE ledger SET device = 'DC-99' WHERE idx = 4"}, []string{"[改変] 台帳4行 REG-01 R31 2026年度 通番3 機器DC-99 第3号: 索引の欄"}, "台帳5行"},
		{"a changed signature", []string{"UPDATE envelopes SET envelope = cast(replace(cast(envelope AS TEXT), 'sig\":\"', 'sig\":\"AAAA') AS BLOB) WHERE id = 2"},
			[]string{"[改変] 台帳27行 REG-01 R31 2026年度 通番21 機器DC-32 第1号: 機器の署名が正しくありません", "[改変] 台帳36行"}, "DC-31"},
		{"a lost signature", []string{"DELETE FROM envelopes WHERE id = 2"}, []string{"[改変] 台帳27行 REG-01 R31 2026年度 通番21 機器DC-32 第1号: 機器の署名がありません"}, "DC-31"},
		{"another's signature", []string{"UPDATE ledger SET envelope = 1 WHERE idx = 30"}, []string{"[改変] 台帳30行 REG-01 R31 2026年度 通番24 機器DC-32 第4号: 機器の署名"}, "台帳31行"},
		{"a changed tree", []string{"UPDATE tree SET hashes = cast(zeroblob(32) || substr(hashes, 33) AS BLOB) WHERE start = 0"}, []string{"[改変] 台帳0行: 行の内容が"}, "台帳2行"},
		{"a changed node of the tree", []string{"UPDATE tree SET hashes = cast(substr(hashes, 1, 64) || zeroblob(32) AS BLOB) WHERE start = 0"}, []string{"[改変] 台帳0行: 0行から1行までのハッシュが合いません"}, "台帳2行"},
		{"a cut tree", []string{"DELETE FROM tree WHERE start >= (SELECT max(start) FROM tree)"}, []string{"[欠落] 台帳37行 REG-01 R31 2026年度 通番31: この行から後のハッシュがありません"}, "台帳38行"},
		{"a checkpoint of another key", []string{"UPDATE checkpoint SET note = cast(replace(cast(note AS TEXT), '— sekimori/test-city ', '— sekimori/test-city AAAA') AS BLOB)"},
			[]string{"[改変]: 確認点の署名が、この台帳の鍵のものではありません"}, "台帳1行"},
		{"no checkpoint", []string{"DELETE FROM checkpoint"}, []string{"[改変] 台帳0行: ここから後の42行を証する確認点がありません"}, "台帳1行"},
		{"a changed register row", []string{"UPDATE register SET data = cast(replace(cast(data AS TEXT), '髙橋', '鈴木') AS BLOB) WHERE number = 12"},
			[]string{"[改変] 台帳13行 REG-01 R31 2026年度 通番12: 管理簿の行が"}, "通番13"},
		{"a deleted register row", []string{"DELETE FROM register WHERE number = 35"}, []string{"[欠落] 台帳41行 REG-01 R31 2026年度 通番35: 台帳にある事実の行が管理簿にありません"}, "通番34"},
		{"an invented register row", []string{"INSERT INTO register SELECT 999, register, series, year, 36, 'x', room, person, door, kind, reason, severity, at, until, open, late, idx, changed, data FROM register WHERE number = 1"},
			[]string{"[改変] 台帳2行 REG-01 R31 2026年度 通番36: 管理簿の行のもとになる事実が台帳にありません"}, "通番35"},
	} {
		t.Run(x.name, func(t *testing.T) {
			path := sqlitetest.Copy(t, c.path)
			sqlitetest.Tamper(t, path, x.tamper...)
			out := printed(t, verify(t, path, ledger.VerifyOptions{Against: [][]byte{c.newest()}}))
			for _, want := range x.want {
				if !strings.Contains(out, want) {
					t.Errorf("does not say %q", want)
				}
			}
			if strings.Contains(out, x.no) {
				t.Errorf("says %q", x.no)
			}
			if t.Failed() {
				t.Log("\n" + out)
			}
		})
	}
}

// TestVerifySeesWhatTheKeyHolderDid: the administrator also has the hub's
// checkpoint key and makes a whole ledger anew. Its own checkpoint then fits;
// the witnesses' does not.
func TestVerifySeesWhatTheKeyHolderDid(t *testing.T) {
	c := buildCity(t)
	other := buildCity(t) // same devices, same key, other rows
	r := verify(t, other.path, ledger.VerifyOptions{})
	if !r.OK() {
		t.Fatalf("a consistent forgery is found without a witness:\n%s", printed(t, r))
	}
	out := printed(t, verify(t, sqlitetest.Copy(t, other.path), ledger.VerifyOptions{Against: [][]byte{c.newest()}}))
	if !strings.Contains(out, "[改変]: 最初の42行が、証人の見たものと合いません（分岐）") {
		t.Errorf("a fork is not named:\n%s", out)
	}
}

// TestRestoredCopy: a copy of yesterday is whole in itself; the witness's
// checkpoint names it, and the witness itself refuses the next view.
func TestRestoredCopy(t *testing.T) {
	c := buildCity(t)
	yesterday := sqlitetest.Copy(t, c.path)
	st, err := sqlite.Open(t.Context(), c.path, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	l := mustLedger(t)
	c.commit(t, st, l, func(store.Tx) []ledger.Fact { return starts(3) })
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	if r := verify(t, sqlitetest.Copy(t, yesterday), ledger.VerifyOptions{}); !r.OK() {
		t.Errorf("without a witness an old copy looks whole, but:\n%s", printed(t, r))
	}
	out := printed(t, verify(t, sqlitetest.Copy(t, yesterday), ledger.VerifyOptions{Against: [][]byte{c.newest()}}))
	if !strings.Contains(out, "[巻戻し] 台帳42行: 証人は45行まで確認していますが、この写しは42行までです。") {
		t.Errorf("a restored old copy is not named:\n%s", out)
	}

	held, err := record.OpenCheckpoint(l.VerifierKey(), c.newest())
	if err != nil {
		t.Fatal(err)
	}
	old := mustOpen(t, yesterday)
	witness := func(want record.Code) {
		t.Helper()
		mustView(t, old, func(tx store.ReadTx) error {
			view, err := l.View(tx, held.Size)
			if err != nil {
				return err
			}
			if _, err := record.CheckView(l.VerifierKey(), held, view); record.CodeOf(err) != want {
				t.Errorf("the witness says %v, want %s", err, want)
			}
			return nil
		})
	}
	witness(record.CodeLogRolledBack)
	appendSealed(t, old, l, starts(10)) // the restored hub goes on as if nothing had happened
	witness(record.CodeLogForked)
}

// TestWitnessSeesWhatVerifySees: each change of the file that survives the hub's
// next checkpoint is refused by a witness, too.
func TestWitnessSeesTheTreeRewritten(t *testing.T) {
	c := buildCity(t)
	l := mustLedger(t)
	held, err := record.OpenCheckpoint(c.key, c.newest())
	if err != nil {
		t.Fatal(err)
	}
	for name, build := range map[string]func(*testing.T) string{
		"changed": func(t *testing.T) string {
			return rewrite(t, c.path, func(rows []store.LedgerRow) []store.LedgerRow { rows[5].Row = []byte(`{"v":1}`); return rows })
		},
		"deleted": func(t *testing.T) string {
			return rewrite(t, c.path, func(rows []store.LedgerRow) []store.LedgerRow { return append(rows[:5:5], rows[6:]...) })
		},
		"swapped": func(t *testing.T) string {
			return rewrite(t, c.path, func(rows []store.LedgerRow) []store.LedgerRow { rows[5], rows[6] = rows[6], rows[5]; return rows })
		},
		"cut": func(t *testing.T) string {
			return rewrite(t, c.path, func(rows []store.LedgerRow) []store.LedgerRow { return rows[:30] })
		},
	} {
		t.Run(name, func(t *testing.T) {
			st := mustOpen(t, build(t))
			want := map[bool]record.Code{true: record.CodeLogRolledBack, false: record.CodeLogForked}
			for _, more := range []int{0, 100} {
				if more > 0 {
					appendSealed(t, st, l, starts(more))
				}
				mustView(t, st, func(tx store.ReadTx) error {
					view, err := l.View(tx, held.Size)
					if err != nil {
						return err
					}
					shown, err := record.CheckView(c.key, held, view)
					if record.CodeOf(err) != want[shown.Size < held.Size] {
						t.Errorf("size %d: the witness says %v", shown.Size, err)
					}
					return nil
				})
			}
		})
	}
}

// rewrite makes a new database of changed rows, with a tree and a checkpoint
// that fit them: what the holder of the checkpoint key can do.
func rewrite(t *testing.T, from string, change func([]store.LedgerRow) []store.LedgerRow) string {
	t.Helper()
	path := t.TempDir() + "/rewritten.db"
	st, err := sqlite.Open(t.Context(), path, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var rows []store.LedgerRow
	mustView(t, mustOpen(t, sqlitetest.Copy(t, from)), func(tx store.ReadTx) (err error) { rows, err = tx.Rows(0, 1000); return err })
	l := mustLedger(t)
	mustUpdate(t, st, func(tx store.Tx) error {
		for i, r := range change(rows) {
			// Through a ledger of its own the row gets another salt; what counts
			// is that the tree is another and whole.
			if _, err := l.Append(tx, []ledger.Fact{{Row: ledger.Row{Kind: "hub.started", At: day, Body: fmt.Appendf(nil, `{"i":%d,"was":%d}`, i, len(r.Row))}}}); err != nil {
				return err
			}
		}
		_, _, err := l.Seal(tx)
		return err
	})
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestVerifyJudgesDeviceChains(t *testing.T) {
	type step = func(tb testing.TB, tx store.Tx, d *device) []ledger.Fact
	plain := func(tb testing.TB, tx store.Tx, d *device) []ledger.Fact { return d.batch(tb, tx, 3, nil) }
	gap := func(after, before uint64) step {
		return func(_ testing.TB, _ store.Tx, d *device) []ledger.Fact {
			body := fmt.Appendf(nil, `{"device":%q,"epoch":%q,"after":%d,"before":%d,"why":"x"}`, d.id, d.epoch, after, before)
			return []ledger.Fact{{Row: ledger.Row{Kind: ledger.KindEvidenceGap, At: day, Received: day, Body: body}}}
		}
	}
	skip := func(testing.TB, store.Tx, *device) []ledger.Fact { return nil }
	for _, c := range []struct {
		name  string
		steps []step
		want  string
	}{
		{"a gap that the hub wrote down", []step{plain, gap(3, 6), func(tb testing.TB, tx store.Tx, d *device) []ledger.Fact { d.seq = 5; return plain(tb, tx, d) }}, "異常は見つかりませんでした"},
		{"a gap that it did not", []step{plain, skip, func(tb testing.TB, tx store.Tx, d *device) []ledger.Fact { d.seq = 5; return plain(tb, tx, d) }}, "[欠落] 台帳4行 REG-01 R31 2026年度 通番4 機器DC-31 第6号: 第4号から第5号まで"},
		{"a break that the hub wrote down", []step{plain, gap(3, 4), func(tb testing.TB, tx store.Tx, d *device) []ledger.Fact {
			d.prev = record.Hash{1}
			return plain(tb, tx, d)
		}}, "異常は見つかりませんでした"},
		{"a break that it did not", []step{plain, skip, func(tb testing.TB, tx store.Tx, d *device) []ledger.Fact {
			d.prev = record.Hash{1}
			return plain(tb, tx, d)
		}}, "[改変] 台帳4行 REG-01 R31 2026年度 通番4 機器DC-31 第4号: 機器が直前と述べる事象"},
		{"a new epoch", []step{plain, gap(3, 0), func(tb testing.TB, tx store.Tx, d *device) []ledger.Fact {
			d.epoch, d.seq, d.prev = record.NewEpoch(), 0, record.Hash{}
			return plain(tb, tx, d)
		}}, "異常は見つかりませんでした"},
		{"an event nobody can read", []step{func(tb testing.TB, tx store.Tx, d *device) []ledger.Fact {
			f := plain(tb, tx, d)
			f[1].Row.Kind, f[1].Row.Who = ledger.KindOpaqueEvent, nil
			return f
		}, plain}, "異常は見つかりませんでした"},
		{"a hub that tells it otherwise", []step{func(tb testing.TB, tx store.Tx, d *device) []ledger.Fact {
			f := plain(tb, tx, d)
			f[1].Row.Kind = record.KindDenied
			return f
		}}, "[改変] 台帳2行 機器DC-31 第2号: 行が機器の事象と別のことを述べています"},
		{"a device that was never enrolled", []step{func(tb testing.TB, tx store.Tx, d *device) []ledger.Fact {
			return mustDevice(tb, "DC-66").batch(tb, tx, 1, nil)
		}}, "機器DC-66 第1号: この機器の登録が台帳にありません"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var made city
			st, l, d := mustOpen(t, t.TempDir()+"/hub.db"), mustLedger(t), mustDevice(t, "DC-31")
			made.commit(t, st, l, func(store.Tx) []ledger.Fact { return []ledger.Fact{d.enrolled()} })
			for _, s := range c.steps {
				made.commit(t, st, l, func(tx store.Tx) []ledger.Fact { return s(t, tx, d) })
			}
			r, err := ledger.Verify(t.Context(), st, ledger.VerifyOptions{LogKey: l.VerifierKey(), Against: made.notes, Rebuilder: register{}})
			if err != nil {
				t.Fatal(err)
			}
			if out := printed(t, r); !strings.Contains(out, c.want) {
				t.Errorf("does not say %q:\n%s", c.want, out)
			}
		})
	}
}

func TestReportInEnglishAndItsLimits(t *testing.T) {
	c := buildCity(t)
	path := sqlitetest.Copy(t, c.path)
	sqlitetest.Tamper(t, path, "DELETE FROM ledger WHERE idx = 24")
	r, err := ledger.Verify(t.Context(), mustOpen(t, path), ledger.VerifyOptions{LogKey: c.key, SkipSignatures: true})
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := r.Print(&b, ledger.English); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"[missing] ledger row 24: the row is not there.", "result: 1 findings", "device signatures were not checked",
		"registers were not rebuilt", "no witness's checkpoint", "41 rows (35 device events"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("does not say %q:\n%s", want, b.String())
		}
	}
}

func TestVerifyRefusesABadWitness(t *testing.T) {
	c := buildCity(t)
	st := mustOpen(t, c.path)
	foreign, _, err := note.GenerateKey(bytes.NewReader(bytes.Repeat([]byte{9}, 64)), origin)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := note.NewSigner(foreign)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := note.Sign(&note.Note{Text: record.Checkpoint{Origin: origin, Size: 99}.Text()}, signer)
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range [][]byte{nil, []byte("x"), signed} {
		if _, err := ledger.Verify(t.Context(), st, ledger.VerifyOptions{LogKey: c.key, Against: [][]byte{bad}}); err == nil {
			t.Errorf("a witness checkpoint %q was believed", bad)
		}
	}
}

func TestVerifyReadsWithoutWriting(t *testing.T) {
	c := buildCity(t)
	before, err := os.ReadFile(c.path)
	if err != nil {
		t.Fatal(err)
	}
	st, err := sqlite.Open(t.Context(), c.path, sqlite.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	r, err := ledger.Verify(t.Context(), st, ledger.VerifyOptions{LogKey: c.key})
	if err != nil || !r.OK() {
		t.Errorf("%+v, %v", r, err)
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	if after, err := os.ReadFile(c.path); err != nil || !bytes.Equal(before, after) {
		t.Errorf("the copy was changed (%v)", err)
	}
}
