// Command initrd packs files into a cpio archive that a Linux kernel unpacks as
// its first root file system:
//
//	initrd -o initrd.cpio init=./guest vmtest.test=./vmtest.test modules/1.ko=…
//
// The format is "newc" (Documentation/driver-api/early-userspace/buffer-format.rst
// of the kernel): a header of 13 fields of 8 hexadecimal digits after the magic
// 070701, name and data each padded to 4 bytes, an entry TRAILER!!! at the end.
// It is ours so that the test asks for no tool beyond QEMU and a compiler.
package main

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"path"
	"strings"
)

func main() {
	log.SetFlags(0)
	out := flag.String("o", "", "archive to write")
	flag.Parse()
	if *out == "" || flag.NArg() == 0 {
		log.Fatal("usage: initrd -o archive name=file...")
	}
	if err := write(*out, flag.Args()); err != nil {
		log.Fatal("initrd: ", err)
	}
}

func write(out string, pairs []string) (err error) {
	f, err := os.Create(out)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	a := archive{w: bufio.NewWriter(f), made: map[string]bool{".": true}}
	if err := a.folder("dev"); err != nil {
		return err
	}
	// The kernel opens it for process 1 before anything is mounted: character
	// device 5:1.
	if err := a.entry("dev/console", 0o020600, nil, 5, 1); err != nil {
		return err
	}
	for _, p := range pairs {
		name, file, ok := strings.Cut(p, "=")
		if !ok {
			return fmt.Errorf("%q is not name=file", p)
		}
		data, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if err := errors.Join(a.folder(path.Dir(name)), a.entry(name, 0o100755, data, 0, 0)); err != nil {
			return err
		}
	}
	return errors.Join(a.entry("TRAILER!!!", 0, nil, 0, 0), a.w.Flush())
}

type archive struct {
	w    *bufio.Writer
	made map[string]bool // folders
	n    int             // inodes
}

func (a *archive) folder(name string) error {
	if a.made[name] {
		return nil
	}
	a.made[name] = true
	return errors.Join(a.folder(path.Dir(name)), a.entry(name, 0o040755, nil, 0, 0))
}

func (a *archive) entry(name string, mode int, data []byte, major, minor int) error {
	a.n++
	fields := []int{a.n, mode, 0, 0, 1, 0, len(data), 0, 0, major, minor, len(name) + 1, 0}
	head := "070701"
	for _, f := range fields {
		head += fmt.Sprintf("%08x", f)
	}
	head += name + "\x00"
	_, err := io.WriteString(a.w, head+pad(len(head)))
	_, err2 := a.w.Write(data)
	_, err3 := io.WriteString(a.w, pad(len(data)))
	return errors.Join(err, err2, err3)
}

func pad(n int) string { return strings.Repeat("\x00", -n&3) }
