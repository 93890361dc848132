// Package security holds the suite of attacks: for each way out of a container
// that was found in some engine, the test that fails when our defence against it
// is taken away. Beside it a probe tells what a default container can do, and
// the page docs/security.md has its table.
//
//	go test ./integration/security
//	make test-long        # more rounds of what races
//
// The tests deploy with the command as it is built, and need Linux and root;
// elsewhere they are skipped, or fail where CTST_TEST_REQUIRE says that nothing
// may be missing. Each was seen failing without its defence before it was kept.
// Never try that as root outside of a throw-away machine or mount namespace.
//
// These have no test yet, because their part does not exist yet:
//
//	failures of other engines                      wait for
//	CVE-2017-5226: TIOCSTI into a caller's         exec with a terminal (the probe holds
//	  terminal                                       that there is none without)
//	CVE-2025-52565: /dev/pts/N replaced before     exec with a terminal
//	  it becomes the console
//	CVE-2026-53488, -53489, -50195: image labels   configurations of images
//	  reach actions of the host
//	CVE-2022-23648: VOLUME of an image             configurations of images
//	CVE-2026-30892, -47262: ids in configurations  configurations of images
//	  of images
//	CVE-2025-62725: ../ in names of a registry     registries
//	CVE-2021-4024, -2025-6032, -2026-33414: an     the virtual machine
//	  agent that is exposed, images that are not
//	  verified, names that reach a shell
//	CVE-2025-11395: links while files are picked   distroless
//	CVE-2024-29018, -32473: names resolved by the  a resolver (there is none: /etc/hosts
//	  host for a network without a way out           has all names)
//	everything above as an ordinary user           rootless
package security

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// row is a failure of other engines, or of what was promised, and the tests that
// show that it is not ours: "folder.Test", the folder below modules, or a script.
type row struct {
	failure string
	tests   []string
}

