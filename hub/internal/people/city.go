package people

import (
	"fmt"
	"log/slog"
	"time"

	"sekimori/internal/record"
	"sekimori/internal/settings"
)

// City is a municipality's master data as one file. An item's ID never changes
// its meaning; the glyphs of a name may.
type City struct {
	Municipality Municipality `yaml:"municipality" settings:"required"`
	Effective    Start        `yaml:"effective"` // from when changes hold; empty: at once
	Sites        []Site       `yaml:"sites" settings:"required"`
	Rooms        []Room       `yaml:"rooms" settings:"required"`
	Doors        []Door       `yaml:"doors"`
	People       []Person     `yaml:"people" settings:"required"`
	Posts        []Post       `yaml:"posts" settings:"required"`
	Schedules    []Schedule   `yaml:"schedules"`
	ClosedDays   []ClosedDay  `yaml:"closed_days"`
	Permits      []Permit     `yaml:"permits"`
	Credentials  []Credential `yaml:"credentials"`
	Users        []User       `yaml:"users"`
	KeysOnLoan   []KeyLoan    `yaml:"keys_on_loan"`
	Attempts     Attempts     `yaml:"attempts"`
}

// Municipality is whose registers these are.
type Municipality struct {
	Name string `yaml:"name" settings:"required,max=64" json:"name"`
	Kana string `yaml:"kana" settings:"max=128" json:"kana,omitempty"`
	Pack string `yaml:"pack" settings:"required,id" json:"pack"` // 規程パック and its version
}

// Site is 本庁 or a 支所.
type Site struct {
	ID   string `yaml:"id" settings:"required,id" json:"id"`
	Name string `yaml:"name" settings:"required,max=64" json:"name"`
}

// Room is a room with its セキュリティ区分. Its name is shown on the console and
// leaves the hub nowhere else [T-26].
type Room struct {
	ID      string `yaml:"id" settings:"required,id" json:"id"`
	Name    string `yaml:"name" settings:"required,max=64" json:"name"`
	Level   int    `yaml:"level" settings:"required,min=0,max=3" json:"level"` // 0: none
	Site    string `yaml:"site" settings:"required" json:"site"`
	Manager string `yaml:"manager" json:"manager,omitempty"` // post; required from level 1 [000-7.1]
}

// Door is a door with a controller.
type Door struct {
	ID            string            `yaml:"id" settings:"required,id" json:"id"`
	Room          string            `yaml:"room" settings:"required" json:"room"`
	Controller    string            `yaml:"controller" settings:"required,id" json:"controller"`
	Readers       []Reader          `yaml:"readers" settings:"required" json:"readers"`
	Second        string            `yaml:"second_factor" settings:"enum=pin|biometric|any" json:"second_factor,omitempty"` // besides the card; empty: none
	SecondWindow  settings.Duration `yaml:"second_window" settings:"min=1s,max=60s" json:"second_window"`
	Release       settings.Duration `yaml:"release" settings:"min=1s,max=60s" json:"release"`
	HeldOpen      settings.Duration `yaml:"held_open" settings:"min=1s,max=1h" json:"held_open"`
	OfflineMaxAge settings.Duration `yaml:"offline_max_age" settings:"required,max=30d" json:"offline_max_age"` // [T-21]
	UnsyncedEntry bool              `yaml:"unsynced_entry" json:"unsynced_entry,omitempty"`                     // [T-39]
	AntiPassback  bool              `yaml:"antipassback" json:"antipassback,omitempty"`
}

// SetDefaults gives the times of the ordinary door.
func (d *Door) SetDefaults() {
	d.SecondWindow, d.Release, d.HeldOpen = settings.Every(10*time.Second), settings.Every(5*time.Second), settings.Every(30*time.Second)
}

// Reader is a reader and the way it looks.
type Reader struct {
	ID        string `yaml:"id" settings:"required,id" json:"id"`
	Direction string `yaml:"direction" settings:"required,enum=in|out" json:"direction"`
}

// Person is one person. Name and Section are what registers show.
type Person struct {
	ID       string `yaml:"id" settings:"required,id" json:"id"`
	Name     string `yaml:"name" settings:"required,max=64" json:"name"` // glyphs as written
	Kana     string `yaml:"kana" settings:"max=128" json:"kana,omitempty"`
	Section  string `yaml:"section" settings:"max=64" json:"section,omitempty"` // 所属
	Title    string `yaml:"title" settings:"max=64" json:"title,omitempty"`     // 職名
	Category string `yaml:"category" settings:"required,enum=職員|委託|訪問者|緊急" json:"category"`
	Retired  bool   `yaml:"retired" json:"retired,omitempty"` // left: opens nothing, holds nothing, keeps the name [T-30]
}

// Post is a post and who holds it when.
type Post struct {
	ID      string   `yaml:"id" settings:"required,id" json:"id"`
	Name    string   `yaml:"name" settings:"required,max=64" json:"name"`
	Holders []Tenure `yaml:"holders" settings:"required" json:"holders"`
	Acting  []Tenure `yaml:"acting" json:"acting,omitempty"` // 職務代理
}

// Tenure is a person in a post from the first day to the last, both included;
// no last day means until further notice.
type Tenure struct {
	Person string `yaml:"person" settings:"required" json:"person"`
	From   Day    `yaml:"from" settings:"required" json:"from"`
	Last   Day    `yaml:"last" json:"last,omitempty"`
}

