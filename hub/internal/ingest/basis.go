package ingest

import (
	"strings"

	"sekimori/hub/internal/ledger"
	"sekimori/internal/record"
)

// basis is 根拠条文: the articles a row of a kind is evidence for. Every row
// cites at least one.
var basis = map[record.Kind][]string{
	record.KindGranted:       {"000-7.2", "000-10.1"},
	record.KindDenied:        {"000-7.2", "000-10.1"},
	record.KindEntered:       {"000-7.2", "000-10.1"},
	record.KindExited:        {"000-7.2", "000-10.1"},
	record.KindExitFree:      {"000-7.2", "000-10.1"},
	record.KindREX:           {"000-10.1"},
	record.KindKeyEntry:      {"000-7.2", "000-10.1", "000-10.2"},
	record.KindAttemptsSpent: {"001-4.4(8)", "000-7.2"},
	record.KindForcedOpen:    {"001-3.1(1)イ", "000-8.2"},
	record.KindHeldOpen:      {"001-3.1(1)イ", "000-8.2"},
	record.KindDoorClosed:    {"001-3.1(1)イ", "000-8.2"},
	record.KindFireRelease:   {"001-3.2"},
	record.KindFireEnded:     {"001-3.2"},
	record.KindRearmed:       {"001-3.2", "000-8.2"},
	record.KindRoomClosed:    {"000-8.2"},
	record.KindRoomReopened:  {"000-8.2"},

	record.KindTamper:        {"001-3.1(1)ウ", "001-3.1(1)エ"},
	record.KindTamperEnded:   {"001-3.1(1)ウ", "001-3.1(1)エ"},
	record.KindWiringFault:   {"001-3.1(1)ウ", "001-3.1(1)エ"},
	record.KindReaderOffline: {"001-3.1(1)ウ", "001-4.9(1)"},
	record.KindReaderOnline:  {"001-3.1(1)ウ", "001-4.9(1)"},

	record.KindReaderUntrusted:    {"001-3.1(1)ウ", "001-3.1(1)エ", "001-4.9(1)"},
	record.KindReaderTrusted:      {"001-3.1(1)ウ", "001-3.1(1)エ", "001-4.9(1)"},
	record.KindDoorEquipped:       {"000-7.2"},
	record.KindReaderCommissioned: {"000-7.2", "001-3.1(1)エ"},
	record.KindTemplateEnrolled:   {"003-5D"},
	record.KindTemplateDeleted:    {"003-5D"},
	record.KindModuleWiped:        {"003-5D"},
	record.KindInputActive:        {"001-3.1(1)"},
	record.KindInputCleared:       {"001-3.1(1)"},
	record.KindInputFault:         {"001-3.1(1)"},

	record.KindEpochStarted:    {"002-26.2"},
	record.KindJournalFull:     {"002-26.2", "000-10.1"},
	record.KindLedgerDoubt:     {"002-26.2"},
	record.KindClockSet:        {"002-26.2", "000-10.1"},
	record.KindClockAnomaly:    {"002-26.2", "000-10.1"},
	record.KindBooted:          {"001-4.7(3)"},
	record.KindPolicyActivated: {"000-9.2"},
	record.KindPolicyRejected:  {"000-9.2", "002-25(2)"},
	record.KindOrderExecuted:   {"003-4(6)", "000-8.2"},
	record.KindOrderRejected:   {"003-4(6)", "000-8.2"},

	ledger.KindMasterDeclared:  {"002-23(1)"},
	ledger.KindDeviceEnrolled:  {"001-4.7(1)ア", "002-23(3)ア"},
	ledger.KindDeviceRevoked:   {"001-4.7(1)ア", "002-23(3)ア"},
	ledger.KindEntryByHand:     {"000-7.2", "000-10.1"},
	ledger.KindStayClosed:      {"000-8.2", "000-10.1"},
	ledger.KindOrderIssued:     {"003-4(6)", "000-8.2"},
	ledger.KindPolicyCompiled:  {"000-9.2"},
	ledger.KindSecurityFinding: {"001-4.9(3)", "002-26.1"},
	ledger.KindOpaqueEvent:     {"002-26.2"},
	ledger.KindEvidenceGap:     {"002-26.2", "000-10.1"},
	ledger.KindSignedIn:        {"002-23(6)"},
	ledger.KindSignInFailed:    {"002-23(6)"},
	ledger.KindHubStarted:      {"001-4.7(3)"},
}

// Basis lists the articles a kind of fact is evidence for. A kind this build
// does not know is kept as evidence, which is itself an article's demand.
func Basis(k record.Kind) []string {
	if b, ok := basis[k]; ok {
		return b
	}
	return []string{"002-26.2"}
}

// hubKind tells kinds that only people and the hub may state. A device that
// signs one is not believed.
func hubKind(k record.Kind) bool { return strings.HasPrefix(string(k), "hub.") }
