//go:build !windows

package pki

import (
	"errors"
	"os"
)

// exposed tells whether anybody but the owner has any right to path.
func exposed(path string) (bool, error) {
	st, err := os.Stat(path)
	if err != nil {
		return false, err
	}
	return st.Mode().Perm()&0o077 != 0, nil
}

// keepPrivate closes a folder to everybody but its owner.
func keepPrivate(dir string) error { return os.Chmod(dir, 0o700) }

// syncDir makes a rename durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
