package agent

import (
	"fmt"

	"sekimori/drivers/wiegand"
	"sekimori/internal/settings"
)

// validateWiegand wants frames that can be told from each other.
func (r *ReaderSettings) validateWiegand(v *settings.Validator) {
	for i, name := range r.ActiveLow {
		at := fmt.Sprintf("active_low[%d]", i)
		v.Ref(at, name, []string{"led", "buzzer", "tamper", "hold"})
		if on, known := map[string]string{"led": r.LED, "buzzer": r.Buzzer, "tamper": r.Tamper, "hold": r.Hold}[name]; known && on == "" {
			v.Fault(at, settings.Message{Code: "unused", JA: name + " の線がないので active_low は使いません", EN: "there is no line for " + name,
				FixJA: name + " に線を書くか、ここから消してください", FixEN: "Name the line, or take it off this list."})
		}
	}
	rules, path, err := r.rules()
	if err == nil {
		path = "formats"
		_, err = wiegand.NewDecoder(rules)
	}
	if err != nil {
		v.Fault(path, settings.Message{Code: "bad-format",
			JA: path + " の書き方が違うか、互いに見分けられません", EN: err.Error(),
			FixJA: "formats は H10301・C1000・w34・raw32 など、entries は bcd26・keys4(4 桁)・code200-4(施設番号 200、4 桁)です。同じ長さの形式は一つだけにしてください",
			FixEN: "Formats are H10301, C1000, w34, raw32 …, entries bcd26, keys4, code200-4; only one of each length."})
	}
}

// rules are the frames of a Wiegand reader; with an error, path is the key it
// is in.
func (r *ReaderSettings) rules() (rules wiegand.Rules, path string, err error) {
	rules.Keypad = r.Keypad != nil && *r.Keypad
	for i, name := range r.Formats {
		f, err := wiegand.FormatNamed(name)
		if err != nil {
			return rules, fmt.Sprintf("formats[%d]", i), err
		}
		rules.Formats = append(rules.Formats, f)
	}
	for i, name := range r.Entries {
		e, err := parseEntry(name)
		if err != nil {
			return rules, fmt.Sprintf("entries[%d]", i), err
		}
		rules.Entries = append(rules.Entries, e)
	}
	return rules, "", nil
}

// parseEntry reads how a keypad sends a whole entry at once: "bcd26", six keys
// in 26 bits; "keys4", four keys without parity; "code200-4", a number of four
// digits in a 26-bit frame with facility code 200.
func parseEntry(name string) (wiegand.Entry, error) {
	var keys, code, digits int
	switch {
	case name == "bcd26":
		return wiegand.Buffered26BCD(), nil
	case scan(name, "keys%d", &keys) && keys >= 3 && keys <= 16:
		return wiegand.BufferedKeys(keys), nil
	case scan(name, "code%d-%d", &code, &digits) && code >= 0 && code <= 255 && digits >= 1 && digits <= 5:
		return wiegand.Buffered26(uint8(code), digits), nil
	}
	return wiegand.Entry{}, fmt.Errorf("no keypad entry %q: bcd26, keys3 to keys16, or code<facility>-<digits>", name)
}

// scan reads exactly the form: nothing before, after or between.
func scan(text, form string, into ...any) bool {
	n, err := fmt.Sscanf(text, form, into...)
	if err != nil || n != len(into) {
		return false
	}
	values := make([]any, len(into))
	for i, p := range into {
		values[i] = *p.(*int)
	}
	return fmt.Sprintf(form, values...) == text
}
