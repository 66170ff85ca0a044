package settings

import (
	"fmt"
	"strings"
)

// codeFile is the fault of a file that cannot be read at all.
const codeFile = "file"

// say builds a fault whose Japanese and English take the same values.
func say(code, ja, en, fixJA, fixEN string, values ...any) fault {
	if len(values) == 0 {
		return fault{code, ja, en, fixJA, fixEN}
	}
	return fault{code, fmt.Sprintf(ja, values...), fmt.Sprintf(en, values...), fixJA, fixEN}
}

func tooLarge() fault {
	return say("too-large", "ファイルが大きすぎます(上限 1 MiB)。", "the file is too large (the limit is 1 MiB).",
		"設定ファイルを指定しているか確かめてください。", "Check that this is a settings file.")
}

func notUTF8(guess string) fault {
	return say("encoding", "UTF-8 ではない文字があります(%s で保存した可能性があります)。", "a character is not UTF-8 (perhaps saved as %s).",
		"文字コード UTF-8 で保存し直してください。", "Save the file again as UTF-8.", guess)
}

func controlInFile(r rune) fault {
	return say("control-character", "目に見えない制御文字 U+%04X があります。", "an invisible control character U+%04X.",
		"その行を打ち直してください。", "Type the line again.", r)
}

func badIndentation(tab bool) fault {
	if tab {
		return say("tab", "字下げにタブが使われています。", "a tab is used to indent.",
			"タブを半角スペース 2 個に置き換えてください。", "Replace the tab with two spaces.")
	}
	return say("full-width-space", "字下げに全角スペースが使われています。", "a full-width space is used to indent.",
		"日本語入力を切り、半角スペースに置き換えてください。", "Turn the IME off and use plain spaces.")
}

func fullWidthColon(key string) fault {
	return fault{"full-width-colon", fmt.Sprintf("%s の後のコロンが全角「:」です。", key), fmt.Sprintf("the colon after %s is full-width.", key),
		fmt.Sprintf("半角のコロンと半角スペースで「%s: 値」と書いてください。", key), fmt.Sprintf("Write a plain colon and a space: %q.", key+": value")}
}

func tooDeep() fault {
	return say("too-deep", "入れ子が深すぎます。", "nested too deeply.",
		"かっこの閉じ忘れがないか確かめてください。", "Look for a bracket that is not closed.")
}

// syntaxHints tells common complaints of the YAML library in plain words. The
// rest is shown as it came.
var syntaxHints = []struct{ part, ja, en string }{
	{"could not find end character of double-quoted", "二重引用符 \" が閉じていません。", "Close the double quote (\")."},
	{"could not find end character of single-quoted", "引用符 ' が閉じていません。", "Close the single quote (')."},
	{"must be specified", "[ ] または { } が閉じていないか、「,」が抜けています。", "Close the bracket, or write the missing comma."},
	{"not found", "[ ] または { } が閉じていません。", "Close the bracket."},
	{"escape", "\" \" の中の「\\」は特別な意味を持ちます。Windows のパスは ' ' で囲んでください(例: 'C:\\sekimori')。",
		"A backslash is special inside double quotes. Put Windows paths in single quotes: 'C:\\sekimori'."},
	{"mapping value is not allowed", "1 行に「:」が 2 つあるか、字下げが上の行と合っていません。値に「:」を含むときは ' ' で囲んでください。",
		"Two colons in one line, or an indent unlike the line above. Quote a value that holds \": \"."},
}

func syntaxFault(detail string) fault {
	fixJA, fixEN := "その行と上の行の字下げ、コロンの後のスペース、引用符の閉じ忘れを確かめてください。",
		"Check the indent of this line and the one above, the space after the colon, and open quotes."
	for _, h := range syntaxHints {
		if strings.Contains(detail, h.part) {
			fixJA, fixEN = h.ja, h.en
			break
		}
	}
	return fault{"syntax", "YAML として読めません(" + detail + ")。", "not YAML: " + detail + ".", fixJA, fixEN}
}

func emptyFile() fault {
	return say("empty-file", "設定が何も書かれていません。", "the file holds no settings.",
		"configs/ の見本を写して使ってください。", "Start from an example in configs/.")
}

func manyDocuments() fault {
	return say("many-documents", "「---」で区切られた 2 つ目の文書があります。", `a second document begins after "---".`,
		"1 つのファイルに 1 つの設定だけを書いてください。", "Keep one set of settings in one file.")
}

