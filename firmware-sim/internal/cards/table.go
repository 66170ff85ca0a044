package cards

import "fmt"

// Card is one row of the table: a printed number and what the chip holds.
type Card struct {
	Number   string // 資格番号 as printed, 10 digits
	Name     string // whose it is in a scenario; may be empty
	Format   string
	Facility uint64
	ID       uint64
}

// Table finds cards by number or by name.
type Table struct {
	list []Card
	bits map[string]Bits // by number and by name
}

// NewTable checks every card and refuses a number or a name given twice.
func NewTable(list []Card) (*Table, error) {
	t := &Table{list: append([]Card(nil), list...), bits: map[string]Bits{}}
	for i, c := range list {
		b, err := Encode(c.Format, c.Facility, c.ID)
		if err != nil {
			return nil, fmt.Errorf("cards[%d]: %w", i, err)
		}
		if c.Number == "" {
			return nil, fmt.Errorf("cards[%d]: number is missing", i)
		}
		for _, key := range []string{c.Number, c.Name} {
			if key == "" {
				continue
			}
			if _, twice := t.bits[key]; twice {
				return nil, fmt.Errorf("cards[%d]: number or name appears twice in the table", i)
			}
			t.bits[key] = b
		}
	}
	return t, nil
}

// Lookup finds a card by its printed number or its name.
func (t *Table) Lookup(key string) (Bits, bool) {
	b, ok := t.bits[key]
	return b, ok
}

// All lists the table in the order of the settings.
func (t *Table) All() []Card { return append([]Card(nil), t.list...) }
