package console

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"sekimori/hub/internal/ledger"
	"sekimori/hub/internal/people"
	"sekimori/hub/internal/policy"
	"sekimori/hub/internal/register"
	"sekimori/internal/clock"
	"sekimori/internal/record"
)

// maxNote bounds reasons and notes.
const maxNote = 200

// localForm is how datetime-local inputs write a time; it is meant in JST.
const localForm = "2006-01-02T15:04"

// typedTime reads a time a person typed.
func typedTime(s string) (time.Time, bool) {
	t, err := time.ParseInLocation(localForm, s, clock.JST)
	return t, err == nil
}

// typed is a form value, trimmed. Values that are too long are refused by the
// caller, never cut: what is recorded is what was typed.
func typed(r *http.Request, name string) string { return strings.TrimSpace(r.PostFormValue(name)) }

// closeStay writes the exit nobody saw; the row keeps the missing exit too [T-29].
func (c *console) closeStay(w http.ResponseWriter, r *http.Request) error {
	s, err := c.stayAt(r)
	if err != nil {
		return err
	}
	actor, err := c.may(r, ActCloseStay, s.Room)
	if err != nil {
		return err
	}
	now := clock.Now()
	v := stayView{Stay: s, May: true, Exited: typed(r, "exited"), Reason: typed(r, "reason")}
	exited, ok := typedTime(v.Exited)
	switch {
	case !s.Open:
		v.Problem = "この行はすでに退室が記録されています。"
	case !ok:
		v.Problem = "退室の日時を入力してください。"
	case exited.After(now):
		v.Problem = "退室の日時が今より後です。"
	case s.Entered != nil && exited.Before(s.Entered.Truncate(time.Minute)):
		v.Problem = "退室の日時が入室より前です。"
	case v.Reason == "":
		v.Problem = "理由を入力してください。"
	case len([]rune(v.Reason)) > maxNote:
		v.Problem = fmt.Sprintf("理由は%d字までです。", maxNote)
	}
	if v.Problem != "" {
		return c.show(w, r, http.StatusUnprocessableEntity, "stay", "入退室管理簿の行", v)
	}
	body := ledger.StayClosed{Room: s.Room, Number: s.Number, Year: s.Year, Exited: exited.UTC(), Reason: v.Reason}
	if err := c.record(r, ledger.KindStayClosed, actor.Who, body, now); err != nil {
		return err
	}
	http.Redirect(w, r, r.URL.Path[:strings.LastIndex(r.URL.Path, "/")]+"?done=closed", http.StatusSeeOther)
	return nil
}

// record writes a human fact down.
func (c *console) record(r *http.Request, kind record.Kind, who ledger.Resolved, body any, now time.Time) error {
	b, err := json.Marshal(body)
	if err != nil {
		return err
	}
	row := ledger.Row{Kind: kind, At: now.UTC(), Actor: &who, Via: via, Body: b}
	if e, ok := body.(ledger.EntryByHand); ok {
		if p, found := c.Directory.Resolve(e.Person, e.Entered); found {
			row.Who = &p
		}
	}
	return c.Recorder.Record(r.Context(), []ledger.Fact{{Row: row}})
}

// entryPage is the form of an entry by hand: a room without a controller, or a
// day on paper.
type entryPage struct {
	Rooms   []people.Room
	People  []people.Person
	Methods []Word
	Problem string

	Room, Person, Entered, Exited, Method, Purpose, Paper, Note string
	After                                                       bool
}

var methods = each([]record.Method{record.MethodKey, record.MethodCard, record.MethodCardPIN, record.MethodCardBio, record.MethodFinger}, func(m record.Method) Word {
	return Word{string(m), register.MethodLabel(m)}
})

func (c *console) newEntryPage(r *http.Request) (entryPage, error) {
	p := entryPage{Rooms: c.managed(r), Methods: methods, Room: r.URL.Query().Get("room")}
	if len(p.Rooms) == 0 {
		return p, ErrMayNot
	}
	for _, one := range c.Directory.People(clock.Now()) {
		if !one.Retired {
			p.People = append(p.People, one)
		}
	}
	slices.SortStableFunc(p.People, func(a, b people.Person) int { return strings.Compare(a.Kana, b.Kana) })
	return p, nil
}

