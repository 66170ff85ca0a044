// Package broker is the embedded MQTT broker: a pipe between the devices of one
// hub and the hub itself, and nothing more. It stores nothing, retains nothing,
// knows no wills, no sessions and no QoS 2; what makes a row durable is the
// hub's receipt, never an acknowledgement of this package [T-52].
//
//	device ──TLS 1.3, client certificate──▶ accept ▶ handshake ▶ CONNECT ▶ session
//	                                        (limits per address and in total)
//
//	up, ask:                 device ▶ reader ▶ lane (bounded) ▶ hub's writer ▶ hub
//	                                   waits when the lane is full: TCP pushes back
//	receipt, policy,         hub ▶ reader ▶ outbox (bounded) ▶ device's writer ▶ device
//	order, answer:                     full outbox: the device is disconnected
//
// Vocabulary
//
//	identity  role and name from the client certificate (OU, CN); rights follow
//	          it and nothing else: not the client id, not the payload [T-50]
//	peer      one identity with its lanes and, while connected, its session
//	lane      messages of one device and one channel that wait for the hub
//	outbox    packets that wait for one client to read them
//	finding   a security observation; aggregated, so that a flood of attacks
//	          cannot become a flood of ledger rows
//
// The decoder is the kept codec paho.mqtt.golang/packets behind our own fixed
// header guard (frame.go): the codec allocates what a header claims, the guard
// does not let it. Each connection recovers from a panic of its own, so no
// packet can end the process. README.md says why this and not another broker.
//
// In the hub it runs as a child process (RunChild, Supervisor) that holds no
// key but its own TLS server key and has no store.
package broker
