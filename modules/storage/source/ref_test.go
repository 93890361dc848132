package source

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var someDigest = "sha256:" + strings.Repeat("0123456789abcdef", 4)

func TestParse(t *testing.T) {
	base, err := filepath.Abs(filepath.FromSlash("/srv/stack"))
	require.NoError(t, err)
	abs := func(path string) string {
		p, err := filepath.Abs(filepath.FromSlash(path))
		require.NoError(t, err)
		return p
	}
	tests := []struct {
		uri  string
		want Ref
	}{
		{"file://./images/x", Ref{Scheme: SchemeFile, Path: abs("/srv/stack/images/x")}},
		{"file://images/x", Ref{Scheme: SchemeFile, Path: abs("/srv/stack/images/x")}},
		{"file:///abs/dir/", Ref{Scheme: SchemeFile, Path: abs("/abs/dir")}},
		{"file://.", Ref{Scheme: SchemeFile, Path: abs("/srv/stack")}},
		{"tar://../a.tar", Ref{Scheme: SchemeTar, Path: abs("/srv/a.tar")}},
		{"tar:///a.tar@" + someDigest, Ref{Scheme: SchemeTar, Path: abs("/a.tar"), Digest: Digest(someDigest)}},
		{"tar://user@host/a@b.tar", Ref{Scheme: SchemeTar, Path: abs("/srv/stack/user@host/a@b.tar")}},
		{"tar://at@12:30.tar", Ref{Scheme: SchemeTar, Path: abs("/srv/stack/at@12:30.tar")}},
		{"tar://100%25 #?.tar", Ref{Scheme: SchemeTar, Path: abs("/srv/stack/100%25 #?.tar")}},
		{"image://site", Ref{Scheme: SchemeImage, Name: "site:latest"}},
		{"image://my-site:1.2_B@" + someDigest, Ref{Scheme: SchemeImage, Name: "my-site:1.2_B", Digest: Digest(someDigest)}},
	}
	for _, tt := range tests {
		t.Run(tt.uri, func(t *testing.T) {
			tt.want.URI = tt.uri
			got, err := Parse(tt.uri, base)
			require.NoError(t, err)
			require.Equal(t, tt.want, got)
			require.Equal(t, tt.uri, got.String())
		})
	}
}

func TestParseErrors(t *testing.T) {
	tests := []struct {
		uri  string
		is   error
		text string
	}{
		{"", nil, "want a scheme"},
		{"app.tar", nil, "want a scheme"},
		{"ftp://x", nil, `unknown scheme "ftp"`},
		{"file://", nil, "no path after file://"},
		{"tar://@" + someDigest, nil, "no path after tar://"},
		{"file://a\x00b", nil, "NUL"},
		{"tar://a@sha256:abc", ErrDigest, "3 digits"},
		{"tar://a@sha256:", ErrDigest, "0 digits"},
		{"tar://a@" + strings.ToUpper(someDigest), ErrDigest, "malformed digest"},
		{"tar://a@sha256:" + strings.Repeat("G", 64), ErrDigest, "lower case"},
		{"tar://a@sha512:" + strings.Repeat("0", 128), ErrDigest, "want sha256:"},
		{"oci://registry/app:1", errors.ErrUnsupported, "not supported by this version"},
		{"https://host/a.tar", errors.ErrUnsupported, "not supported by this version"},
		{"image://../x", nil, "not an image name"},
		{"image://Site", nil, "not an image name"},
		{"image://a:b:c", nil, "not an image name"},
	}
	for _, tt := range tests {
		t.Run(tt.uri, func(t *testing.T) {
			_, err := Parse(tt.uri, "/base")
			var e *URIError
			require.ErrorAs(t, err, &e)
			require.Equal(t, tt.uri, e.URI)
			require.ErrorContains(t, err, tt.text)
			if tt.is != nil {
				require.ErrorIs(t, err, tt.is)
			}
		})
	}
}

// A digest that was accepted can be used as a file name.
func FuzzParse(f *testing.F) {
	f.Add("tar://a@" + someDigest)
	f.Add("tar://a@sha256:../../x")
	f.Add("image://a:b")
	f.Fuzz(func(t *testing.T, uri string) {
		ref, err := Parse(uri, "/base")
		if err != nil {
			require.ErrorAs(t, err, new(*URIError))
			return
		}
		if ref.Digest != "" {
			require.Len(t, ref.Digest.Hex(), 64)
			require.Empty(t, strings.Trim(ref.Digest.Hex(), "0123456789abcdef"))
		}
		if ref.Scheme == SchemeFile || ref.Scheme == SchemeTar {
			require.True(t, filepath.IsAbs(ref.Path))
			require.Equal(t, filepath.Clean(ref.Path), ref.Path)
		}
	})
}
