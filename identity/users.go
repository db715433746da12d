// Package identity says who somebody is. Users is the users file: names with
// argon2id hashes, and what policy may ask about them.
//
// A login that fails does not tell why: an unknown name, a wrong password and a
// disabled user cost the same hash and get the same answer.
package identity

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/gatehouse-gateway/gatehouse/token"
)

// User is one entry of a users file.
type User struct {
	// Name is compared exactly, byte for byte: 1 to 256 bytes of UTF-8 without
	// control characters.
	Name string `yaml:"name"`
	// Hash is the password's, argon2id in PHC form as gatehouse hash-password
	// prints it.
	Hash string `yaml:"hash"`
	// ID is what the token APIs show, 1 to 19 digits. Empty: 13 digits made from
	// the name, the same in every process (IP Fabric's ids have 10 to 13).
	ID     string   `yaml:"id"`
	Email  string   `yaml:"email"`
	Realm  string   `yaml:"realm"` // a login that names another realm fails
	Groups []string `yaml:"groups"`
	Scopes []string `yaml:"scopes"`
	Admin  bool     `yaml:"admin"`
	// Kind is the type of user that some vendors tell apart: "application" may
	// have tokens that never expire. Empty: a person.
	Kind string `yaml:"kind"`
	// Permissions are those that some vendors ask for by name: "widget".
	Permissions []string `yaml:"permissions"`
	Disabled    bool     `yaml:"disabled"` // may not log in, and sessions end
	// SecondFactor is how the user proves himself a second time. Nil: he does not.
	SecondFactor *SecondFactor `yaml:"second_factor"`
	// AllowWithoutFactor names token APIs that cannot ask for a second factor and
	// let him in by password alone all the same: "ipfabric".
	AllowWithoutFactor []string `yaml:"allow_without_factor"`
}

// entry is a user ready to be asked.
type entry struct {
	identity token.Identity
	hash     phc
	disabled bool
	factor   *factor // nil: none
	without  []string
}

// Users is a set of users. It never changes and is safe for concurrent use.
type Users struct {
	byName, byID map[string]*entry
	decoy        phc // what is hashed for a name that is not there
	hasher       *Hasher
}

