package namespace

import (
	"crypto/sha256"
	"encoding/binary"

	"github.com/dchest/siphash"

	"github.com/wardfs/wardfs/acl"
	"github.com/wardfs/wardfs/posix"
)

// The keys of a namespace. Numbers are big-endian, so that the order of bytes
// is the order of numbers; docs/format.md draws the same table.
//
//	'm' name                        what the namespace is: format, hash, ino
//	'i' ino:8                       inode
//	'd' dir:8 hash:8 name           entry of a directory, in the order of readdir
//	'x' ino:8 name                  extended attribute
//	's' ino:8 end:8                 the extent of the file that ends before byte end
//	'r' file:8 slice:16             how many extents name the slice
//	'g' file:8 slice:16             a slice that no extent names any more
//	'b' file:8 slice:16             the slice's one block, of a small one that came with its commit
//	'o' ino:8                       an inode without a name
//	'p' ino:8 dir:8 hash:8          how many names of ino, which has several, are at that place
//	'q' session:8 slot:4            the last change that the slot made
//	'n' stripe:1                    how many inodes there are whose number mod 64 is stripe
//	'a' list:8                      an interned ACL
//	'h' sha256:32                   the number of the interned ACL that has this sum
//	'k' kind:1 id:8                 a quota: of a directory, a user, a group
//	'c' kind:1 id:8 stripe:1        what inodes whose number mod 64 is stripe count for
//	'w' dir:8                       the hash from which on children of dir don't count for what it does
//	'u' list:8 stripe:1             how often inodes whose number mod 64 is stripe have the ACL
//
// Extents of one file never overlap, so the one that ends first after an
// offset is the first that reaches beyond it: everything that a byte range
// touches is one short scan, and an append touches nothing.
const (
	keyMeta   = 'm'
	keyInode  = 'i'
	keyEntry  = 'd'
	keyXattr  = 'x'
	keyExtent = 's'
	keyRef    = 'r'
	keyFreed  = 'g'
	keyInline = 'b'
	keyOrphan = 'o'
	keyLink   = 'p'
	keyReply  = 'q'
	keyFiles  = 'n'

	keyList     = 'a'
	keyListSum  = 'h'
	keyListUses = 'u'

	keyQuota = 'k'
	keyUsage = 'c'
	keyRetag = 'w'
)

// The names under 'm'.
var (
	metaFormat = []byte("mformat") // the version of all of this: formatVersion
	metaHash   = []byte("mhash")   // 16 random bytes: the key of hashName
	metaIno    = []byte("mino")    // every number below was or may have been given away
	metaList   = []byte("macl")    // as many ACLs were interned: the last one's number
	metaOwners = []byte("mowners") // the first inode that is not counted for its owners yet; 0: all are
	metaSteps  = []byte("msteps")  // the last entry that an upgrade under way has seen
)

// key8 has room behind it for two more numbers, which most keys have.
func key8(kind byte, a uint64) []byte {
	b := make([]byte, 1, 1+3*8)
	b[0] = kind
	return binary.BigEndian.AppendUint64(b, a)
}

func inodeKey(ino posix.Ino) []byte  { return key8(keyInode, uint64(ino)) }
func orphanKey(ino posix.Ino) []byte { return key8(keyOrphan, uint64(ino)) }

// entriesFrom is where the entries of dir with at least this hash begin.
func entriesFrom(dir posix.Ino, hash uint64) []byte {
	return binary.BigEndian.AppendUint64(key8(keyEntry, uint64(dir)), hash)
}

func entryKey(dir posix.Ino, hash uint64, name string) []byte {
	return append(entriesFrom(dir, hash), name...)
}

func xattrKey(ino posix.Ino, name string) []byte {
	return append(key8(keyXattr, uint64(ino)), name...)
}

// extentKey is that of the extent of ino that ends at end; extentsAfter is
// where those begin that reach beyond off.
func extentKey(ino posix.Ino, end uint64) []byte {
	return binary.BigEndian.AppendUint64(key8(keyExtent, uint64(ino)), end)
}

func extentsAfter(ino posix.Ino, off uint64) []byte { return extentKey(ino, off+1) }

// linkKey is that of a name of ino which is in dir at hash.
func linkKey(ino, dir posix.Ino, hash uint64) []byte {
	b := binary.BigEndian.AppendUint64(key8(keyLink, uint64(ino)), uint64(dir))
	return binary.BigEndian.AppendUint64(b, hash)
}

func sliceKey(kind byte, s posix.Slice) []byte {
	return append(key8(kind, uint64(s.File)), s.ID[:]...)
}

// fileStripes is how many counters of inodes there are: more than one, so that
// not every transaction that makes or deletes an inode is in each other's way.
const fileStripes = 64

func filesKey(ino posix.Ino) []byte { return []byte{keyFiles, byte(ino % fileStripes)} }

func listKey(num uint64) []byte { return key8(keyList, num) }

func listSumKey(l acl.ACL) []byte {
	sum := sha256.Sum256([]byte(l.Key()))
	return append([]byte{keyListSum}, sum[:]...)
}

// listUsesKey has stripes for the same reason as filesKey. An inode keeps to
// one, so that no count falls below zero.
func listUsesKey(num uint64, ino posix.Ino) []byte {
	return append(key8(keyListUses, num), byte(ino%fileStripes))
}

func replyKey(s SessionID, slot uint32) []byte {
	return binary.BigEndian.AppendUint32(key8(keyReply, uint64(s)), slot)
}

// first, second and third read the numbers that follow the kind in a key.
func first(key []byte) uint64  { return binary.BigEndian.Uint64(key[1:]) }
func second(key []byte) uint64 { return binary.BigEndian.Uint64(key[9:]) }
func third(key []byte) uint64  { return binary.BigEndian.Uint64(key[17:]) }

// entryName is where the name begins in the key of an entry.
const entryName = 17

// The cookies of the two dots, which are in no key, and the least of a name.
const (
	cookieDot    = 1
	cookieDotDot = 2
	hashMin      = 3
	hashBits     = 62 // so that a cookie, which may be hash+1, is a positive off_t
)

// hashName is where a name stands in its directory. It is keyed by a secret of
// the filesystem, so that nobody can choose names that collide.
func hashName(k0, k1 uint64) func(string) uint64 {
	return func(name string) uint64 {
		return max(siphash.Hash(k0, k1, []byte(name))>>(64-hashBits), hashMin)
	}
}
