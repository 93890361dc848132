package supervise

import (
	"testing"
	"time"
)

// WaitLongerForFailures makes an apply find each early end in this test, however
// busy the machine is. Components that go on make it take a minute.
func WaitLongerForFailures(t *testing.T) {
	before := settleTime
	settleTime = time.Minute
	t.Cleanup(func() { settleTime = before })
}
