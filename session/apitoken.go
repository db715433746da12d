package session

import (
	"cmp"
	"context"
	"crypto/subtle"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/gatehouse-gateway/gatehouse/token"
)

// chosenOwner is the list of all API tokens whose text a caller chose. It cannot
// be a user's: those are hex.
const chosenOwner = "chosen-api-tokens"

const (
	apiCode        = 8 // bytes of authentication code in a text of ours
	minChosen      = 8
	maxChosen      = 256
	maxDescription = 1024
)

// CreateAPIToken makes an API token for the user of a session: a session of its
// own, which outlives the login it was made from. Its text is in the answer and
// nowhere else. Texts of ours are 32 lower-case hex digits; whether a caller may
// choose one (8 to 256 printable characters) is the dialect's matter.
//
// Errors are *token.Error: Malformed (expiry in the past, unusable text),
// Denied (an OAuth client's session, scopes the maker lacks, over 200 tokens),
// Unavailable.
func (m *Manager) CreateAPIToken(ctx context.Context, iss *Issuer, by *Session, req token.APITokenRequest) (token.APIToken, error) {
	if err := checkRequest(by, req); err != nil {
		return token.APIToken{}, err
	}
	rec := Record{
		SID: token.NewSID(), Identity: by.Identity,
		Origin: Origin{Kind: KindAPIToken, Issuer: iss.Name, Source: iss.Source, AMR: by.AMR},
		API:    &TokenData{ID: req.ID, Description: req.Description, Scopes: req.Scopes, Expires: req.Expires},
	}
	if req.Scopes == nil {
		rec.API.Scopes = slices.Clone(by.Scopes)
	}
	text := req.Chosen
	if text.IsZero() {
		text = m.codes.apiText(iss.Dialect, rec.SID)
	} else {
		rec.API.Digest = m.codes.chosenDigests(iss.Dialect, text)[0]
		rec.SID = chosenSID(rec.API.Digest)
	}
	rec, err := m.enrol(ctx, rec)
	if err != nil {
		return token.APIToken{}, err
	}
	m.o.Recorder.Opened()
	t := m.shown(&rec)
	t.Text = text
	return t, nil
}

func checkRequest(by *Session, req token.APITokenRequest) error {
	switch {
	case by.Client != "": // it would outlive what the client was given
		return errTokenClient
	case !req.Expires.IsZero() && !req.Expires.After(time.Now()):
		return errTokenExpires
	case by.Kind == KindAPIToken && !by.Expires.IsZero() && (req.Expires.IsZero() || req.Expires.After(by.Expires)):
		return errTokenOutlives
	case len(common(req.Scopes, by.Scopes)) != len(req.Scopes):
		return errTokenScopes
	case !req.Chosen.IsZero() && !usableText(req.Chosen.Reveal()):
		return errTokenText
	case len(req.Description) > maxDescription:
		return errTokenWords
	}
	return nil
}

