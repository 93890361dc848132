package fetch

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"

	"github.com/containust/containust/modules/lang/diag"
)

// Each error has a Diagnostic method: what a person is told, without a place.

// Error says why a file cannot be fetched.
type Error struct {
	URL string
	Err error
}

func (e *Error) Error() string { return fmt.Sprintf("fetch %s: %v", e.URL, e.Err) }

func (e *Error) Unwrap() error { return e.Err }

// Diagnostic returns the error as it is shown.
func (e *Error) Diagnostic() diag.Diagnostic {
	d := diag.Diagnostic{Code: diag.ImportUnreadable, Summary: fmt.Sprintf("%s cannot be fetched: %v", e.URL, e.Err)}
	var certificate *tls.CertificateVerificationError
	var network *net.OpError
	switch {
	case errors.As(e.Err, &certificate):
		d.Detail = "For an authority of your own, name the file with its certificate: SSL_CERT_FILE=ca.pem"
	case errors.As(e.Err, &network):
		d.Detail = "Is the address right, and is there a network? Behind a proxy, set HTTPS_PROXY."
	}
	return d
}

// StatusError says that a server did not answer with a file.
type StatusError struct {
	URL  string
	Code int // of HTTP: 404
}

func (e *StatusError) status() string {
	if text := http.StatusText(e.Code); text != "" {
		return fmt.Sprintf("%d %s", e.Code, text)
	}
	return fmt.Sprint(e.Code)
}

func (e *StatusError) Error() string {
	return fmt.Sprintf("fetch %s: the server answered %s", e.URL, e.status())
}

// Diagnostic returns the error as it is shown.
func (e *StatusError) Diagnostic() diag.Diagnostic {
	return diag.Diagnostic{
		Code: diag.ImportUnreadable, Summary: fmt.Sprintf("%s cannot be fetched: the server answered %s", e.URL, e.status()),
		Detail: "Is the address right? It is asked for without credentials: what needs them is imported as a file beside this one.",
	}
}

// SizeError says that a file is larger than MaxBytes.
type SizeError struct{ URL string }

func (e *SizeError) Error() string {
	return fmt.Sprintf("fetch %s: the file is larger than 4 MiB", e.URL)
}

// Diagnostic returns the error as it is shown.
func (e *SizeError) Diagnostic() diag.Diagnostic {
	return diag.Diagnostic{Code: diag.FileTooLarge, Summary: e.URL + " is larger than 4 MiB"}
}

// OfflineError says that a file is needed that only the network has.
type OfflineError struct {
	URL string
	Err error // why the cache does not serve; nil: its digest is not known
}

func (e *OfflineError) Error() string {
	if e.Err == nil {
		return "needs the network: " + e.URL
	}
	return fmt.Sprintf("needs the network: %s: %v", e.URL, e.Err)
}

func (e *OfflineError) Unwrap() error { return e.Err }

// Diagnostic returns the error as it is shown.
func (e *OfflineError) Diagnostic() diag.Diagnostic {
	d := diag.Diagnostic{Code: diag.NeedsNetwork, Summary: "needs the network: " + e.URL}
	mend := "Run once without --offline: it is then kept."
	switch {
	case e.Err == nil:
		d.Detail = "It was never fetched for this project: ctst.lock has no digest of it.\n" + mend
	case errors.Is(e.Err, errNotKept):
		d.Detail = "The cache of this machine does not have it.\n" + mend
	default:
		d.Detail = e.Err.Error() + "\n" + mend
	}
	return d
}

// DigestError says that digests of one file differ that must be the same. Each
// is 64 hex digits, or empty.
type DigestError struct {
	URL    string
	Pin    string // behind @sha256: in the source
	Locked string // in ctst.lock
	Found  string // of what the server sent; empty: it was not asked
}

func (e *DigestError) Error() string {
	switch {
	case e.Found == "":
		return fmt.Sprintf("fetch %s: pinned to sha256:%s, and ctst.lock has sha256:%s", e.URL, e.Pin, e.Locked)
	case e.Pin != "":
		return fmt.Sprintf("fetch %s: pinned to sha256:%s, found sha256:%s", e.URL, e.Pin, e.Found)
	}
	return fmt.Sprintf("fetch %s: ctst.lock has sha256:%s, found sha256:%s", e.URL, e.Locked, e.Found)
}

// Diagnostic returns the error as it is shown.
func (e *DigestError) Diagnostic() diag.Diagnostic {
	switch {
	case e.Found == "":
		return diag.Diagnostic{
			Code: diag.ImportPin, Summary: e.URL + " is pinned to another digest than ctst.lock has",
			Detail: fmt.Sprintf("pinned    sha256:%s\nctst.lock sha256:%s\nIf the pin is right: ctst build --update", e.Pin, e.Locked),
		}
	case e.Pin != "":
		return diag.Diagnostic{
			Code: diag.ImportPin, Summary: e.URL + " does not have the digest it is pinned to",
			Detail: fmt.Sprintf("expected sha256:%s\nfound    sha256:%s\nLook at what changed. To accept it, pin the digest that was found.", e.Pin, e.Found),
		}
	}
	return diag.Diagnostic{
		Code: diag.ImportChanged, Summary: e.URL + " is not what it was when ctst.lock was written",
		Detail: fmt.Sprintf("ctst.lock sha256:%s\nfound     sha256:%s\nLook at what changed. To accept it: ctst build --update", e.Locked, e.Found),
	}
}
