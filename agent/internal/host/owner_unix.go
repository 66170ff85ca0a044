//go:build unix

package host

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

// GiveBack makes files that root has just made below dir the property of dir's
// owner, who is the service's user: a tool run with sudo must not leave a file
// behind that the service cannot read. It does nothing for anybody but root, and
// follows no links, not even one that is put in its way meanwhile: who runs the
// service must not become the owner of anything else by it.
func GiveBack(dir string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	info, err := os.Stat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !ok || owner.Uid == 0 {
		return nil
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	return fs.WalkDir(root.FS(), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if is, ok := info.Sys().(*syscall.Stat_t); !ok || is.Uid != 0 || is.Nlink > 1 && !d.IsDir() {
			return nil // not root's, or a link to a file elsewhere
		}
		return root.Lchown(path, int(owner.Uid), int(owner.Gid))
	})
}