func usableText(s string) bool {
	if len(s) < minChosen || len(s) > maxChosen {
		return false
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// enrol lists a token and writes its session. It is listed first: a name in the
// list without a session is passed over, a session in no list could not be
// found to be deleted.
func (m *Manager) enrol(ctx context.Context, rec Record) (Record, error) {
	sids, err := m.list(ctx, ownerOf(&rec))
	if err != nil {
		return Record{}, err
	}
	if len(sids) >= maxAPITokens {
		return Record{}, errTokenMany
	}
	life := Life{Idle: never, Keep: keepEndedToken}
	if !rec.API.Expires.IsZero() {
		life.Idle = time.Until(rec.API.Expires)
	}
	owners := []string{ownerOf(&rec)}
	if rec.API.Digest != "" {
		owners = append(owners, chosenOwner)
	}
	member := Member{SID: rec.SID, End: m.clock().Add(life.Idle + life.Keep)}
	for _, o := range owners {
		err := m.ask(ctx, "index", func(ctx context.Context) error {
			_, err := m.o.Index.Add(ctx, o, member, 0)
			return err
		})
		if err != nil {
			return Record{}, err
		}
	}
	if err := m.enlist(ctx, &rec, member.End); err != nil {
		return Record{}, err
	}
	if rec, err = m.create(ctx, rec, life); errors.Is(err, ErrExists) {
		return Record{}, errTokenTaken
	}
	if err == nil && rec.API.Digest != "" {
		m.doors.chosen.add(rec.SID)
		m.publish(ctx, Event{Kind: EventChosen, SID: rec.SID})
	}
	return rec, err
}

// ListAPITokens returns the API tokens of the session's user for the dialect of
// iss, the oldest first, without their texts. Expired ones are listed for 30
// days. The only error is Unavailable.
func (m *Manager) ListAPITokens(ctx context.Context, iss *Issuer, by *Session) ([]token.APIToken, error) {
	recs, err := m.apiTokens(ctx, iss, by)
	if err != nil {
		return nil, err
	}
	tokens := make([]token.APIToken, len(recs))
	for i := range recs {
		tokens[i] = m.shown(&recs[i])
	}
	return tokens, nil
}

// DeleteAPIToken revokes an API token of the session's user. An API token
// revokes none with scopes that it lacks itself, an OAuth client none at all.
// Errors: NotFound if he has none of this id, Denied, Unavailable.
func (m *Manager) DeleteAPIToken(ctx context.Context, iss *Issuer, by *Session, id string) error {
	if by.Client != "" {
		return errTokenClient
	}
	recs, err := m.apiTokens(ctx, iss, by)
	if err != nil {
		return err
	}
	for i := range recs {
		if recs[i].TokenID() == id {
			if scopes := recs[i].API.Scopes; by.Kind == KindAPIToken && len(common(scopes, by.Scopes)) != len(scopes) {
				return errTokenWider
			}
			return m.End(ctx, recs[i].SID, reasonRevoked)
		}
	}
	return errNoSuchToken
}

func (m *Manager) apiTokens(ctx context.Context, iss *Issuer, by *Session) ([]Record, error) {
	sids, err := m.list(ctx, owner(by.Source, by.Identity.ID)+apiSuffix)
	if err != nil {
		return nil, err
	}
	var recs []Record
	for _, sid := range sids {
		var rec Record
		err := m.ask(ctx, "read", func(ctx context.Context) (err error) {
			rec, err = m.o.Store.Lookup(ctx, sid)
			return err
		})
		switch {
		case err == nil:
			if rec.API != nil && rec.Revoked == "" && owns(by, &rec) && dialectOf(rec.Origin.Issuer) == iss.Dialect {
				recs = append(recs, rec)
			}
		case !errors.Is(err, ErrNotFound):
			return nil, err
		}
	}
	slices.SortFunc(recs, func(a, b Record) int {
		return cmp.Or(a.Made.Compare(b.Made), slices.Compare(a.SID[:], b.SID[:]))
	})
	return recs, nil
}

func (m *Manager) list(ctx context.Context, owner string) ([]token.SID, error) {
	var sids []token.SID
	err := m.ask(ctx, "list", func(ctx context.Context) (err error) {
		sids, err = m.o.Index.List(ctx, owner)
		return err
	})
	return sids, err
}

func owns(by *Session, r *Record) bool {
	return r.Origin.Source == by.Source && r.Identity.ID == by.Identity.ID
}

// shown is a record as lists show it.
func (m *Manager) shown(r *Record) token.APIToken {
	t := token.APIToken{
		ID: r.TokenID(), Description: r.API.Description, Scopes: r.API.Scopes,
		MaxScopes: r.Identity.Scopes, Expires: r.API.Expires, LastUsed: r.LastUsed, Usage: r.Uses,
		UserID: r.Identity.ID, Username: r.Identity.Name, Expired: !m.clock().Before(r.Ends),
	}
	if id, ok := m.current(r); ok {
		t.MaxScopes = id.Scopes
	}
	return t
}

// TokenID is the id of an API token on the wire: the one it was asked to have,
// else twelve decimal digits, drawn with the session id, so that nothing more has
// to be stored. It is empty for every other kind of session.
func (r *Record) TokenID() string {
	const low, count = 100_000_000_000, 900_000_000_000
	switch {
	case r.API == nil:
		return ""
	case r.API.ID != "":
		return r.API.ID
	}
	return strconv.FormatUint(low+binary.BigEndian.Uint64(r.SID[:])%count, 10)
}

// apiText is session id and code, 32 hex digits.
func (c *codes) apiText(dialect string, sid token.SID) token.Secret {
	var b [len(sid) + apiCode]byte
	copy(b[:], sid[:])
	c.api.Sum(b[len(sid):], []byte(dialect), sid[:])
	return token.NewSecret(hex.EncodeToString(b[:]))
}

// openAPIText checks what apiText made.
func (c *codes) openAPIText(dialect, text string) (sid token.SID, ok bool) {
	b, err := hex.DecodeString(text)
	if err != nil || len(b) != len(sid)+apiCode || hex.EncodeToString(b) != text {
		return sid, false
	}
	copy(sid[:], b)
	return sid, c.api.Verify(b[len(sid):], []byte(dialect), sid[:])
}

// chosenDigests are the keyed digests of a chosen text under each secret.
func (c *codes) chosenDigests(dialect string, text token.Secret) []string {
	return c.chosen.Digest(dialect + "\x00" + text.Reveal())
}

// chosenSID makes the digest of a chosen text find its session: the id is its
// first half. Nobody without the secret can aim at an id.
func chosenSID(digest string) (sid token.SID) {
	_, _ = hex.Decode(sid[:], []byte(digest[:2*len(sid)])) // Digest returns hex
	return sid
}

func (m *Manager) coldAPIToken(ctx context.Context, issuers []*Issuer, text token.Secret) (*Session, string, error) {
	iss, sid, digest, err := m.findAPIToken(ctx, issuers, text)
	if err != nil {
		return nil, firstDialect(issuers), err
	}
	l, b, err := m.learn(ctx, sid, 0)
	if err != nil {
		return nil, iss.Dialect, err
	}
	api := b.rec.API
	if api == nil || subtle.ConstantTimeCompare([]byte(api.Digest), []byte(digest)) != 1 ||
		dialectOf(b.rec.Origin.Issuer) != iss.Dialect || serving(issuers, iss.Dialect, b.rec.Origin.Source) == nil {
		return nil, iss.Dialect, errInvalidAPIToken
	}
	e := &entry{api: true, dialect: iss.Dialect, live: l}
	if api.Expires.IsZero() {
		l.idle.Store(int64(never))
	} else {
		e.expires = api.Expires.UnixNano()
	}
	now := m.clock().UnixNano()
	if now >= b.end || (e.expires != 0 && now >= e.expires) {
		return nil, iss.Dialect, errExpiredAPIToken
	}
	s, err := m.enter(ctx, e, b, text)
	return s, iss.Dialect, err
}

// findAPIToken tells whose session a text may be for: one of ours by its code,
// a chosen one by its digest, which must be in the set. The set is read from the
// store only when it may be out of date.
func (m *Manager) findAPIToken(ctx context.Context, issuers []*Issuer, text token.Secret) (*Issuer, token.SID, string, error) {
	for _, i := range issuers {
		if sid, ok := m.codes.openAPIText(i.Dialect, text.Reveal()); ok {
			return i, sid, "", nil
		}
	}
	if !usableText(text.Reveal()) {
		return nil, token.SID{}, "", errInvalidAPIToken
	}
	if err := m.freshenChosen(ctx); err != nil {
		return nil, token.SID{}, "", err
	}
	for _, i := range issuers {
		for _, d := range m.codes.chosenDigests(i.Dialect, text) {
			if sid := chosenSID(d); m.doors.chosen.has(sid) {
				return i, sid, d, nil
			}
		}
	}
	return nil, token.SID{}, "", errInvalidAPIToken
}

// common returns those of want that are in have, in the order of want.
func common(want, have []string) []string {
	var both []string
	for _, s := range want {
		if slices.Contains(have, s) {
			both = append(both, s)
		}
	}
	return both
}