var rows = []row{
	{"CVE-2019-5736: the engine's program overwritten through /proc/self/exe", []string{
		"security.TestEngineIsOutOfReach", "core/sandbox.TestMemoryApart", "core/sandbox.TestExecUnreadable", "core/sandbox.TestUserExecUnreadable",
	}},
	{"CVE-2016-9962, -2024-21626: leaked descriptors, a working directory through one", []string{
		"security.TestIsolation", "core/sandbox.TestExec", "core/sandbox.TestWorkingDirectoryOfDescriptor",
	}},
	{"CVE-2019-16884, -19921, -2023-27561, -28642, -2025-52881: a fake /proc", []string{
		"security.TestFakeProc", "core/sandbox.TestMasksOfALinkedProc", "core/sandbox.TestLinkedTargets",
	}},
	{"CVE-2021-30465, -2024-45310, -2019-10152, -2026-41568: a mount's target swapped for a link", []string{
		"security.TestSwappedVolume", "core/sandbox.TestSwappedTarget",
	}},
	{"CVE-2025-31133: /dev/null replaced before something is masked with it", []string{
		"security.TestFakeDevices", "core/sandbox.TestLinkedNull",
	}},
	{"CVE-2026-41579, -47766: /dev is a link in the image", []string{
		"security.TestFakeDevices", "core/sandbox.TestLinkedTargets",
	}},
	{"CVE-2022-29162, -27649, -27650: inheritable capabilities", []string{"security.TestIsolation", "core/sandbox.TestUser"}},
	{"CVE-2022-0492, -2023-25809: a cgroup file system that can be written", []string{"security.TestProbe", "core/sandbox.TestFiles"}},
	{"CVE-2026-31431: AF_ALG changes what other containers read", []string{"security.TestProbe", "core/sandbox.TestDefaultFilter"}},
	{"CVE-2024-40635, -2026-46680, -2024-9676: ids that overflow, users with numbers for names, huge or linked passwd", []string{
		"security.TestHostileUsers", "core/rootfs.TestLookupUser", "core/rootfs.TestLookupUserHostileFiles", "core/rootfs.FuzzLookupUser", "sdk/native.TestUserOutsideOfTheRange",
	}},
	{"CVE-2026-55686: a working directory or volume through a link makes folders of the host", []string{
		"security.TestLinkedFolders", "core/rootfs.TestScaffoldErrors",
	}},
	{"CVE-2020-15257, -2024-25621: abstract sockets, folders that others may enter", []string{
		"security.TestOtherUsers", "storage/store.TestStoreIsPrivate",
	}},
	{"CVE-2021-32760, -2025-47290, -2026-17106, -50163: links while an archive is unpacked", []string{
		"storage/unpack.TestHostileNames", "storage/unpack.TestContained", "storage/unpack.TestRandomStepsAreContained",
		"storage/unpack.TestHonestOddities", "storage/unpack.FuzzUnpack",
	}},
	{"CVE-2017-14992, -2025-58183: bombs, sparse maps", []string{"storage/source.TestLimits", "storage/unpack.TestSparseKeepsHoles"}},
	{"CVE-2024-3727: a digest used as a path", []string{"storage/source.TestParseErrors", "storage/source.FuzzParse", "storage/store.TestGC"}},
	{"CVE-2019-14271, -2022-1227, -2026-41567: the host runs or loads what the image brings", []string{"security.TestNothingOfTheImageRunsOutside"}},
	{"CVE-2025-9566: a planted link, and then a file is written again", []string{"security.TestPlantedLinks"}},
	{"CVE-2025-54410: internal networks leak when a firewall is loaded again", []string{
		"core/network.TestHostFirewall", "core/network.TestReplacedRules", "core/network.TestProjectsAreApart",
		"core/network.TestOneWay", "core/network.TestHostIsNotReachable", "core/network.TestNothingPassesBeforeRules", "core/network.TestSpoofedSource",
	}},
	{"a published port is open to the world", []string{"security.TestPortsAreLocal", "core/network.TestExpose"}},
	{"secrets in plans, state, events and lists", []string{"security.TestSecretsStayAway", "sdk/plan.TestSavedPlanHoldsNoSecret"}},
	{"control characters in names, logs and plans", []string{
		"security.TestControlCharacters", "graph/draw.TestHostileNames", "cli/internal/command.TestErrorsAreEscaped", "kernel_logs.txtar",
	}},
	{"containers share user ids", []string{"security.TestIDsAreNobodyElses", "sdk/native.TestIDs", "core/idmap.TestAllocateConcurrently"}},
	{"an entry point that needs more than it is given fails open", []string{"security.TestEntryPoints", "security.TestServers"}},
}

var testName = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`)

// The tests that the table names are there, and it names all of this package.
func TestRowsHaveTests(t *testing.T) {
	there := map[string]bool{}
	for _, root := range []string{"../../modules", "../security"} {
		require.NoError(t, filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, "_test.go") {
				return err
			}
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			dir := strings.TrimPrefix(strings.TrimPrefix(filepath.ToSlash(filepath.Dir(path)), "../../modules/"), "../")
			for _, m := range testName.FindAllStringSubmatch(string(text), -1) {
				there[dir+"."+m[1]] = true
			}
			return nil
		}))
	}
	scripts, err := filepath.Glob("../testdata/script/*.txtar")
	require.NoError(t, err)
	for _, s := range scripts {
		there[filepath.Base(s)] = true
	}
	named := map[string]bool{"TestMain": true, "TestRowsHaveTests": true}
	for _, r := range rows {
		require.NotEmpty(t, r.tests, r.failure)
		for _, name := range r.tests {
			require.True(t, there[name], fmt.Sprintf("there is no test %s, which is said to show %q", name, r.failure))
			named[strings.TrimPrefix(name, "security.")] = true
		}
	}
	for name := range there {
		if own, ok := strings.CutPrefix(name, "security."); ok && !named[own] {
			t.Errorf("%s is in no row", own)
		}
	}
}
