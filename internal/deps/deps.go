// Package deps pins modules while the parts that use them are being written; it is deleted at the end.
package deps

import (
	_ "github.com/alexedwards/scs/v2"
	_ "github.com/chromedp/chromedp"
	_ "github.com/coreos/go-systemd/v22/daemon"
	_ "github.com/creack/pty"
	_ "github.com/eclipse/paho.mqtt.golang"
	_ "github.com/eclipse/paho.mqtt.golang/packets"
	_ "github.com/goccy/go-yaml"
	_ "github.com/kardianos/service"
	_ "github.com/spf13/cobra"
	_ "go.bug.st/serial"
	_ "github.com/secure-systems-lab/go-securesystemslib/dsse"
	_ "golang.org/x/crypto/argon2"
	_ "golang.org/x/mod/sumdb/note"
	_ "golang.org/x/mod/sumdb/tlog"
	_ "golang.org/x/sync/errgroup"
	_ "golang.org/x/sys/unix"
	_ "golang.org/x/text/width"
	_ "modernc.org/sqlite"
	_ "periph.io/x/conn/v3/gpio"
	_ "periph.io/x/conn/v3/gpio/gpiotest"
	_ "periph.io/x/host/v3/gpioioctl"
)
