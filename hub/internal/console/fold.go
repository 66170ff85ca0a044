package console

import (
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
	"golang.org/x/text/width"
)

// variants lets a clerk find a name by the glyph of the keyboard. It serves
// searching only; what is shown is never folded [T-43].
var variants = map[rune]rune{
	'髙': '高', '﨑': '崎', '嵜': '崎', '碕': '崎', 'ヶ': 'ケ', '齋': '斎', '齊': '斎', '斉': '斎', '邊': '辺', '邉': '辺',
	'𠮷': '吉', '澤': '沢', '濱': '浜', '濵': '浜', '廣': '広', '嶋': '島', '嶌': '島', '櫻': '桜', '國': '国', '龍': '竜', '眞': '真', '德': '徳',
}

// fold makes a search key: width, kana, case, variants and spaces do not count.
func fold(s string) string {
	s = norm.NFKC.String(width.Fold.String(s))
	var b strings.Builder
	for _, r := range s {
		if v, ok := variants[r]; ok {
			r = v
		}
		switch {
		case unicode.IsSpace(r), unicode.Is(unicode.Variation_Selector, r), unicode.IsControl(r):
			continue
		case r >= 'ァ' && r <= 'ヶ': // katakana to hiragana
			r -= 'ァ' - 'ぁ'
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}
