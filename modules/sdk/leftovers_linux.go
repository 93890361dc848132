package sdk

import (
	"os"
	"path/filepath"
)

// onMachine tells whether the project with this state folder has something on
// the machine: it runs, or did and was not taken off.
func onMachine(stateDir string) bool {
	base, err := runBase()
	if err != nil {
		return false
	}
	_, err = os.Lstat(filepath.Join(base, projectID(stateDir)))
	return err == nil
}
