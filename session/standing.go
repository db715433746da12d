package session

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Standing is what a Keeper has to say of readiness.
type Standing struct {
	Waiting  []string // this replica cannot serve without
	Degraded []string // what cannot be done until it is mended
}

// barred returns why this replica must not serve.
func (k *Keeper) barred() error {
	if len(k.lacking) == 0 {
		return nil
	}
	return errors.New("session: " + strings.Join(k.lacking, "; "))
}

// judge finds what this replica lacks that others have.
func (k *Keeper) judge(ctx context.Context, others []Replica) {
	own := k.o.Keyring.Fingerprints()
	var s Standing
	if k.broken != nil {
		s.Waiting = append(s.Waiting, k.broken.Error())
	}
	had := len(k.lacking)
	k.lacking = nil
	for _, o := range others {
		switch first := o.Secrets[:min(1, len(o.Secrets))]; {
		case !slices.Contains(own, o.Using):
			k.lacking = append(k.lacking, fmt.Sprintf(
				"replica %s makes tokens with secret %s, which is not in GATEHOUSE_SECRET here: add it to the list", o.name(), o.Using))
		case len(first) > 0 && !slices.Contains(own, first[0]):
			s.Degraded = append(s.Degraded, fmt.Sprintf(
				"replica %s has secret %s first, which is not in GATEHOUSE_SECRET here: no replica uses it until it is added here", o.name(), first[0]))
		}
	}
	s.Waiting = append(s.Waiting, k.lacking...)
	k.standing.Store(&s)
	if k.joined && had == 0 && len(k.lacking) > 0 {
		k.o.Log.ErrorContext(ctx, "not ready: a secret is missing here", "error", k.barred())
	}
}

// name is how people find a replica.
func (r Replica) name() string { return r.Host + "/" + r.ID }
