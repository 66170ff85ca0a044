package ingest

import "time"

// When is the pure rule of effective time.
var When = when

// SetPatience shortens the wait for a device to go back.
func (i *Ingest) SetPatience(d time.Duration) { i.patient = d }