func foreignSyntax(ja, en string) fault {
	return fault{"not-allowed-yaml", "YAML の" + ja + "は使えません。", en + " of YAML is not allowed here.",
		"同じ内容でも、その場所に値をそのまま書いてください。* & ! で始まる文字列は ' ' で囲んでください。",
		"Write the value out where it is needed. Quote a text that begins with *, & or !."}
}

func wantKeys() fault {
	return say("want-keys", "「項目: 値」の並びが必要です。", "expected lines of \"key: value\".",
		"次の行から字下げして「項目: 値」を書いてください。", "Write indented \"key: value\" lines below it.")
}

func wantList() fault {
	return say("want-list", "一覧(リスト)が必要です。", "expected a list.",
		"各行を「- 」で始めて書いてください。1 件でも同じです。", "Begin each entry with \"- \", also when there is only one.")
}

func otherVersion(got string) fault {
	return say("version", "設定の版 %q は、このプログラムでは読めません(読めるのは版 1)。", "this program reads settings version 1, not %q.",
		"1 行目を「version: 1」にするか、その版に合うプログラムを使ってください。", "Write \"version: 1\" on the first line, or use the program made for that version.", got)
}

func noVersion() fault {
	return say("version", "設定の版が書かれていません。", "the version of the settings is not written.",
		"1 行目に「version: 1」と書いてください。", "Write \"version: 1\" on the first line.")
}

func versionNotFirst() fault {
	return say("version", "version はほかのどの項目よりも先に書きます。", "version comes before every other key.",
		"「version: 1」を 1 行目に移してください。", "Move \"version: 1\" to the first line.")
}

func duplicateKey(key string, line int) fault {
	return say("duplicate-key", "%q は %d 行目にもあります。", "%q is already written on line %d.",
		"どちらか一方を消してください。", "Delete one of the two.", key, line)
}

func duplicateID(id string, line int) fault {
	return say("duplicate-id", "ID %q は %d 行目でも使われています。", "the ID %q is already used on line %d.",
		"それぞれに異なる ID を付けてください。", "Give each its own ID.", id, line)
}

func unknownKey(key string, known []string) fault {
	f := say("unknown-key", "%q という項目はありません。", "there is no key %q here.", "", "", key)
	f.fixJA, f.fixEN = suggestion(key, known, "ここに書ける項目", "Keys allowed here")
	return f
}

func unknownRef(name string, known []string) fault {
	f := say("unknown-reference", "%q はこの設定のどこにも定義されていません。", "%q is not defined in these settings.", "", "", name)
	f.fixJA, f.fixEN = suggestion(name, known, "定義されているもの", "Defined are")
	return f
}

func notInEnum(s string, enum []string) fault {
	f := say("not-a-choice", "%q は選べません。", "%q is not one of the choices.", "", "", s)
	f.fixJA, f.fixEN = suggestion(s, enum, "選べる値", "Choices")
	return f
}

// maxListed keeps a hint readable in a site with a hundred doors.
const maxListed = 20

// suggestion is the likely meaning, then everything that could be meant: a near
// miss of a short code is often a guess.
func suggestion(got string, known []string, ja, en string) (fixJA, fixEN string) {
	if k := nearest(halfWidth(got), known); k != "" {
		fixJA, fixEN = fmt.Sprintf("%q の誤りではありませんか。", k), fmt.Sprintf("Did you mean %q? ", k)
	}
	if len(known) == 0 {
		return fixJA + ja + ": なし", fixEN + en + ": none"
	}
	list, rest := known, ""
	if len(list) > maxListed {
		list, rest = list[:maxListed], " …"
	}
	return fixJA + ja + ": " + strings.Join(list, "、") + rest, fixEN + en + ": " + strings.Join(list, ", ") + rest
}

func missing(key string, r rules) fault {
	f := say("required", "必須の項目 %s がありません。", "the required key %s is missing.", "", "", key)
	f.fixJA = fmt.Sprintf("ここに「%s: …」を書いてください。", key)
	f.fixEN = fmt.Sprintf("Write \"%s: …\" here.", key)
	if r.enum != nil {
		f.fixJA += "選べる値: " + strings.Join(r.enum, "、")
		f.fixEN += " Choices: " + strings.Join(r.enum, ", ")
	}
	return f
}

