package settings

// Validator takes the faults a Hook finds. Paths are relative to the hook's
// struct ("readers[1].door", or "" for the struct itself) and become line and
// column by themselves.
type Validator struct {
	w    *walker
	base string
}

// Message is a fault in words; Code is stable and lower-case-with-dashes.
type Message struct {
	Code         string
	JA, EN       string // what is wrong
	FixJA, FixEN string // how to mend it
}

// Fault reports m at path. A path that is already at fault is left alone, so
// that one mistake is told once.
func (v *Validator) Fault(path string, m Message) {
	full := join(v.base, path)
	if v.w.faulty[full] {
		return
	}
	v.w.report(v.w.placeOf(full), full, fault{m.Code, m.JA, m.EN, m.FixJA, m.FixEN})
}

// Ref reports a name at path that is none of known, which are the IDs it may
// mean. An empty name is left to the rule "required".
func (v *Validator) Ref(path, name string, known []string) {
	if name == "" || contains(known, name) {
		return
	}
	f := unknownRef(name, known)
	v.Fault(path, Message{f.code, f.ja, f.en, f.fixJA, f.fixEN})
}
