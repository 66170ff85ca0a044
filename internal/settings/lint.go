package settings

import (
	"bytes"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml/ast"
)

// maxNesting bounds brackets and "- - -" within one line, and brackets over the
// file: the parser recurses, and settings are four or five deep.
const maxNesting = 64

var (
	badIndent   = regexp.MustCompile(`^[ \t\x{3000}]*[\t\x{3000}]`)
	wideColon   = regexp.MustCompile(`^[ -]*[A-Za-z][A-Za-z0-9_]*[ \x{3000}]*\x{ff1a}`)
	inlineDeep  = regexp.MustCompile(`^\s*(?:[-?:]\s+){8}`)
	decorations = regexp.MustCompile(`(?:[!&*]\S*\s+){8}`)
)

// lint finds what a person sees but YAML does not tell: an editor's encoding,
// tabs and full-width characters typed with the IME on. It looks at the text
// before the parser does, and so finds all of them at once.
func (w *walker) lint(data []byte) {
	switch {
	case len(data) > MaxSize:
		w.report(pos{1, 1}, "", tooLarge())
		return
	case bytes.HasPrefix(data, []byte("\xff\xfe")), bytes.HasPrefix(data, []byte("\xfe\xff")):
		w.report(pos{1, 1}, "", notUTF8("UTF-16"))
		return
	}
	depth := 0
	for i, line := range strings.Split(string(data), "\n") {
		line = strings.TrimSuffix(line, "\r")
		w.lintLine(i+1, line)
		depth += strings.Count(line, "[") + strings.Count(line, "{") - strings.Count(line, "]") - strings.Count(line, "}")
		if depth > maxNesting || inlineDeep.MatchString(line) || decorations.MatchString(line) {
			w.report(pos{i + 1, 1}, "", tooDeep())
			return
		}
	}
}

func (w *walker) lintLine(n int, line string) {
	if at, r := badRune(line); at >= 0 {
		f := notUTF8("Shift_JIS")
		if r != utf8.RuneError {
			f = controlInFile(r)
		}
		w.report(pos{n, column(line, at)}, "", f)
		return
	}
	if strings.TrimLeft(line, " \t\u3000") == "" {
		return
	}
	if m := badIndent.FindString(line); m != "" {
		at := strings.IndexAny(m, "\t\u3000")
		w.report(pos{n, column(line, at)}, "", badIndentation(strings.HasPrefix(m[at:], "\t")))
	}
	if m := wideColon.FindString(line); m != "" {
		w.report(pos{n, column(line, len(m)-len("\uff1a"))}, "", fullWidthColon(strings.Trim(m, " -\u3000\uff1a")))
	}
}

// badRune finds the first byte that is not UTF-8, or a control character.
func badRune(line string) (int, rune) {
	for i, r := range line {
		if r == utf8.RuneError {
			if _, size := utf8.DecodeRuneInString(line[i:]); size == 1 {
				return i, r
			}
		}
		if isControl(r) && r != '\t' {
			return i, r
		}
	}
	return -1, 0
}

func isControl(r rune) bool { return r < 0x20 || r >= 0x7f && r < 0xa0 }

// column counts characters, as editors do.
func column(line string, at int) int { return utf8.RuneCountInString(line[:at]) + 1 }

// foreign reports every use of the parts of YAML that settings do not have.
func (w *walker) foreign(root ast.Node) {
	ast.Walk(visitor(func(n ast.Node) {
		switch n.(type) {
		case *ast.AnchorNode:
			w.report(place(n), "", foreignSyntax("アンカー(&)", "an anchor (&)"))
		case *ast.AliasNode:
			w.report(place(n), "", foreignSyntax("エイリアス(*)", "an alias (*)"))
		case *ast.MergeKeyNode:
			w.report(place(n), "", foreignSyntax("マージキー(<<)", "a merge key (<<)"))
		case *ast.TagNode:
			w.report(place(n), "", foreignSyntax("タグ(!)", "a tag (!)"))
		case *ast.DirectiveNode:
			w.report(place(n), "", foreignSyntax("ディレクティブ(%)", "a directive (%)"))
		}
	}), root)
}

type visitor func(ast.Node)

func (v visitor) Visit(n ast.Node) ast.Visitor {
	v(n)
	return v
}
