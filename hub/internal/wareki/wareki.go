// Package wareki writes dates as Japanese offices do: in the Japanese calendar
// and in 年度, the fiscal year from 1 April to 31 March [T-42].
//
//	2019-04-30 JST  平成31年4月30日     2026-03-31 JST  令和7年度
//	2019-05-01 JST  令和元年5月1日      2026-04-01 JST  令和8年度
//
// Whatever zone a time.Time carries, the day is the day in Japan [T-37].
package wareki

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"sekimori/internal/clock"
)

// Era is one 元号. The table is data: the next era is one more line.
type Era struct {
	Name  string // 令和
	Short string // R, as on forms: R8.6.15
	Begin Day    // its first day
	Years int    // the first 年度 named after it, as the calendar year it begins in
}

// Day is a calendar day in Japan.
type Day struct {
	Year  int
	Month time.Month
	Date  int
}

// eras, newest first. 2019 年度 was renamed 令和元年度 as a whole on the change
// of era, while 1988 年度 stayed 昭和63年度 to its end.
var eras = []Era{
	{"令和", "R", Day{2019, time.May, 1}, 2019},
	{"平成", "H", Day{1989, time.January, 8}, 1989},
	{"昭和", "S", Day{1926, time.December, 25}, 1927},
	{"大正", "T", Day{1912, time.July, 30}, 1913},
	{"明治", "M", Day{1868, time.January, 25}, 1868},
}

// DayOf is the day in Japan at t.
func DayOf(t time.Time) Day {
	y, m, d := t.In(clock.JST).Date()
	return Day{y, m, d}
}

func (d Day) before(o Day) bool {
	switch {
	case d.Year != o.Year:
		return d.Year < o.Year
	case d.Month != o.Month:
		return d.Month < o.Month
	}
	return d.Date < o.Date
}

// Date is 令和8年6月15日. Days before the table are written in the western
// calendar.
func Date(t time.Time) string {
	d := DayOf(t)
	return fmt.Sprintf("%s%d月%d日", year(d), d.Month, d.Date)
}

// Month is 令和8年6月.
func Month(t time.Time) string {
	d := DayOf(t)
	return fmt.Sprintf("%s%d月", year(d), d.Month)
}

// Minute is 令和8年6月15日 9:02, as registers print it.
func Minute(t time.Time) string {
	return Date(t) + " " + strings.TrimPrefix(t.In(clock.JST).Format("15:04"), "0")
}

// FiscalYear is the 年度 of t, named by the year it begins in: January to March
// belong to the year before.
func FiscalYear(t time.Time) int {
	d := DayOf(t)
	if d.Month < time.April {
		return d.Year - 1
	}
	return d.Year
}

// FiscalYearSpan is [1 April 0:00, next 1 April 0:00) JST.
func FiscalYearSpan(fy int) (from, to time.Time) {
	return time.Date(fy, time.April, 1, 0, 0, 0, 0, clock.JST), time.Date(fy+1, time.April, 1, 0, 0, 0, 0, clock.JST)
}

// FiscalYearName is 令和8年度 for 2026.
func FiscalYearName(fy int) string {
	for _, e := range eras {
		if fy >= e.Years {
			return e.Name + ordinal(fy-e.Begin.Year+1) + "年度"
		}
	}
	return strconv.Itoa(fy) + "年度"
}

// EraOf is the era of t; ok is false before the table begins.
func EraOf(t time.Time) (e Era, ok bool) { return eraOf(DayOf(t)) }

func eraOf(d Day) (Era, bool) {
	for _, e := range eras {
		if !d.before(e.Begin) {
			return e, true
		}
	}
	return Era{}, false
}

func year(d Day) string {
	e, ok := eraOf(d)
	if !ok {
		return strconv.Itoa(d.Year) + "年"
	}
	return e.Name + ordinal(d.Year-e.Begin.Year+1) + "年"
}

// ordinal writes the first year of an era as 元.
func ordinal(n int) string {
	if n == 1 {
		return "元"
	}
	return strconv.Itoa(n)
}
