package people

import (
	"fmt"
	"strings"

	"sekimori/internal/record"
	"sekimori/internal/settings"
)

// Validate holds the rules between items. Every fault has its line.
func (c *City) Validate(v *settings.Validator) {
	k := c.known()
	c.checkPlaces(v, k)
	c.checkPosts(v, k)
	c.checkPermits(v, k)
	c.checkCredentials(v, k)
	c.checkUsers(v, k)
}

// known lists the IDs of each kind, in the order of the file.
type known struct{ sites, rooms, doors, people, posts, schedules []string }

func (c *City) known() known {
	return known{
		sites: ids(c.Sites, func(s Site) string { return s.ID }), rooms: ids(c.Rooms, func(r Room) string { return r.ID }),
		doors: ids(c.Doors, func(d Door) string { return d.ID }), people: ids(c.People, func(p Person) string { return p.ID }),
		posts: ids(c.Posts, func(p Post) string { return p.ID }), schedules: ids(c.Schedules, func(s Schedule) string { return s.ID }),
	}
}

func ids[T any](all []T, id func(T) string) []string {
	out := make([]string, 0, len(all))
	for _, x := range all {
		if s := id(x); s != "" {
			out = append(out, s)
		}
	}
	return out
}

func (c *City) checkPlaces(v *settings.Validator, k known) {
	for i, r := range c.Rooms {
		at := fmt.Sprintf("rooms[%d]", i)
		v.Ref(at+".site", r.Site, k.sites)
		v.Ref(at+".manager", r.Manager, k.posts)
		if r.Level > 0 && r.Manager == "" {
			v.Fault(at+".manager", settings.Message{Code: "no-manager", // [000-7.1]
				JA: "区分1〜3の室に入退室管理者の職がありません。", EN: "a room of level 1 to 3 has no entry manager.",
				FixJA: "manager に posts の ID を書いてください。", FixEN: "Write the ID of a post as its manager."})
		}
	}
	readers := map[string]bool{}
	for i, d := range c.Doors {
		at := fmt.Sprintf("doors[%d]", i)
		v.Ref(at+".room", d.Room, k.rooms)
		if _, err := record.ParseDeviceID(d.Controller); err != nil && d.Controller != "" {
			v.Fault(at+".controller", settings.Message{Code: "bad-id", JA: "制御装置の符号に使えません。", EN: "not a device ID.",
				FixJA: "半角の英数字と - _ だけで32文字までにしてください(例: DC-31)。", FixEN: "Use up to 32 letters, digits, - and _, such as DC-31."})
		}
		for n, r := range d.Readers {
			if readers[r.ID] {
				v.Fault(fmt.Sprintf("%s.readers[%d].id", at, n), twice(r.ID))
			}
			readers[r.ID] = true
		}
	}
	days := map[Day]bool{}
	for i, d := range c.ClosedDays {
		if d.Day != "" && days[d.Day] {
			v.Fault(fmt.Sprintf("closed_days[%d].day", i), twice(string(d.Day)))
		}
		days[d.Day] = true
	}
	for i, l := range c.KeysOnLoan {
		v.Ref(fmt.Sprintf("keys_on_loan[%d].door", i), l.Door, k.doors)
		v.Ref(fmt.Sprintf("keys_on_loan[%d].person", i), l.Person, k.people)
	}
}

func twice(id string) settings.Message {
	return settings.Message{Code: "duplicate-id", JA: fmt.Sprintf("%q は2回書かれています。", id), EN: fmt.Sprintf("%q is written twice.", id),
		FixJA: "どちらか一方を消すか、異なる値にしてください。", FixEN: "Delete one of the two, or make them differ."}
}

