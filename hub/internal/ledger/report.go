package ledger

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"sekimori/internal/record"
)

// Damage is what happened to a ledger or to a register.
type Damage string

// Kinds of damage.
const (
	Missing    Damage = "missing"     // 欠落
	Changed    Damage = "changed"     // 改変
	Disordered Damage = "disordered"  // 順序
	TailCut    Damage = "tail_cut"    // 末尾欠落: fewer rows than this copy's own checkpoint signs
	RolledBack Damage = "rolled_back" // 巻戻し: whole in itself, but older than what a witness has seen
)

var damageTexts = map[Damage]record.Text{
	Missing:    {JA: "欠落", EN: "missing"},
	Changed:    {JA: "改変", EN: "changed"},
	Disordered: {JA: "順序", EN: "out of order"},
	TailCut:    {JA: "末尾欠落", EN: "tail cut"},
	RolledBack: {JA: "巻戻し", EN: "rolled back"},
}

// Text is the damage's name for people.
func (d Damage) Text() record.Text { return damageTexts[d] }

// Finding is one damage and where it is. Fields that do not apply are zero,
// Index is -1 where no ledger row is meant.
type Finding struct {
	Damage   Damage
	Index    int64  // ledger row, from 0
	Register string // the first register row the ledger row made or changed
	Series   string
	Year     int // 年度
	Number   int64
	Device   record.DeviceID
	Seq      uint64
	Detail   record.Text
}

// maxFindings bounds a report: a ledger of other people's rows would have one
// finding per row.
const maxFindings = 1000

// Report is the outcome of Verify.
type Report struct {
	Findings []Finding
	Omitted  int64 // findings beyond maxFindings

	Rows         int64
	Events       int64 // rows of devices
	Signatures   int64 // device signatures checked
	Devices      int
	RegisterRows int64 // compared with a rebuild; 0 where there was none
	Rebuilt      bool
	Signed       bool // device signatures were checked
	Checkpoint   record.Checkpoint
	Witnesses    int // checkpoints of witnesses compared
	Took         time.Duration
}

// OK tells that nothing was found.
func (r *Report) OK() bool { return len(r.Findings) == 0 }

func (r *Report) add(f Finding) {
	if len(r.Findings) >= maxFindings {
		r.Omitted++
		return
	}
	r.Findings = append(r.Findings, f)
}

// sort puts findings of rows first, in ledger order.
func (r *Report) sort() {
	slices.SortStableFunc(r.Findings, func(a, b Finding) int {
		return cmp.Compare(uint64(a.Index), uint64(b.Index)) // -1 last
	})
}

// Lang is a language of Report.Print.
type Lang string

// Languages.
const (
	Japanese Lang = "ja"
	English  Lang = "en"
)

func (l Lang) of(t record.Text) string {
	if l == English {
		return t.EN
	}
	return t.JA
}

// Print writes the report for people: a line per finding, totals, and what was
// not checked.
func (r *Report) Print(w io.Writer, lang Lang) error {
	var b strings.Builder
	for _, f := range r.Findings {
		b.WriteString(f.line(lang))
	}
	if r.Omitted > 0 {
		fmt.Fprintf(&b, lang.of(record.Text{JA: "ほかに%d件\n", EN: "and %d more\n"}), r.Omitted)
	}
	fmt.Fprintf(&b, lang.of(record.Text{
		JA: "台帳 %d行（機器の事象 %d件、機器 %d台、署名 %d件）、署名済み %d行、管理簿 %d行、証人 %d、%s\n",
		EN: "ledger: %d rows (%d device events, %d devices, %d signatures), %d rows signed for, %d register rows, %d witnesses, %s\n",
	}), r.Rows, r.Events, r.Devices, r.Signatures, r.Checkpoint.Size, r.RegisterRows, r.Witnesses, r.Took.Round(time.Millisecond))
	for _, n := range r.notes() {
		b.WriteString(lang.of(n) + "\n")
	}
	if r.OK() {
		b.WriteString(lang.of(record.Text{JA: "結果: 異常は見つかりませんでした。\n", EN: "result: nothing is wrong.\n"}))
	} else {
		fmt.Fprintf(&b, lang.of(record.Text{JA: "結果: %d件の異常があります。この写しと装置をそのまま保全し、監査人に連絡してください。\n",
			EN: "result: %d findings. Keep this copy and the server as they are and call the auditor.\n"}), int64(len(r.Findings))+r.Omitted)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// notes say what the report does not speak about.
func (r *Report) notes() (out []record.Text) {
	if !r.Signed {
		out = append(out, record.Text{JA: "注意: 機器の署名は検査していません。", EN: "note: device signatures were not checked."})
	}
	if !r.Rebuilt {
		out = append(out, record.Text{JA: "注意: 管理簿は台帳から作り直して比べていません。", EN: "note: registers were not rebuilt and compared."})
	}
	if r.Witnesses == 0 {
		out = append(out, record.Text{JA: "注意: 証人（機器）の確認点と比べていません。巻戻しは見つけられません。", EN: "note: no witness's checkpoint was compared, so a roll-back cannot be seen."})
	}
	return out
}

func (f Finding) line(lang Lang) string {
	parts := []string{"[" + lang.of(f.Damage.Text()) + "]"}
	say := func(t record.Text, args ...any) { parts = append(parts, fmt.Sprintf(lang.of(t), args...)) }
	if f.Index >= 0 {
		say(record.Text{JA: "台帳%d行", EN: "ledger row %d"}, f.Index)
	}
	if f.Register != "" {
		parts = append(parts, f.Register)
		if f.Series != "" {
			parts = append(parts, f.Series)
		}
		say(record.Text{JA: "%d年度 通番%d", EN: "fiscal year %d number %d"}, f.Year, f.Number)
	}
	if f.Device != "" {
		say(record.Text{JA: "機器%s 第%d号", EN: "device %s event %d"}, f.Device, f.Seq)
	}
	return strings.Join(parts, " ") + ": " + lang.of(f.Detail) + "\n"
}
