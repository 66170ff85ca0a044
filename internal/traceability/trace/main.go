// Command trace writes TRACEABILITY.md of the repository it is run in. With
// -from it first reads clauses.txt anew from the folder of the domain report.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"sekimori/internal/traceability"
)

func main() {
	from := flag.String("from", "", "folder of domain.md and acceptance.md; writes clauses.txt and ends")
	flag.Parse()
	if err := run(*from); err != nil {
		fmt.Fprintln(os.Stderr, "trace:", err)
		os.Exit(1)
	}
}

func run(from string) error {
	if from != "" {
		return extract(from)
	}
	clauses, err := traceability.Load()
	if err != nil {
		return err
	}
	tags, err := traceability.Tags(".")
	if err != nil {
		return err
	}
	return os.WriteFile("TRACEABILITY.md", []byte(traceability.Page(clauses, tags)), 0o644)
}

func extract(from string) error {
	domain, err := os.ReadFile(filepath.Join(from, "domain.md"))
	if err != nil {
		return err
	}
	acceptance, err := os.ReadFile(filepath.Join(from, "acceptance.md"))
	if err != nil {
		return err
	}
	text, err := traceability.Extract(string(domain), string(acceptance))
	if err != nil {
		return err
	}
	return os.WriteFile("internal/traceability/clauses.txt", []byte(text), 0o644)
}
