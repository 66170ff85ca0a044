package wareki_test

import (
	"testing"
	"time"

	"sekimori/hub/internal/wareki"
)

var jst = time.FixedZone("JST", 9*60*60)

// [T-37] [T-42]: the same instant gives the same words whatever zone it carries.
func TestDatesAndFiscalYears(t *testing.T) {
	for _, c := range []struct {
		at               time.Time
		date, month, min string
		fy               int
		fyName           string
	}{
		{time.Date(2026, 6, 15, 9, 2, 10, 0, jst), "令和8年6月15日", "令和8年6月", "令和8年6月15日 9:02", 2026, "令和8年度"},
		{time.Date(2026, 6, 15, 18, 30, 0, 0, jst), "令和8年6月15日", "令和8年6月", "令和8年6月15日 18:30", 2026, "令和8年度"},
		{time.Date(2026, 3, 31, 23, 59, 59, 999, jst), "令和8年3月31日", "令和8年3月", "令和8年3月31日 23:59", 2025, "令和7年度"},
		{time.Date(2026, 4, 1, 0, 0, 0, 0, jst), "令和8年4月1日", "令和8年4月", "令和8年4月1日 0:00", 2026, "令和8年度"},
		{time.Date(2027, 1, 1, 0, 0, 0, 0, jst), "令和9年1月1日", "令和9年1月", "令和9年1月1日 0:00", 2026, "令和8年度"},
		{time.Date(2019, 4, 30, 23, 59, 59, 0, jst), "平成31年4月30日", "平成31年4月", "平成31年4月30日 23:59", 2019, "令和元年度"},
		{time.Date(2019, 5, 1, 0, 0, 0, 0, jst), "令和元年5月1日", "令和元年5月", "令和元年5月1日 0:00", 2019, "令和元年度"},
		{time.Date(2019, 3, 31, 12, 0, 0, 0, jst), "平成31年3月31日", "平成31年3月", "平成31年3月31日 12:00", 2018, "平成30年度"},
		{time.Date(2020, 1, 1, 0, 0, 0, 0, jst), "令和2年1月1日", "令和2年1月", "令和2年1月1日 0:00", 2019, "令和元年度"},
		{time.Date(1989, 1, 7, 12, 0, 0, 0, jst), "昭和64年1月7日", "昭和64年1月", "昭和64年1月7日 12:00", 1988, "昭和63年度"},
		{time.Date(1989, 1, 8, 0, 0, 0, 0, jst), "平成元年1月8日", "平成元年1月", "平成元年1月8日 0:00", 1988, "昭和63年度"},
		{time.Date(1970, 1, 1, 9, 0, 0, 0, jst), "昭和45年1月1日", "昭和45年1月", "昭和45年1月1日 9:00", 1969, "昭和44年度"},
		{time.Date(1850, 1, 2, 9, 0, 0, 0, jst), "1850年1月2日", "1850年1月", "1850年1月2日 9:00", 1849, "1849年度"},
	} {
		for _, zone := range []*time.Location{jst, time.UTC, time.FixedZone("west", -11*60*60)} {
			at := c.at.In(zone)
			if got := wareki.Date(at); got != c.date {
				t.Errorf("Date(%s) = %s, want %s", at, got, c.date)
			}
			if got := wareki.Month(at); got != c.month {
				t.Errorf("Month(%s) = %s, want %s", at, got, c.month)
			}
			if got := wareki.Minute(at); got != c.min {
				t.Errorf("Minute(%s) = %s, want %s", at, got, c.min)
			}
			if got := wareki.FiscalYear(at); got != c.fy {
				t.Errorf("FiscalYear(%s) = %d, want %d", at, got, c.fy)
			}
			if got := wareki.FiscalYearName(wareki.FiscalYear(at)); got != c.fyName {
				t.Errorf("FiscalYearName at %s = %s, want %s", at, got, c.fyName)
			}
		}
	}
}

// A fiscal year's span holds exactly the instants that name it.
func TestFiscalYearSpan(t *testing.T) {
	for fy := 2017; fy < 2030; fy++ {
		from, to := wareki.FiscalYearSpan(fy)
		for at, want := range map[time.Time]int{from.Add(-1): fy - 1, from: fy, to.Add(-1): fy, to: fy + 1} {
			if got := wareki.FiscalYear(at.UTC()); got != want {
				t.Errorf("FiscalYear(%s) = %d, want %d", at, got, want)
			}
		}
	}
}

func TestEraOf(t *testing.T) {
	e, ok := wareki.EraOf(time.Date(2026, 6, 15, 0, 0, 0, 0, jst))
	if !ok || e.Name != "令和" || e.Short != "R" {
		t.Fatalf("EraOf = %+v, %v", e, ok)
	}
	if _, ok := wareki.EraOf(time.Date(1800, 1, 1, 0, 0, 0, 0, jst)); ok {
		t.Fatal("an era before the table")
	}
}
