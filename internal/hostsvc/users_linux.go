package hostsvc

import (
	"fmt"
	"os/exec"
	"strings"
)

// addUsers makes the users the unit runs as; those that exist stay as they are.
func addUsers(sysusers string) error {
	cmd := exec.Command("systemd-sysusers", "-")
	cmd.Stdin = strings.NewReader(sysusers)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("make the service's user: %w: %s", err, strings.TrimSpace(string(out)))
	}
	return nil
}
