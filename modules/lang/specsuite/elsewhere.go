package specsuite

import "github.com/containust/containust/modules/lang/diag"

// Elsewhere says why no case shows something, and which test does.
type Elsewhere struct {
	When string // what it takes
	Test string // the name of a test of this repository; empty where there is none yet
}

// ClausesWithoutCase returns the clauses of docs/language.md that files,
// environment and secrets alone cannot show.
func ClausesWithoutCase() map[string]Elsewhere {
	return map[string]Elsewhere{
		"D6":  {"any text at all", "FuzzLoad"},
		"H2":  {"a host path that is missing", "TestPlanFindsWhatIsWrong"},
		"I3":  {"a server, a cache and ctst.lock", "TestImportIsRecordedAndKept"},
		"I4":  {"a cache that lacks a file", "TestOfflineNamesTheAddress"},
		"I10": {"a server and ctst.lock", "TestUpdateIsWhole"},
		"O1":  {"an image that is missing", "TestMissingSourceIsAWarningInAPlan"},
		"S2":  {"the mode of a file", "TestSecretDir"},
	}
}

// CodesWithoutCase returns the codes that files, environment and secrets alone
// do not bring about, or only with more text than a case should have.
func CodesWithoutCase() map[diag.Code]Elsewhere {
	return map[diag.Code]Elsewhere{
		diag.FileUnreadable: {"the root file is missing or cannot be read", "TestUnreadable"},
		diag.FileTooLarge:   {"a file has more than 4 MiB", "TestUnreadable"},
		diag.TooManyErrors:  {"a file has 1,000 errors", "TestHostile"},
		diag.TooManyLinks:   {"lists of CONNECT multiply to more than 200,000 links", "TestHostile"},
		diag.TooLarge:       {"a text is larger than 1 MiB, or copies and references multiply", "TestHostile"},
		diag.ImportChanged:  {"a fetched file is not what ctst.lock has recorded", "TestChangedImport"},
		diag.LockUnusable:   {"ctst.lock is damaged, of a later version, or cannot be written", "TestLockThatCannotBeUsed"},
		diag.NeedsNetwork:   {"--offline is given and the cache lacks a file", "TestOfflineNamesTheAddress"},
		diag.SecretRefused:  {"the file of a secret may be read by others, or is no file", "TestSecretSources"},
	}
}