// covers tells whether day is one of the tenure's.
func (t Tenure) covers(day Day) bool { return t.From <= day && (t.Last == "" || day <= t.Last) }

// Permit is 事前許可 [000-9.2].
type Permit struct {
	ID       string   `yaml:"id" settings:"required,id" json:"id"`
	Person   string   `yaml:"person" settings:"required" json:"person"`
	Rooms    []string `yaml:"rooms" settings:"required" json:"rooms"`
	From     Start    `yaml:"from" settings:"required" json:"from"`
	Until    End      `yaml:"until" settings:"required" json:"until"`
	Schedule string   `yaml:"schedule" json:"schedule,omitempty"` // empty: at all hours
}

// Schedule is the hours of a week.
type Schedule struct {
	ID         string  `yaml:"id" settings:"required,id" json:"id"`
	Sun        []Hours `yaml:"sun" json:"sun,omitempty"`
	Mon        []Hours `yaml:"mon" json:"mon,omitempty"`
	Tue        []Hours `yaml:"tue" json:"tue,omitempty"`
	Wed        []Hours `yaml:"wed" json:"wed,omitempty"`
	Thu        []Hours `yaml:"thu" json:"thu,omitempty"`
	Fri        []Hours `yaml:"fri" json:"fri,omitempty"`
	Sat        []Hours `yaml:"sat" json:"sat,omitempty"`
	OpenClosed bool    `yaml:"on_closed_days" json:"on_closed_days,omitempty"`
}

// ClosedDay is 閉庁日 besides what schedules say of weekdays.
type ClosedDay struct {
	Day  Day    `yaml:"day" settings:"required" json:"day"`
	Name string `yaml:"name" settings:"max=64" json:"name,omitempty"`
}

// Credential is a card of one person by its 資格番号, or one enrolled finger of
// theirs: exactly one of Card and Finger is set. What the card sends is Card;
// both it and the PIN leave the file only into sealed state. Finger is the place
// of the template in every fingerprint module of the city: a number in a list,
// no biometric data [003-5D, T-23].
type Credential struct {
	ID     string `yaml:"id" settings:"required,id" json:"id"`
	Person string `yaml:"person" settings:"required" json:"person"`
	State  string `yaml:"state" settings:"enum=active|lost|revoked" json:"state"`
	Card   *Card  `yaml:"card" json:"-"`
	Finger int    `yaml:"finger" settings:"min=1,max=65535" json:"finger,omitempty"`
	PIN    PIN    `yaml:"pin" settings:"min=4,max=12" json:"-"`
}

// SetDefaults makes a card that is declared a good one.
func (c *Credential) SetDefaults() { c.State = string(record.CredentialActive) }

// Card is what a card sends. It redacts itself.
type Card struct {
	Layout   string `yaml:"format" settings:"required,enum=h10301|raw|uid"`
	Facility int    `yaml:"facility" settings:"min=0,max=255"`
	ID       int    `yaml:"id" settings:"min=0,max=65535"`
	Bits     string `yaml:"bits" settings:"max=512"` // format raw
	UID      string `yaml:"uid" settings:"max=20"`   // format uid: the chip's own number in hexadecimal, first byte first
}

// PIN is a 暗証番号 on its way from the file into sealed state. It redacts itself
// [001-4.4(4)].
type PIN string

const redacted = "[redacted]"

// Format, LogValue and MarshalText keep card numbers and PINs out of logs.
func (Card) Format(f fmt.State, _ rune)   { fmt.Fprint(f, redacted) }
func (Card) LogValue() slog.Value         { return slog.StringValue(redacted) }
func (Card) MarshalText() ([]byte, error) { return []byte(redacted), nil }
func (PIN) Format(f fmt.State, _ rune)    { fmt.Fprint(f, redacted) }
func (PIN) LogValue() slog.Value          { return slog.StringValue(redacted) }
func (PIN) MarshalText() ([]byte, error)  { return []byte(redacted), nil }

// User is a console account of one person. A password is declared as its
// argon2id hash, or set at the hub; there is no default one.
type User struct {
	ID           string       `yaml:"id" settings:"required,id" json:"id"`
	Person       string       `yaml:"person" settings:"required" json:"person"`
	PasswordHash PasswordHash `yaml:"password_hash" settings:"max=256" json:"-"`
}

// KeyLoan is a metal key out of its cabinet [T-19].
type KeyLoan struct {
	Key    string `yaml:"key" settings:"required,id" json:"key"`
	Door   string `yaml:"door" settings:"required" json:"door"`
	Person string `yaml:"person" settings:"required" json:"person"`
}

// Attempts is when wrong PINs become 試行超過 [001-4.4(8)].
type Attempts struct {
	Limit  int               `yaml:"limit" settings:"min=1,max=20" json:"limit"`
	Within settings.Duration `yaml:"within" settings:"min=10s,max=24h" json:"within"`
	Lock   settings.Duration `yaml:"lock" settings:"min=10s,max=24h" json:"lock"`
}

// SetDefaults is three in five minutes.
func (a *Attempts) SetDefaults() {
	*a = Attempts{Limit: 3, Within: settings.Every(5 * time.Minute), Lock: settings.Every(30 * time.Minute)}
}

// Load reads a city file. The error is a *settings.Faults with every fault.
func Load(path string) (City, error) { return settings.Load[City](path) }

// Parse reads a city file's bytes; name is what faults call it.
func Parse(name string, data []byte) (City, error) {
	var c City
	err := settings.Parse(name, data, &c)
	return c, err
}
