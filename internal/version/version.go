// Package version is what a sekimori program says of itself: to a person at a
// prompt, in the device's first event, and in the hub's asset ledger.
package version

import (
	"fmt"
	"runtime"
)

// Version is set by the linker (make build): the nearest tag and commit, with
// "-dirty" when built from changed files; "dev" under `go run` and `go test`.
var Version = "dev"

// Line is the version with what it was built by and for.
func Line(program string) string {
	return fmt.Sprintf("%s %s (%s %s/%s)", program, Version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}
