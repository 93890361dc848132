package sdk

import "github.com/containust/containust/modules/lang/diag"

// Meanings maps each code of the engine to one line that says what it means.
// Those of the language are in [diag.Meanings].
func Meanings() map[diag.Code]string {
	return map[diag.Code]string{
		SourceMissing:     "an image that is not there; for a plan a warning",
		SourceUnreadable:  "an image that cannot be read",
		SourceUnsupported: "an image of a kind that this version does not support",
		NoCommand:         "a component without a program to start: neither it nor its image has a command",
		FileMissing:       "a file or folder of the host that is not there or cannot be read",
		DigestMismatch:    "an image that does not have the digest it is pinned to",
		ProfileInvalid:    "a system call profile that is not valid, or under which nothing can start; as a warning, one that names what is no system call",
		MachineLacks:      "a setting that this machine cannot carry out; with `--allow-unenforced-limits` a warning, where it is a limit",
		NotInThisVersion:  "a setting that this version cannot carry out",
	}
}