// NewUsers returns the given users, or an error that joins everything that is
// wrong with them, one error each. They hash on a Hasher of their own.
func NewUsers(list []User) (*Users, error) {
	u, faults := build(list, folder{read: readFile})
	errs := make([]error, len(faults))
	for i, f := range faults {
		errs[i] = fmt.Errorf("identity: %s", f.text(list))
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return u, nil
}

// WithHasher returns the same users, who hash on h. A reload hands on the
// Hasher of the process by it.
func (u *Users) WithHasher(h *Hasher) *Users {
	c := *u
	c.hasher = h
	return &c
}

// The answer to every login that fails, whatever the cause: the text that session
// has for it too.
const badLogin = "Unknown user or wrong password."

// Verify implements session.Verifier for logins by name and password. Errors are
// *token.Error: BadCredentials, the same for every cause, or Unavailable when
// too many logins wait.
func (u *Users) Verify(ctx context.Context, _ token.SID, g token.Grant) (token.Identity, error) {
	// What cannot be a login of anybody costs nothing, and tells nothing.
	if n := len(g.Username); n == 0 || n > maxUsername {
		return token.Identity{}, token.Fail(token.BadCredentials, badLogin, nil)
	}
	if n := len(g.Password.Reveal()); n == 0 || n > maxPassword {
		return token.Identity{}, token.Fail(token.BadCredentials, badLogin, nil)
	}
	e, known := u.called(g)
	if !known {
		e = &entry{hash: u.decoy, disabled: true}
	}
	ok, err := u.hasher.matches(ctx, e.hash, g.Password)
	if err != nil {
		return token.Identity{}, err
	}
	if !ok || e.disabled || !e.inRealm(g.Realm) {
		return token.Identity{}, token.Fail(token.BadCredentials, badLogin, nil)
	}
	return e.identity, nil
}

// called returns whom a login names. Where the name may end in a realm, its last
// @ parts them, but only if nobody has the whole for his name; the realm must
// then be his.
func (u *Users) called(g token.Grant) (*entry, bool) {
	e, known := u.byName[g.Username]
	if known || !g.RealmInName || g.Realm != "" {
		return e, known
	}
	i := strings.LastIndexByte(g.Username, '@')
	if i < 0 || i == len(g.Username)-1 {
		return nil, false
	}
	e, known = u.byName[g.Username[:i]]
	return e, known && e.identity.Realm == g.Username[i+1:]
}

// inRealm lets a login pass that names no realm: most vendors have none.
func (e *entry) inRealm(realm string) bool { return realm == "" || realm == e.identity.Realm }

// Current implements session.Directory: who the user of an id is now, false if
// there is none or he is disabled. The slices of the identity must not be
// changed.
func (u *Users) Current(id string) (token.Identity, bool) { return found(u.byID[id]) }

// Find is Current by name.
func (u *Users) Find(name string) (token.Identity, bool) { return found(u.byName[name]) }

func found(e *entry) (token.Identity, bool) {
	if e == nil || e.disabled {
		return token.Identity{}, false
	}
	return e.identity, true
}

// fault is what is wrong with one user; index -1 is the list itself.
type fault struct {
	index int
	msg   string
}

func (f fault) text(list []User) string {
	if f.index < 0 {
		return f.msg
	}
	return fmt.Sprintf("user #%d %q: %s", f.index+1, list[f.index].Name, f.msg)
}

// build makes users of a list. dir is what names of files are relative to.
func build(list []User, dir folder) (*Users, []fault) {
	u := &Users{byName: map[string]*entry{}, byID: map[string]*entry{}, hasher: NewHasher(0, 0)}
	var faults []fault
	if len(list) == 0 {
		faults = append(faults, fault{-1, "there are no users, so nobody could sign in"})
	}
	costs := make([]params, 0, len(list))
	for i, user := range list {
		e, msgs := newEntry(user, dir)
		for _, msg := range append(msgs, u.add(e)...) {
			faults = append(faults, fault{i, msg})
		}
		costs = append(costs, e.hash.params)
	}
	u.decoy = newDecoy(costs)
	return u, faults
}

// add puts e under its name and its id, unless they are taken.
func (u *Users) add(e *entry) []string {
	var msgs []string
	if _, taken := u.byName[e.identity.Name]; taken {
		msgs = append(msgs, "another user has this name")
	}
	if other, taken := u.byID[e.identity.ID]; taken {
		msgs = append(msgs, fmt.Sprintf("user %q has the id %s too; give one of them another", other.identity.Name, e.identity.ID))
	}
	u.byName[e.identity.Name] = e
	u.byID[e.identity.ID] = e
	return msgs
}

func newEntry(u User, dir folder) (*entry, []string) {
	msgs := checkUser(u)
	second, wrong := newFactor(u, dir)
	msgs = append(msgs, wrong...)
	hash, err := parsePHC(u.Hash)
	if err != nil {
		msgs = append(msgs, hashFault(u, err))
	}
	if u.ID == "" {
		u.ID = deriveID(u.Name)
	}
	return &entry{
		identity: token.Identity{
			Name: u.Name, ID: u.ID, Email: u.Email, Realm: u.Realm,
			Groups: u.Groups, Scopes: u.Scopes, Admin: u.Admin,
			Kind: u.Kind, Permissions: u.Permissions,
		},
		hash:     hash,
		disabled: u.Disabled,
		factor:   second,
		without:  u.AllowWithoutFactor,
	}, msgs
}

func hashFault(u User, err error) string {
	if u.Hash == "" {
		return "there is no hash; make one with gatehouse hash-password"
	}
	return err.Error()
}

func checkUser(u User) []string {
	var msgs []string
	if u.Name == "" || len(u.Name) > maxUsername || !clean(u.Name) {
		msgs = append(msgs, "name must be 1 to 256 bytes of UTF-8 without control characters")
	}
	if _, err := strconv.ParseUint(u.ID, 10, 64); u.ID != "" && (err != nil || len(u.ID) > 19) {
		msgs = append(msgs, "id must be 1 to 19 digits, or absent")
	}
	if u.Kind != "" && u.Kind != "application" {
		msgs = append(msgs, "kind must be application, or absent for a person")
	}
	if !clean(u.Email) || !clean(u.Realm) {
		msgs = append(msgs, "email and realm must not hold control characters")
	}
	if u.Kind != "" && !isWord(u.Kind) {
		msgs = append(msgs, "kind must be a word without spaces")
	}
	for _, s := range slices.Concat(u.Groups, u.Scopes, u.Permissions) {
		if !isWord(s) {
			msgs = append(msgs, "groups, scopes and permissions must be words without spaces")
			break
		}
	}
	return msgs
}

func isWord(s string) bool { return s != "" && clean(s) && !strings.ContainsFunc(s, unicode.IsSpace) }

func clean(s string) bool { return utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl) }

// deriveID makes 13 digits from a name. Two names that meet are found as two
// users with one id.
func deriveID(name string) string {
	const least, span = 1_000_000_000_000, 9_000_000_000_000
	sum := sha256.Sum256([]byte("gatehouse user id " + name))
	return strconv.FormatUint(least+binary.BigEndian.Uint64(sum[:])%span, 10)
}

// newDecoy returns a hash that no password has, as costly as most of the
// others, so that the time of an answer does not tell which names exist.
func newDecoy(costs []params) phc {
	d := phc{params: mostCommon(costs), salt: make([]byte, ownSalt), key: make([]byte, ownKey)}
	rand.Read(d.salt)
	rand.Read(d.key)
	return d
}

// mostCommon returns the costs that most hashes have, the first in the file of
// those that are equally many; our own for none.
func mostCommon(costs []params) params {
	best, count := ownParams, map[params]int{}
	for _, p := range costs {
		count[p]++
	}
	for _, p := range costs {
		if count[p] > count[best] {
			best = p
		}
	}
	return best
}
