package agent_test

import (
	"strings"
	"testing"

	"sekimori/agent"
	"sekimori/drivers"
)

// [001-4.4(4)] What an installer sees of a reading says what it was, and nothing
// by which it could be used again.
func TestWords(t *testing.T) {
	c, _ := drivers.NewCard([]byte{0xDE, 0xAD, 0xBE, 0xEF}, 32)
	keys, _ := drivers.NewKeys("4711")
	finger, _ := drivers.NewFinger(7, 120)
	for want, r := range map[string]drivers.Reading{
		"カード 32 ビット [認証のない線]":          {Proof: drivers.ProofUIDOnly, Card: c},
		"カード 32 ビット(カードが自分を証明した)":      {Proof: drivers.ProofCryptographic, Authenticated: true, Card: c},
		"カード 32 ビット: 自分を証明しなかったので使えない": {Authenticated: true, Claim: c},
		"釦 4 回":             {Authenticated: true, Keys: keys},
		"指: 登録場所 7(得点 120)": {Authenticated: true, Finger: finger},
		"指: 登録がない":          {Authenticated: true, Finger: drivers.UnknownFinger()},
	} {
		if got := agent.ReadingWords(r); got != want || strings.Contains(strings.ToLower(got), "dead") || strings.Contains(got, "4711") {
			t.Errorf("%q, want %q", got, want)
		}
	}
	for want, h := range map[string]drivers.Health{
		"応答なし (port lost)": {Detail: "port lost"},
		"応答あり":             {Online: true, Detail: "a fault long ago"},
		"応答あり、認証された線、ケースが開いている、電源低下":           {Online: true, Secure: true, Tamper: true, PowerFail: true},
		"鍵の証明に失敗(偽物か、鍵が違う) (wrong cryptogram)": {Refused: true, Detail: "wrong cryptogram"},
	} {
		if got := agent.HealthWords(h); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
