package console

import (
	"fmt"
	"net/http"
	"strconv"
	"time"

	"sekimori/hub/internal/ledger"
	"sekimori/hub/internal/people"
	"sekimori/hub/internal/register"
	"sekimori/hub/internal/store"
	"sekimori/hub/internal/wareki"
	"sekimori/internal/clock"
	"sekimori/internal/record"
)

// listPage is a register with its filter.
type listPage[T row] struct {
	list[T]
	Path    string // of the list
	Filter  filter
	Summary string
	Rooms   []people.Room
	Years   []int
	Results []Word
	Kinds   []Word
	Reasons []Word
	Last    int  // number of pages
	May     bool // the visitor manages at least one room
}

// Prev and Next are the addresses of the neighbouring pages, or empty.
func (l listPage[T]) Prev() string { return l.at(l.Filter.Page - 1) }
func (l listPage[T]) Next() string { return l.at(l.Filter.Page + 1) }

// Newest is the filter's address with the newest rows first, which is live.
func (l listPage[T]) Newest() string {
	f := l.Filter.At(1)
	f.Oldest = false
	return f.Query()
}

func (l listPage[T]) at(page int) string {
	if page < 1 || page > l.Last {
		return ""
	}
	return l.Path + "?" + l.Filter.At(page).Query()
}

// years is how far back the 年度 of the filter go: the longest term of these
// registers and a year.
const years = 7

func newListPage[T row](c *console, path string, f filter, l list[T], now time.Time) listPage[T] {
	p := listPage[T]{list: l, Path: path, Filter: f, Rooms: c.watchedRooms(now), Last: max(1, int((l.Total+pageRows-1)/pageRows)),
		Results: results, Kinds: kinds, Reasons: reasons}
	for n := range years {
		p.Years = append(p.Years, wareki.FiscalYear(now)-n)
	}
	p.Summary = f.Summary(c.places(now), append(append(append([]Word{}, results...), kinds...), append(reasons, severities...)...))
	return p
}

// Choices of the filters, in the words of the register.
var (
	results    = []Word{result(register.ResultGranted), result(register.ResultUnconfirmed)}
	severities = []Word{{register.SeverityAlarm, register.SeverityLabel(register.SeverityAlarm)}, {register.SeverityRecord, register.SeverityLabel(register.SeverityRecord)}}
	kinds      = each([]record.Kind{record.KindDenied, record.KindForcedOpen, record.KindHeldOpen, record.KindFireRelease, record.KindAttemptsSpent,
		record.KindExitFree, record.KindReaderOffline, record.KindReaderUntrusted, record.KindInputActive, record.KindInputFault, record.KindTamper, record.KindWiringFault, record.KindRoomClosed, record.KindClockAnomaly,
		record.KindJournalFull, record.KindLedgerDoubt, ledger.KindEvidenceGap, ledger.KindSecurityFinding, ledger.KindSignInFailed},
		func(k record.Kind) Word { return Word{string(k), register.KindLabel(k)} })
	reasons = each([]record.Reason{record.ReasonUnknownCredential, record.ReasonNoPermit, record.ReasonPermitExpired, record.ReasonOutsideSchedule,
		record.ReasonRoomClosed, record.ReasonCredentialLost, record.ReasonCredentialRevoked, record.ReasonSecondFactorMissing, record.ReasonPINMismatch, record.ReasonBiometricMismatch, record.ReasonUnproven,
		record.ReasonAttemptsExceeded, record.ReasonAntiPassback, record.ReasonClockAnomaly, record.ReasonPolicyStale, record.ReasonNoPolicy,
		record.ReasonJournalFull, record.ReasonStopped}, reason)
)

func result(r register.Result) Word { return Word{string(r), register.ResultLabel(r)} }

// liveOf is the stream of a list. Only the newest rows of a list that begins
// with them can come in live; other pages stand still and say so.
func liveOf(path string, f filter) string {
	if f.Oldest || f.Page > 1 {
		return ""
	}
	if q := f.Query(); q != "" {
		path += "?" + q
	}
	return path
}