func (c *console) entryForm(w http.ResponseWriter, r *http.Request) error {
	p, err := c.newEntryPage(r)
	if err != nil {
		return err
	}
	return c.show(w, r, http.StatusOK, "newentry", "入退室の手入力", p)
}

func (c *console) enterByHand(w http.ResponseWriter, r *http.Request) error {
	p, err := c.newEntryPage(r)
	if err != nil {
		return err
	}
	p.Room, p.Person, p.Entered, p.Exited, p.Method = typed(r, "room"), typed(r, "person"), typed(r, "entered"), typed(r, "exited"), typed(r, "method")
	p.Purpose, p.Paper, p.Note, p.After = typed(r, "purpose"), typed(r, "paper"), typed(r, "note"), typed(r, "after") == "1"
	now := clock.Now()
	e, problem := p.entry(now)
	if problem != "" {
		p.Problem = problem
		return c.show(w, r, http.StatusUnprocessableEntity, "newentry", "入退室の手入力", p)
	}
	actor, err := c.may(r, ActEntryByHand, e.Room)
	if err != nil {
		return err
	}
	if err := c.record(r, ledger.KindEntryByHand, actor.Who, e, now); err != nil {
		return err
	}
	http.Redirect(w, r, "/registers/entry?done=entered&"+filter{Room: p.Room}.Query(), http.StatusSeeOther)
	return nil
}

// entry reads the form as a fact, or says what is wrong with it.
func (p entryPage) entry(now time.Time) (e ledger.EntryByHand, problem string) {
	e = ledger.EntryByHand{Room: record.RoomCode(p.Room), Person: record.PersonID(p.Person), Method: record.Method(p.Method),
		Purpose: p.Purpose, Paper: p.Paper, After: p.After, Note: p.Note}
	entered, ok := typedTime(p.Entered)
	e.Entered = entered.UTC()
	exited, left := typedTime(p.Exited)
	if left {
		utc := exited.UTC()
		e.Exited = &utc
	}
	switch {
	case !slices.ContainsFunc(p.Rooms, func(r people.Room) bool { return r.ID == p.Room }):
		problem = "室を選んでください。"
	case !slices.ContainsFunc(p.People, func(o people.Person) bool { return o.ID == p.Person }):
		problem = "入室した人を選んでください。"
	case !ok:
		problem = "入室の日時を入力してください。"
	case entered.After(now):
		problem = "入室の日時が今より後です。"
	case p.Exited != "" && !left:
		problem = "退室の日時を読み取れません。入力し直すか、空にしてください。"
	case left && exited.After(now):
		problem = "退室の日時が今より後です。"
	case left && exited.Before(entered):
		problem = "退室の日時が入室より前です。"
	case !slices.ContainsFunc(p.Methods, func(m Word) bool { return m.Code == p.Method }):
		problem = "認証手段を選んでください。"
	case p.After && p.Paper == "":
		problem = "事後転記のときは、紙の管理簿の番号を入力してください。"
	case len([]rune(p.Purpose)) > maxNote || len([]rune(p.Note)) > maxNote || len([]rune(p.Paper)) > maxText:
		problem = fmt.Sprintf("目的と特記事項は%d字、紙の番号は%d字までです。", maxNote, maxText)
	}
	return e, problem
}

// doorView is one door with what the visitor may do to it.
type doorView struct {
	Door, Room, RoomName  string
	Level                 int
	State                 mark
	Device                deviceHealth
	Known                 bool // its controller is enrolled
	Fitted                []fittedReader
	NumberOnly            bool // a copied card opens it [T-22]
	Rearm, Close, Reopen  bool
	RearmWhy, CloseWhyAll []Word
}

// fittedReader is one reader of a door in words.
type fittedReader struct {
	ID, Way, Proof, Driver string
	Link                   mark
}

// driverWords are kinds of reader as people call them.
var driverWords = map[string]string{"osdp": "OSDP", "wiegand": "Wiegand", "pn532": "非接触IC", "fingerprint": "指紋照合"}

func fitted(e register.Equipped) (out []fittedReader) {
	for _, r := range e.Readers {
		f := fittedReader{ID: string(r.Reader), Way: "入", Proof: register.ProofLabel(r.Proof), Driver: r.Driver, Link: mark{"warn", "配線の保護なし"}}
		if word, ok := driverWords[r.Driver]; ok {
			f.Driver = word
		}
		if r.Direction == record.DirectionOut {
			f.Way = "出"
		}
		if r.Secure {
			f.Link = mark{"ok", "配線の保護あり"}
		}
		out = append(out, f)
	}
	return out
}

