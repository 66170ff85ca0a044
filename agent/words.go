package agent

import (
	"fmt"

	"sekimori/drivers"
	"sekimori/internal/record"
)

var (
	sideWords  = map[string]string{"in": "入", "out": "出"}
	proofWords = map[record.Proof]string{record.ProofUIDOnly: "番号のみ", record.ProofCryptographic: "暗号による証明", record.ProofBiometric: "照合情報"}
)

// ReadingWords is what a reader heard, in words: no card number, no typed key.
func ReadingWords(r drivers.Reading) string {
	text := "?"
	switch {
	case !r.Card.IsZero():
		text = fmt.Sprintf("カード %d ビット", r.Card.Len())
		if r.Proof == drivers.ProofCryptographic {
			text += "(カードが自分を証明した)"
		}
	case !r.Claim.IsZero():
		text = fmt.Sprintf("カード %d ビット: 自分を証明しなかったので使えない", r.Claim.Len())
	case !r.Keys.IsZero():
		text = fmt.Sprintf("釦 %d 回", len(r.Keys.Typed()))
	case !r.Finger.IsZero():
		text = "指: 登録がない"
		if slot, ok := r.Finger.Slot(); ok {
			text = fmt.Sprintf("指: 登録場所 %d(得点 %d)", slot, r.Finger.Score())
		}
	}
	if !r.Authenticated {
		text += " [認証のない線]"
	}
	return text
}

// HealthWords is how a reader is, in words.
func HealthWords(h drivers.Health) string {
	text := "応答なし"
	switch {
	case h.Refused:
		text = "鍵の証明に失敗(偽物か、鍵が違う)"
	case h.Online && h.Secure:
		text = "応答あり、認証された線"
	case h.Online:
		text = "応答あり"
	}
	if h.Tamper {
		text += "、ケースが開いている"
	}
	if h.PowerFail {
		text += "、電源低下"
	}
	if h.Detail != "" && (!h.Online || h.Refused) {
		text += " (" + h.Detail + ")"
	}
	return text
}
