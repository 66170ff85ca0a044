package osdp

import "fmt"

// Codes of commands (OSDP 2.x, annex A).
const (
	codePoll         = 0x60
	codeID           = 0x61
	codeCap          = 0x62
	codeLStat        = 0x64
	codeIStat        = 0x65
	codeOStat        = 0x66
	codeRStat        = 0x67
	codeOut          = 0x68
	codeLED          = 0x69
	codeBuz          = 0x6A
	codeText         = 0x6B
	codeComSet       = 0x6E
	codeBioRead      = 0x73
	codeBioMatch     = 0x74
	codeKeySet       = 0x75
	codeChlng        = 0x76
	codeSCrypt       = 0x77
	codeACURxSize    = 0x7B
	codeFileTransfer = 0x7C
	codeMfg          = 0x80
	codeAbort        = 0xA2
	codeKeepActive   = 0xA7
)

// Codes of replies (annex B).
const (
	codeACK       = 0x40
	codeNAK       = 0x41
	codePDID      = 0x45
	codePDCap     = 0x46
	codeLStatR    = 0x48
	codeIStatR    = 0x49
	codeOStatR    = 0x4A
	codeRStatR    = 0x4B
	codeRaw       = 0x50
	codeFmt       = 0x51
	codeKeypad    = 0x53
	codeCom       = 0x54
	codeBioReadR  = 0x57
	codeBioMatchR = 0x58
	codeCCrypt    = 0x76
	codeRMacI     = 0x78
	codeBusy      = 0x79
	codeFTStat    = 0x7A
	codeMfgStatR  = 0x83
	codeMfgErrR   = 0x84
	codeMfgRep    = 0x90
)

// Types of security blocks (annex D).
const (
	scs11 = 0x11 // CHLNG;  with 0 for SCBK-D, 1 for SCBK
	scs12 = 0x12 // CCRYPT; the same
	scs13 = 0x13 // SCRYPT; the same
	scs14 = 0x14 // RMAC_I; with 1, or FF when the reader refuses
	scs15 = 0x15 // command with a MAC
	scs16 = 0x16 // reply with a MAC
	scs17 = 0x17 // command with a MAC and encrypted data
	scs18 = 0x18 // reply with a MAC and encrypted data
)

// Reasons in a NAK.
const (
	NakCheck     = 1 // wrong check value
	NakLength    = 2 // wrong command length
	NakUnknown   = 3 // unknown command
	NakSequence  = 4 // unexpected sequence number
	NakNoSecure  = 5 // secure channel is not supported
	NakSecure    = 6 // secure channel is demanded
	NakBioType   = 7 // unknown biometric type
	NakBioFormat = 8 // unknown biometric format
	NakRecord    = 9 // the record cannot be processed
)

var nakWords = map[byte]string{
	NakCheck: "検査値が違う wrong check", NakLength: "長さが違う wrong length", NakUnknown: "知らない命令 unknown command",
	NakSequence: "順番が違う wrong sequence", NakNoSecure: "暗号通信なし no secure channel", NakSecure: "暗号通信が必要 secure channel demanded",
	NakBioType: "生体種別 biometric type", NakBioFormat: "生体形式 biometric format", NakRecord: "処理できない record",
}

// Functions in a PDCAP.
const (
	FuncInputs    = 1
	FuncOutputs   = 2
	FuncCard      = 3
	FuncLED       = 4
	FuncBuzzer    = 5
	FuncText      = 6
	FuncCheck     = 8
	FuncSecurity  = 9
	FuncReceive   = 10 // largest command: low byte in Compliance, high byte in Count
	FuncSmartCard = 12
	FuncReaders   = 13
	FuncBiometric = 14
)

// needs is the function a command needs; a command that is not here needs none.
var needs = map[byte]byte{
	codeIStat: FuncInputs, codeOStat: FuncOutputs, codeOut: FuncOutputs, codeLED: FuncLED, codeBuz: FuncBuzzer,
	codeText: FuncText, codeBioRead: FuncBiometric, codeBioMatch: FuncBiometric,
}

var commandNames = map[byte]string{
	codePoll: "POLL 用件はあるか", codeID: "ID 名乗れ", codeCap: "CAP 何ができるか", codeLStat: "LSTAT 筐体の状態は",
	codeIStat: "ISTAT 入力の状態は", codeOStat: "OSTAT 出力の状態は", codeRStat: "RSTAT 読取部の状態は", codeOut: "OUT 出力",
	codeLED: "LED ランプ", codeBuz: "BUZ ブザー", codeText: "TEXT 表示", codeComSet: "COMSET 番地と速度の変更",
	codeBioRead: "BIOREAD 生体読取", codeBioMatch: "BIOMATCH 生体照合", codeKeySet: "KEYSET 鍵の書込み",
	codeChlng: "CHLNG 暗号通信の開始", codeSCrypt: "SCRYPT こちらの証明", codeACURxSize: "ACURXSIZE 受信できる長さ",
	codeFileTransfer: "FILETRANSFER ファイル", codeMfg: "MFG メーカー固有", codeAbort: "ABORT 中止", codeKeepActive: "KEEPACTIVE 待機延長",
}

var replyNames = map[byte]string{
	codeACK: "ACK 承知", codeNAK: "NAK 拒否", codePDID: "PDID 名乗り", codePDCap: "PDCAP できること", codeLStatR: "LSTATR 筐体",
	codeIStatR: "ISTATR 入力", codeOStatR: "OSTATR 出力", codeRStatR: "RSTATR 読取部", codeRaw: "RAW カード", codeFmt: "FMT カード (旧形式)",
	codeKeypad: "KEYPAD キー", codeCom: "COM 番地と速度", codeBioReadR: "BIOREADR 生体データ", codeBioMatchR: "BIOMATCHR 照合結果",
	codeCCrypt: "CCRYPT 相手の証明", codeRMacI: "RMAC_I 暗号通信の成立", codeBusy: "BUSY 取込み中", codeFTStat: "FTSTAT ファイル状態",
	codeMfgStatR: "MFGSTATR メーカー固有", codeMfgErrR: "MFGERRR メーカー固有の誤り", codeMfgRep: "MFGREP メーカー固有",
}

// nameOf is a code in words.
func nameOf(code byte, reply bool) string {
	names := commandNames
	if reply {
		names = replyNames
	}
	if n, ok := names[code]; ok {
		return n
	}
	return fmt.Sprintf("%02X", code)
}