// Reasons of orders are codes: an order travels to a controller, and free text
// could name somebody.
var (
	rearmReasons = []Word{{"fire_over", "火災信号の終了と室内の安全を確認"}, {"false_alarm", "誤報と確認"}, {"drill", "訓練の終了"}}
	closeReasons = []Word{{"inspection", "点検・工事"}, {"incident", "事故・不審の対応"}, {"off_hours", "業務時間外"}}
)

func (c *console) doorsPage(w http.ResponseWriter, r *http.Request) error {
	now := clock.Now()
	devices, err := c.devices(r.Context(), now)
	if err != nil {
		return err
	}
	equipped, err := c.Registers.Equipped(r.Context())
	if err != nil {
		return err
	}
	p := c.places(now)
	views := []doorView{}
	for _, d := range c.Directory.Doors(now) {
		room := p.rooms[record.RoomCode(d.Room)]
		v := doorView{Door: d.ID, Room: d.Room, RoomName: room.Name, Level: room.Level, State: mark{"unknown", "不明"}, RearmWhy: rearmReasons, CloseWhyAll: closeReasons}
		v.Fitted, v.NumberOnly = fitted(equipped[record.DoorCode(d.ID)]), equipped[record.DoorCode(d.ID)].NumberOnly()
		said := ""
		for _, h := range devices {
			if string(h.Device) == d.Controller {
				v.Known, v.Device = true, h
				said, v.State = h.door(record.DoorCode(d.ID))
			}
		}
		if _, err := c.may(r, ActRearm, record.RoomCode(d.Room)); err == nil && v.Known {
			v.Rearm = said == "released" || said == ""
			v.Close = said != "closed_by_manager"
			v.Reopen = said == "closed_by_manager" || said == ""
		}
		views = append(views, v)
	}
	return c.showLive(w, r, http.StatusOK, "doors", "扉の状態", views, "", 0)
}

// orders of the doors page: what they are for, their reasons, and whether they
// go to every door of the room.
var orders = map[string]struct {
	act     Act
	purpose record.Purpose
	reasons []Word
	room    bool
}{
	"rearm":  {ActRearm, record.PurposeRearm, rearmReasons, false},
	"close":  {ActCloseRoom, record.PurposeCloseRoom, closeReasons, true},
	"reopen": {ActReopenRoom, record.PurposeReopenRoom, nil, true},
}

// orderDoor re-arms a door after a fire release, or closes or reopens its room.
// Exits stay free whatever is ordered [AS-04].
func (c *console) orderDoor(w http.ResponseWriter, r *http.Request) error {
	order, ok := orders[r.PathValue("act")]
	now := clock.Now()
	all := c.Directory.Doors(now)
	n := slices.IndexFunc(all, func(d people.Door) bool { return d.ID == r.PathValue("door") })
	if !ok || n < 0 {
		return c.notFound(w, r)
	}
	door, why := all[n], typed(r, "reason")
	actor, err := c.may(r, order.act, record.RoomCode(door.Room))
	if err != nil {
		return err
	}
	if order.reasons != nil && !slices.ContainsFunc(order.reasons, func(w Word) bool { return w.Code == why }) ||
		order.act == ActRearm && typed(r, "checked") != "1" {
		return c.problem(w, r, http.StatusUnprocessableEntity, "理由を選び、確認の欄に印を付けてから、もう一度指示してください。")
	}
	for _, d := range all {
		if d.ID != door.ID && !(order.room && d.Room == door.Room) {
			continue
		}
		_, err := c.Orders.IssueOrder(r.Context(), policy.Issue{Device: record.DeviceID(d.Controller), Purpose: order.purpose,
			Issuer: actor.Who, Role: actor.Post, Reason: why, Body: record.DoorOrder{Door: record.DoorCode(d.ID)}, Via: via})
		if err != nil {
			return fmt.Errorf("order %s for door %s: %w", order.purpose, d.ID, err)
		}
	}
	http.Redirect(w, r, "/doors?done=ordered", http.StatusSeeOther)
	return nil
}
