// Package acl breaks the import law on purpose.
package acl

import (
	_ "example.com/unheard/of"
	_ "google.golang.org/protobuf/proto"
)
