package source

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"strings"
)

// ErrDigest is matched by errors about a digest that is not "sha256:" and 64
// lower case hex digits.
var ErrDigest = errors.New("malformed digest")

// Digest is "sha256:" followed by 64 lower case hex digits. The empty Digest
// means "not known" or "not pinned".
//
// A Digest that came from outside must go through [ParseDigest] before its
// [Digest.Hex] is used in a path.
type Digest string

const digestPrefix = "sha256:"

// ParseDigest checks the grammar of a digest. Its error matches [ErrDigest].
func ParseDigest(s string) (Digest, error) {
	hex, ok := strings.CutPrefix(s, digestPrefix)
	if !ok {
		return "", fmt.Errorf("%w %q: want sha256:<64 hex digits>", ErrDigest, s)
	}
	if len(hex) != 2*sha256.Size {
		return "", fmt.Errorf("%w %q: %d digits after sha256:, want 64", ErrDigest, s, len(hex))
	}
	if i := strings.IndexFunc(hex, func(r rune) bool { return !strings.ContainsRune("0123456789abcdef", r) }); i >= 0 {
		return "", fmt.Errorf("%w %q: want lower case hex digits after the colon", ErrDigest, s)
	}
	return Digest(s), nil
}

// Hex returns the 64 digits.
func (d Digest) Hex() string { return strings.TrimPrefix(string(d), digestPrefix) }

// String returns the digest with its prefix.
func (d Digest) String() string { return string(d) }

func digestOf(h hash.Hash) Digest { return Digest(fmt.Sprintf("%s%x", digestPrefix, h.Sum(nil))) }

// DigestError says that a source is not what its URI pins.
type DigestError struct {
	URI  string
	Want Digest // pinned
	Got  Digest // found
}

func (e *DigestError) Error() string {
	return fmt.Sprintf("verify %s: digest mismatch: want %s, got %s", e.URI, e.Want, e.Got)
}
