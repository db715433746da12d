package admin

import (
	"time"

	"github.com/gatehouse-gateway/gatehouse/session"
)

// KeyList is how secrets, signing keys and replicas stand.
type KeyList struct {
	At       time.Time    `json:"at"` // the store's clock
	Signing  []SigningKey `json:"signing"`
	Secrets  []Secret     `json:"secrets"`
	Replicas []Replica    `json:"replicas"`
}

// SigningKey is a key that signs tokens, or did or will.
type SigningKey struct {
	KID    string    `json:"kid"`
	State  string    `json:"state"`  // published, active, retired
	Secret string    `json:"secret"` // fingerprint of the secret that it is sealed under
	Made   time.Time `json:"made"`
	From   time.Time `json:"from"`          // when it begins to sign
	Gone   time.Time `json:"gone,omitzero"` // when it is removed, once that is known
}

// Secret is a root secret by its fingerprint.
type Secret struct {
	Fingerprint string    `json:"fingerprint"`
	Place       int       `json:"place"` // in the list of the replica that answers, from 1; 0: it is not there
	Using       bool      `json:"using"`
	SigningKeys int       `json:"signing_keys"` // sealed under it
	Unknown     []string  `json:"unknown"`      // replicas that do not know it
	Seen        time.Time `json:"seen,omitzero"`
	FirstUsed   time.Time `json:"first_used,omitzero"`
	LastUsed    time.Time `json:"last_used,omitzero"`
	SafeFrom    time.Time `json:"safe_from,omitzero"` // when all that is not used again has ended by itself
}

// Replica is a gateway that is alive.
type Replica struct {
	ID      string    `json:"id"`
	Host    string    `json:"host"`
	Version string    `json:"version"`
	Started time.Time `json:"started"`
	Secrets []string  `json:"secrets"`
	Using   string    `json:"using"`
	Keys    []string  `json:"keys"` // ids of the signing keys that it knows
	Serving bool      `json:"serving"`
}

// RotatedKey is what a rotation of signing keys came to.
type RotatedKey struct {
	KID   string    `json:"kid"`
	From  time.Time `json:"from"`  // when it signs
	Begun bool      `json:"begun"` // false: a rotation was under way, and this is it
}

// SealedPage says what is sealed under which secret, a part at a time.
type SealedPage struct {
	Looked int            `json:"looked"` // backend sessions looked at
	Values []SealedValues `json:"values"`
	Next   string         `json:"next,omitempty"`
}

// SealedValues is what is sealed under one secret.
type SealedValues struct {
	Secret  string    `json:"secret"`
	Count   int       `json:"count"`          // backend sessions
	Until   time.Time `json:"until,omitzero"` // when the last of them ends, of those that do
	Endless bool      `json:"endless"`        // some have no end
}

func (h *handler) keys() (Keys, error) {
	if k := h.o.Keys(); k != nil {
		return k, nil
	}
	return nil, errNotReady
}

func (h *handler) listKeys(x *exchange) (any, error) {
	k, err := h.keys()
	if err != nil {
		return nil, err
	}
	r, err := k.Report(x.r.Context())
	if err != nil {
		return nil, err
	}
	list := KeyList{At: utc(r.At), Signing: []SigningKey{}, Secrets: []Secret{}, Replicas: []Replica{}}
	for _, s := range r.Signing {
		list.Signing = append(list.Signing, SigningKey{
			KID: s.KID, State: s.State, Secret: s.Secret, Made: utc(s.Made), From: utc(s.From), Gone: utc(s.Gone),
		})
	}
	for i := range r.Secrets {
		list.Secrets = append(list.Secrets, secretOf(&r.Secrets[i]))
	}
	for _, o := range r.Replicas {
		list.Replicas = append(list.Replicas, Replica{
			ID: o.ID, Host: o.Host, Version: o.Version, Started: utc(o.Started), Secrets: append([]string{}, o.Secrets...),
			Using: o.Using, Keys: append([]string{}, o.Keys...), Serving: o.Serving,
		})
	}
	return list, nil
}

func secretOf(s *session.Secret) Secret {
	return Secret{
		Fingerprint: s.Fingerprint, Place: s.Place, Using: s.Using, SigningKeys: s.Keys, Unknown: append([]string{}, s.Unknown...),
		Seen: utc(s.Seen), FirstUsed: utc(s.First), LastUsed: utc(s.Last), SafeFrom: utc(s.Safe),
	}
}

// rotateKey names the new key in the audit line: an id is no secret.
func (h *handler) rotateKey(x *exchange) (any, error) {
	now := x.query.Get("now")
	if now != "" && now != "true" && now != "false" {
		return nil, malformed("The parameter now is true or false.")
	}
	k, err := h.keys()
	if err != nil {
		return nil, err
	}
	done, err := k.Rotate(x.r.Context(), now == "true")
	if err != nil {
		return nil, err
	}
	x.event.Target = done.KID
	return RotatedKey{KID: done.KID, From: utc(done.From), Begun: done.Begun}, nil
}

func (h *handler) sealed(x *exchange) (any, error) {
	k, err := h.keys()
	if err != nil {
		return nil, err
	}
	page, err := k.SealedValues(x.r.Context(), x.query.Get("after"))
	if err != nil {
		return nil, err
	}
	answer := SealedPage{Looked: page.Looked, Values: []SealedValues{}, Next: page.Next}
	for _, v := range page.Values {
		answer.Values = append(answer.Values, SealedValues{Secret: v.Secret, Count: v.Count, Until: utc(v.Until), Endless: v.Endless})
	}
	return answer, nil
}
