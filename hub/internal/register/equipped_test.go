package register_test

import (
	"testing"

	"sekimori/internal/record"
)

// [T-22]: the newest word of a door's controller holds, and makes no row.
func TestEquipped(t *testing.T) {
	w := newTown(t)
	tell := func(when string, readers ...record.ReaderFitted) {
		w.device("DC-31", record.KindDoorEquipped, record.DoorEquipped{Door: "D31", Readers: readers}, at(when))
	}
	number := record.ReaderFitted{Reader: "D31-in", Direction: record.DirectionIn, Driver: "wiegand", Proof: record.ProofUIDOnly}
	finger := record.ReaderFitted{Reader: "D31-fp", Direction: record.DirectionIn, Driver: "fingerprint", Proof: record.ProofBiometric, Secure: true}
	proven := number
	proven.Driver, proven.Proof = "pn532", record.ProofCryptographic
	leaving := number
	leaving.Reader, leaving.Direction = "D31-out", record.DirectionOut
	tell("08:00:00", number, finger)
	w.commit()
	got, err := w.Equipped(t.Context())
	if err != nil || !got["D31"].NumberOnly() || len(got["D31"].Readers) != 2 || got["D31"].Readers[1] != finger || !got["D31"].At.Equal(at("08:00:00")) {
		t.Errorf("%+v, %v", got, err)
	}
	tell("12:00:00", proven, leaving)
	w.commit()
	if got, err = w.Equipped(t.Context()); err != nil || got["D31"].NumberOnly() || len(got) != 1 {
		t.Errorf("after the exchange %+v, %v", got, err)
	}
	if n := len(w.denials()) + len(w.stays()); n != 0 {
		t.Errorf("%d rows of nothing that happened", n)
	}
	w.device("DC-31", record.KindDoorEquipped, []int{1}, at("13:00:00"))
	w.commit()
	if n := len(w.denials()); n != 1 {
		t.Errorf("%d rows for a body nobody can read", n)
	}
}