func emptyValue() fault {
	return say("empty", "値がありません。", "there is no value.",
		"値を書くか、不要ならこの行を消してください。", "Write a value, or delete the line if it is not needed.")
}

func wantText(raw string) fault {
	f := say("want-text", "文字列が必要です。", "expected a text.", "", "")
	if raw == "" {
		f.fixJA, f.fixEN = "1 つの文字列を書いてください。", "Write one text."
		return f
	}
	f.fixJA = fmt.Sprintf("' ' で囲んで '%s' と書いてください。", raw)
	f.fixEN = fmt.Sprintf("Put it in quotes: '%s'.", raw)
	return f
}

func wantBool(raw string) fault {
	return say("want-true-false", "%q ではなく true か false が必要です。", "expected true or false, not %q.",
		"true(はい)か false(いいえ)を、引用符なしで書いてください。", "Write true or false, without quotes.", raw)
}

func wantNumber(raw string) fault {
	f := say("want-number", "%q ではなく数が必要です。", "expected a number, not %q.",
		"半角の数字だけを、引用符・単位・小数点・先頭の 0 なしで書いてください。", "Write plain digits, without quotes, unit, point or leading zero.", raw)
	switch h := halfWidth(raw); {
	case !wholeNumber.MatchString(h):
	case h != raw:
		f.fixJA, f.fixEN = "半角で "+h+" と書いてください。", "Write "+h+" in half-width digits."
	default:
		f.fixJA, f.fixEN = "引用符を外して "+h+" と書いてください。", "Write "+h+" without quotes."
	}
	return f
}

func badDuration(raw string) fault {
	return say("want-duration", "%q は時間の長さとして読めません。", "%q is not a length of time.",
		"数と単位を半角で続けて書いてください。例: 500ms、5s(5秒)、30m(30分)、24h(24時間)、1h30m、30d(30日)",
		"Write numbers with units: 500ms, 5s, 30m, 24h, 1h30m, 30d.", raw)
}

func badText(raw string, err error) fault {
	return fault{"bad-value", fmt.Sprintf("%q は使えません(%v)。", raw, err), fmt.Sprintf("%q cannot be used: %v.", raw, err),
		"configs/ の見本の書き方に合わせてください。", "Write it as the examples in configs/ do."}
}

func badID(s string) fault {
	return say("bad-id", "%q は ID に使えません。", "%q cannot be an ID.",
		"半角の英数字と - _ . だけで 64 文字まで、英数字で始めてください。部屋の名前ではなく符号を付けます(例: D21)。",
		"Use letters, digits, - _ . only, up to 64, beginning with a letter or digit. Use a code such as D21, not the name of a room.", s)
}

func controlInText(doubleQuoted bool) fault {
	f := say("control-character", "値に改行・タブなどの制御文字が入っています。", "the value holds a control character such as a tab or a new line.",
		"値を打ち直してください。", "Type the value again.")
	if doubleQuoted {
		f.fixJA = "\" \" の中の「\\」は特別な意味を持ちます。Windows のパスは ' ' で囲んでください(例: 'C:\\temp')。"
		f.fixEN = "A backslash is special inside double quotes. Put Windows paths in single quotes: 'C:\\temp'."
	}
	return f
}

func outOfRange(got string, r rules, unitJA, unitEN string) fault {
	low, high := r.limits[0], r.limits[1]
	f := fault{code: "out-of-range", ja: got + unitJA + "は範囲の外です。", en: got + unitEN + " is out of range."}
	switch {
	case low != "" && high != "":
		f.fixJA, f.fixEN = fmt.Sprintf("%s%s から %s%s の間にしてください。", low, unitJA, high, unitJA), fmt.Sprintf("Keep it between %s and %s%s.", low, high, unitEN)
	case low != "":
		f.fixJA, f.fixEN = low+unitJA+" 以上にしてください。", fmt.Sprintf("Make it at least %s%s.", low, unitEN)
	default:
		f.fixJA, f.fixEN = high+unitJA+" 以下にしてください。", fmt.Sprintf("Make it at most %s%s.", high, unitEN)
	}
	return f
}

// halfWidth turns what the IME made of ASCII back into ASCII.
func halfWidth(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= '\uff01' && r <= '\uff5e':
			return r - '\uff01' + '!'
		case r == '\u3000':
			return ' '
		}
		return r
	}, s)
}
