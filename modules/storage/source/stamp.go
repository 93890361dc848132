package source

import "time"

// Stamp identifies the state of a source without reading its content: from
// device, inode, size, mtime and ctime of the archive, or from those and the
// modes, owners and link targets of everything in the folder.
type Stamp struct {
	ID     string    // the same while nothing was changed
	Newest time.Time // the latest ctime in it
	Size   int64     // of the archive; 0 for a folder
}

// Settled tells whether the source was last changed long enough before t for
// any change after t to show in the ctime: file systems stamp with the time of
// the last clock tick, some only with full seconds or two.
func (s Stamp) Settled(t time.Time) bool {
	granularity := 20 * time.Millisecond
	if s.Newest.Nanosecond() == 0 {
		granularity = 2 * time.Second
	}
	return t.Sub(s.Newest) > granularity
}
