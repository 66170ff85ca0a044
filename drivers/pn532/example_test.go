package pn532_test

import (
	"fmt"

	"sekimori/drivers"
	"sekimori/drivers/line"
	"sekimori/drivers/pn532"
)

// A counter whose cards prove who they are, with the key the municipality's
// cards were made from. A card that does not is refused by name.
func ExampleNew() {
	key, err := pn532.ParseSiteKey("00112233445566778899aabbccddeeff")
	if err != nil {
		fmt.Println(err)
		return
	}
	cfg := pn532.Config{
		Reader: "C1",
		Proof: pn532.Proof{
			Key: key, KeyNumber: 1, Demand: drivers.ProofCryptographic,
			System: []byte("kanmori"), // as the cards were issued
		},
	}
	if _, err := pn532.New(cfg, line.Serial("/dev/ttyUSB0", pn532.DefaultBaud)); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(cfg.Proof.Key, cfg.Proof.Demand, cfg.Form)
	// Output: [redacted] cryptographic uid
}
