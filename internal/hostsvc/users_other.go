//go:build !linux

package hostsvc

// addUsers has nothing to do: the service manager's own accounts are used.
func addUsers(string) error { return nil }