// checkPosts refuses two holders of one post on one day [000-2] [T-33]. Gaps
// are lawful and rare: see Warnings.
func (c *City) checkPosts(v *settings.Validator, k known) {
	for i, p := range c.Posts {
		for list, tenures := range map[string][]Tenure{"holders": p.Holders, "acting": p.Acting} {
			for n, t := range tenures {
				at := fmt.Sprintf("posts[%d].%s[%d]", i, list, n)
				v.Ref(at+".person", t.Person, k.people)
				if t.Last != "" && t.Last < t.From {
					v.Fault(at+".last", settings.Message{Code: "ends-before-start", JA: "最終日が開始日より前です。", EN: "the last day is before the first.",
						FixJA: "from と last を確かめてください。", FixEN: "Check from and last."})
				}
				for _, other := range tenures[:n] {
					if other.covers(t.From) || t.covers(other.From) {
						v.Fault(at+".from", overlap(p, t, other))
						break
					}
				}
			}
		}
	}
}

func overlap(p Post, a, b Tenure) settings.Message {
	return settings.Message{Code: "two-holders",
		JA:    fmt.Sprintf("%s の期間が %s と重なっています。同じ日に2人は置けません。", a.Person, b.Person),
		EN:    fmt.Sprintf("the days of %s overlap those of %s: a post has one holder on a day.", a.Person, b.Person),
		FixJA: fmt.Sprintf("%s の前任の last を後任の from の前日にしてください。代理は acting に書きます。", p.Name),
		FixEN: "Let one end the day before the other begins. Who stands in goes under acting."}
}

func (c *City) checkPermits(v *settings.Validator, k known) {
	for i, p := range c.Permits {
		at := fmt.Sprintf("permits[%d]", i)
		v.Ref(at+".person", p.Person, k.people)
		v.Ref(at+".schedule", p.Schedule, k.schedules)
		for n, r := range p.Rooms {
			v.Ref(fmt.Sprintf("%s.rooms[%d]", at, n), r, k.rooms)
		}
		if !p.From.IsZero() && !p.Until.IsZero() && !p.From.Before(p.Until.Time) {
			v.Fault(at+".until", settings.Message{Code: "ends-before-start", JA: "許可の終わりが始まりより前です。", EN: "the permit ends before it begins.",
				FixJA: "from と until を確かめてください。", FixEN: "Check from and until."})
		}
	}
}

// checkCredentials refuses a good card for a person with no permit at all
// [000-9.2], and one card or finger under two numbers.
func (c *City) checkCredentials(v *settings.Validator, k known) {
	permitted, seen := map[string]bool{}, map[string]string{}
	for _, p := range c.Permits {
		permitted[p.Person] = true
	}
	for i, cr := range c.Credentials {
		at := fmt.Sprintf("credentials[%d]", i)
		v.Ref(at+".person", cr.Person, k.people)
		if cr.Person != "" && !permitted[cr.Person] && cr.State == string(record.CredentialActive) {
			v.Fault(at+".person", settings.Message{Code: "no-permit", JA: cr.Person + " には入室許可が1つもありません。", EN: cr.Person + " has no permit.",
				FixJA: "先に permits に事前許可を書いてください。許可のない人にカードは貸与できません。", FixEN: "Declare a permit first: a card is not lent without one."})
		}
		if strings.Trim(string(cr.PIN), "0123456789") != "" {
			v.Fault(at+".pin", settings.Message{Code: "bad-pin", JA: "暗証番号は数字だけです。", EN: "a PIN has digits only.",
				FixJA: "4〜12桁の数字を ' ' で囲んで書いてください。", FixEN: "Write 4 to 12 digits in quotes."})
		}
		field, key, fault := cr.presented()
		if fault != nil {
			v.Fault(at+field, *fault)
		}
		if key == "" {
			continue
		}
		if other, ok := seen[key]; ok {
			v.Fault(at+field, settings.Message{Code: "card-twice", JA: fmt.Sprintf("資格番号 %s と同じカードか指です。", other), EN: "this card or finger is also " + other + ".",
				FixJA: "券面の番号とカードの内容、または照合装置の登録番号を確かめてください。", FixEN: "Check the number on the card against its content, or the slot in the module."})
		}
		seen[key] = cr.ID
	}
}

