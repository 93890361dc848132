package source

import "strings"

// XattrPrefix comes before an extended attribute's name in the PAX records of
// an entry, as GNU tar, bsdtar and star write it.
const XattrPrefix = "SCHILY.xattr."

// PortableXattr tells whether an extended attribute belongs to a file's content
// and is kept: user attributes, file capabilities and POSIX ACLs. Labels of a
// host's security module are not, and never those that overlay file systems
// read as their own: with them an archive could redirect lookups.
func PortableXattr(name string) bool {
	switch name {
	case "security.capability", "system.posix_acl_access", "system.posix_acl_default":
		return true
	}
	return strings.HasPrefix(name, "user.") && !strings.HasPrefix(name, "user.overlay.")
}
