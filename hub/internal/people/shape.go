package people

import (
	"encoding/json"

	"sekimori/internal/settings"
)

// length reads a duration back from the text settings.Duration writes, "30s".
type length settings.Duration

// UnmarshalText reads "1h30m".
func (l *length) UnmarshalText(b []byte) error {
	d, err := settings.ParseDuration(string(b))
	*l = length(d)
	return err
}

// UnmarshalJSON reads a door as it was declared.
func (d *Door) UnmarshalJSON(b []byte) error {
	type plain Door
	shape := struct {
		*plain
		SecondWindow  length `json:"second_window"`
		Release       length `json:"release"`
		HeldOpen      length `json:"held_open"`
		OfflineMaxAge length `json:"offline_max_age"`
	}{plain: (*plain)(d)}
	if err := json.Unmarshal(b, &shape); err != nil {
		return err
	}
	d.SecondWindow, d.Release = settings.Duration(shape.SecondWindow), settings.Duration(shape.Release)
	d.HeldOpen, d.OfflineMaxAge = settings.Duration(shape.HeldOpen), settings.Duration(shape.OfflineMaxAge)
	return nil
}

// UnmarshalJSON reads the limits as they were declared.
func (a *Attempts) UnmarshalJSON(b []byte) error {
	var shape struct {
		Limit  int    `json:"limit"`
		Within length `json:"within"`
		Lock   length `json:"lock"`
	}
	if err := json.Unmarshal(b, &shape); err != nil {
		return err
	}
	*a = Attempts{Limit: shape.Limit, Within: settings.Duration(shape.Within), Lock: settings.Duration(shape.Lock)}
	return nil
}