// presented is what a reader would tell of the credential, with the field that
// says it; key is empty where nothing is said rightly.
func (c Credential) presented() (field, key string, fault *settings.Message) {
	switch {
	case (c.Card == nil) == (c.Finger == 0):
		return "", "", &settings.Message{Code: "card-or-finger", JA: "card と finger のどちらか一方が要ります。", EN: "either card or finger, not both.",
			FixJA: "カードなら card、照合情報なら finger に照合装置の登録番号を書いてください。", FixEN: "Write card for a card, or finger with the slot in the fingerprint module."}
	case c.Card == nil && c.PIN != "":
		return ".pin", "", &settings.Message{Code: "pin-of-finger", JA: "暗証番号はカードのものです。照合情報には付けられません。", EN: "a PIN belongs to a card, not to a finger.",
			FixJA: "この行の pin を消し、カードの行に書いてください。", FixEN: "Move the PIN to the card."}
	case c.Card == nil:
		return ".finger", fmt.Sprintf("finger %d", c.Finger), nil
	}
	key, err := CardKey(*c.Card)
	if err != nil && c.Card.Layout != "" {
		fault = &settings.Message{Code: "bad-card", JA: "カードの内容が形式に合いません。", EN: "the card does not fit its format: " + err.Error(),
			FixJA: "h10301 には facility(0〜255)と id(0〜65535)、raw には bits、uid には uid(16進数)だけを書いてください。",
			FixEN: "h10301 takes facility and id, raw takes bits, uid takes uid in hexadecimal."}
	}
	return ".card", key, fault
}

func (c *City) checkUsers(v *settings.Validator, k known) {
	for i, u := range c.Users {
		v.Ref(fmt.Sprintf("users[%d].person", i), u.Person, k.people)
		if u.PasswordHash == "" {
			continue
		}
		if _, err := parseHash(u.PasswordHash); err != nil {
			v.Fault(fmt.Sprintf("users[%d].password_hash", i), settings.Message{Code: "bad-hash", JA: "argon2id のハッシュではありません。", EN: "not an argon2id hash.",
				FixJA: "この行を消し、取込みの後に sekimori-hub user passwd で設定してください。", FixEN: "Delete the line, and set it with sekimori-hub user passwd after the import."})
		}
	}
}

// Warning is something lawful that somebody should look at.
type Warning struct {
	Item   string // "post role_cso"
	JA, EN string
}

// Warnings lists gaps between the holders of a post [000-2], and rooms of level
// 3 that one factor opens [T-22].
func (c *City) Warnings() []Warning {
	var out []Warning
	for _, p := range c.Posts {
		for _, day := range gaps(p.Holders) {
			out = append(out, Warning{Item: "post " + p.ID,
				JA: fmt.Sprintf("%s は %s から空席です。職務代理(acting)を定めてください。", p.Name, day),
				EN: fmt.Sprintf("%s has no holder from %s. Name someone acting.", p.Name, day)})
		}
	}
	levels := map[string]int{}
	for _, r := range c.Rooms {
		levels[r.ID] = r.Level
	}
	for _, d := range c.Doors {
		if levels[d.Room] == 3 && d.Second == "" {
			out = append(out, Warning{Item: "door " + d.ID,
				JA: "区分3の室ですが、第二要素を求めません。", EN: "a room of level 3 opens with one factor."})
		}
	}
	return out
}

// gaps lists the first day of each stretch between tenures that nobody covers.
func gaps(holders []Tenure) []Day {
	var out []Day
	for _, t := range holders {
		if t.Last == "" {
			continue
		}
		day, covered, later := t.Last.next(), false, false
		for _, o := range holders {
			covered = covered || o.covers(day)
			later = later || o.From > day
		}
		if !covered && later {
			out = append(out, day)
		}
	}
	return out
}
