package layers_test

// module is the import path all of ours begins with.
const module = "sekimori"

// layer says what the packages of one folder may import of ours. Folders are
// prefixes of whole path elements; a folder may always import itself.
type layer struct {
	from  string
	not   []string // folders of ours that are forbidden
	only  []string // if set, the folders of ours that are allowed, and no others
	tests bool     // whether the rule binds _test.go files too
	why   string
}

var layers = []layer{
	{from: "internal/record", only: []string{}, tests: true,
		why: "record is the contract between agent and hub: it must be readable, and verifiable, alone"},
	{from: "internal/clock", only: []string{}, tests: true,
		why: "everything reads the clock, so the clock reads nothing of ours"},
	{from: "internal/settings", only: []string{}, tests: true,
		why: "settings are read by all three programs and know none of them"},
	{from: "drivers", only: []string{"internal/clock"},
		why: "bytes and edges in, readings out: a driver knows no person, room, permit or network, and can be used without sekimori"},
	{from: "agent", not: []string{"hub"}, tests: true,
		why: "agent and hub meet in internal/record and on the wire, nowhere else"},
	{from: "hub", not: []string{"agent", "drivers"}, tests: true,
		why: "agent and hub meet in internal/record and on the wire, nowhere else; the hub has no hardware"},
	{from: "agent", not: []string{"firmware-sim"},
		why: "what is installed at a door must not hold a pretend door"},
	{from: "hub", not: []string{"firmware-sim"},
		why: "what is installed at the hub must not hold a pretend door"},
	{from: "firmware-sim", not: []string{"drivers", "agent", "hub"},
		why: "the simulator is the other side of each protocol: sharing code with the drivers would hide a mistake both make"},
	{from: "agent/internal/decide", not: []string{"internal/clock", "internal/settings", "agent/internal/journal", "agent/internal/uplink"},
		why: "decide is a function of (state, input, now)"},
}

// driverFamilies never import each other: each folder below drivers/ may use
// drivers itself and these, which are there to be shared.
var (
	sharedDrivers = []string{"drivers/line", "drivers/drivertest"}
	driverWhy     = "drivers never import each other: a fault or a change of one protocol must stay there; share through the drivers package"
)

// library says where a third-party module is imported, and nowhere else, so
// that replacing it is the work of one folder.
type library struct {
	module   string
	in       []string
	anyTests bool // tests elsewhere may use it
	why      string
}

var libraries = []library{
	{module: "go.bug.st/serial", in: []string{"drivers/line"},
		why: "the serial port has its own seam and its own fake; the rest talks to that"},
	{module: "periph.io/x/host/v3", in: []string{"drivers/gpio"},
		why: "periph's registries are process-wide; one folder owns them"},
	{module: "periph.io/x/conn/v3", in: []string{"drivers", "agent", "internal/vmtest"},
		why: "pins have meaning only beside a door"},
	{module: "github.com/eclipse/paho.mqtt.golang", in: []string{"agent/internal/uplink", "hub/internal/broker", "hub/internal/brokerlink"},
		why: "MQTT is a pipe: the journal, the ledger and the console must not know it"},
	{module: "modernc.org/sqlite", in: []string{"hub/internal/store"},
		why: "the database is chosen by configuration; SQL stays in the store"},
	{module: "github.com/kardianos/service", in: []string{"internal/hostsvc"},
		why: "how an operating system starts a program is not the program's business"},
	{module: "github.com/coreos/go-systemd/v22", in: []string{"internal/hostsvc"},
		why: "how an operating system watches a program is not the program's business"},
	{module: "github.com/creack/pty", in: []string{"firmware-sim"}, anyTests: true,
		why: "only pretend hardware needs a pretend serial line"},
	{module: "github.com/chromedp/chromedp", anyTests: true,
		why: "a browser is driven by tests only"},
	{module: "github.com/goccy/go-yaml", in: []string{"internal/settings"},
		why: "every file people write is read by one strict reader that explains itself"},
	{module: "github.com/alexedwards/scs/v2", in: []string{"hub/internal/console"},
		why: "sessions belong to the console"},
	{module: "github.com/secure-systems-lab/go-securesystemslib", in: []string{"internal/record"},
		why: "the envelope is part of the contract"},
	{module: "github.com/spf13/cobra", in: []string{"agent/cmd", "hub/cmd", "firmware-sim/cmd", "internal/cli"},
		why: "verbs and flags end at cmd; below it everything is Config and Run"},
}

// pure is the folder whose code decides. What it may not import or call would
// make the same state and input give two answers.
var pure = struct {
	folder  string
	imports []string // packages, and everything below them
	calls   []string // package.Func
	why     string
}{
	folder: "agent/internal/decide",
	imports: []string{"os", "net", "syscall", "database/sql", "sync", "context", "math/rand", "crypto/rand", "io/fs", "log", "runtime", "testing", "unsafe",
		"golang.org/x/sys"},
	calls: []string{"time.Now", "time.Since", "time.Until", "time.Sleep", "time.After", "time.AfterFunc", "time.Tick", "time.NewTimer", "time.NewTicker"},
	why:   "decide is pure: no clock, disk, network or goroutine, so that every rule of the regulation is a row of a table",
}

// testTags are the build tags a test file may hide behind: the Makefile runs
// them all.
var (
	testTags     = []string{"linux", "windows", "unix", "simtime", "race", "vmtest", "interop"}
	skipWhy      = "a test that is not run proves nothing: install what it needs (scripts/need.sh) or move it behind a build tag of its operating system"
	testTagWhy   = "a test behind a tag nobody builds is a skipped test"
	machineWhy   = "a path of one machine does not exist on the next one"
	cmdWhy       = "cmd only parses and calls; whatever is worth importing belongs below it"
	libraryWhy   = "a new library needs a place: add it to libraries with a reason"
	temporary    = "internal/deps" // pins modules until their users exist; holds every library at once
	temporaryWhy = "internal/deps was to be deleted once every library has its user"
)