func (c *console) staysPage(w http.ResponseWriter, r *http.Request) error {
	now, f := clock.Now(), parseFilter(r.URL.Query())
	l, err := readPage(r.Context(), c, f, c.staySource(f, now))
	if err != nil {
		return err
	}
	p := newListPage(c, "/registers/entry", f, l, now)
	p.May = len(c.managed(r)) > 0
	return c.showLive(w, r, http.StatusOK, "entry", "入退室管理簿", p, liveOf("/live/entry", f), l.Cursor)
}

func (c *console) denialsPage(w http.ResponseWriter, r *http.Request) error {
	now, f := clock.Now(), parseFilter(r.URL.Query())
	l, err := readPage(r.Context(), c, f, c.denialSource(f, now))
	if err != nil {
		return err
	}
	return c.showLive(w, r, http.StatusOK, "denials", "不許可・異常一覧", newListPage(c, "/registers/denials", f, l, now),
		liveOf("/live/denials", f), l.Cursor)
}

// managed are the rooms whose register the visitor may write in by hand.
func (c *console) managed(r *http.Request) (rooms []people.Room) {
	for _, room := range c.watchedRooms(clock.Now()) {
		if _, err := c.may(r, ActEntryByHand, record.RoomCode(room.ID)); err == nil {
			rooms = append(rooms, room)
		}
	}
	return rooms
}

// rowAddress reads {room or series}/{year}/{number} of an address.
func rowAddress(r *http.Request, series string) (store.RegisterFilter, int64, error) {
	year, err1 := strconv.Atoi(r.PathValue("year"))
	number, err2 := strconv.ParseInt(r.PathValue("number"), 10, 64)
	if err1 != nil || err2 != nil || year <= 0 || number <= 0 || series == "" {
		return store.RegisterFilter{}, 0, fmt.Errorf("address %s: %w", r.URL.Path, store.ErrNotFound)
	}
	return store.RegisterFilter{Series: series, FiscalYear: year}, number, nil
}

// numbered finds one row. Numbers are gapless in the order rows were made, not
// in the order of time, so the year's rows are looked through.
func numbered[T any](read func(store.RegisterFilter) ([]T, error), f store.RegisterFilter, is func(T) bool) (found T, err error) {
	for f.Limit = scanRows; ; f.Offset += scanRows {
		rows, err := read(f)
		if err != nil {
			return found, err
		}
		for _, r := range rows {
			if is(r) {
				return r, nil
			}
		}
		if len(rows) < scanRows {
			return found, fmt.Errorf("%s %d: %w", f.Series, f.FiscalYear, store.ErrNotFound)
		}
	}
}

func (c *console) stayAt(r *http.Request) (Stay, error) {
	f, number, err := rowAddress(r, r.PathValue("room"))
	if err != nil {
		return Stay{}, err
	}
	src := c.staySource(filter{}, clock.Now())
	f.Register = src.filter.Register
	return numbered(func(f store.RegisterFilter) ([]Stay, error) { return src.read(r.Context(), f) }, f, func(s Stay) bool { return s.Number == number })
}

// stayView is one row in full, with the form that closes it.
type stayView struct {
	Stay
	May     bool
	Exited  string // as typed
	Reason  string
	Problem string
}

func (c *console) stayPage(w http.ResponseWriter, r *http.Request) error {
	s, err := c.stayAt(r)
	if err != nil {
		return err
	}
	_, err = c.may(r, ActCloseStay, s.Room)
	return c.show(w, r, http.StatusOK, "stay", "入退室管理簿の行", stayView{Stay: s, May: err == nil})
}

func (c *console) denialPage(w http.ResponseWriter, r *http.Request) error {
	series := r.PathValue("series")
	f, number, err := rowAddress(r, series)
	if err != nil {
		return err
	}
	if series == hubSeries {
		f.Series = ""
	}
	src := c.denialSource(filter{}, clock.Now())
	f.Register = src.filter.Register
	d, err := numbered(func(f store.RegisterFilter) ([]Denial, error) { return src.read(r.Context(), f) }, f,
		func(d Denial) bool { return d.Number == number && d.Series == f.Series })
	if err != nil {
		return err
	}
	return c.show(w, r, http.StatusOK, "denial", "不許可・異常一覧の行", d)
}

// hubSeries stands in addresses for the series of rows without a room.
const hubSeries = "hub"
