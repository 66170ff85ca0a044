// Package configs holds the files a site starts from: example settings, packs
// of rules, and what an installer gives to the operating system. They are
// ordinary files to read and copy; embedding them lets one program install
// itself without a second download.
//
//	systemd/  units, users and device rights of the two Linux services
package configs

import "embed"

// Systemd is the folder systemd/.
//
//go:embed systemd
var Systemd embed.FS

// AgentUnit is sekimori-agent.service and HubUnit sekimori-hub.service. They
// name the program as /usr/bin/sekimori-agent and /usr/bin/sekimori-hub, the
// settings as /etc/sekimori/agent.yaml and hub.yaml.
//
//go:embed systemd/sekimori-agent.service
var AgentUnit string

//go:embed systemd/sekimori-hub.service
var HubUnit string

// Users is sysusers.d text for the users of both services.
//
//go:embed systemd/sekimori.sysusers
var Users string
