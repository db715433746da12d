package redisstore

import (
	"cmp"
	"context"
	_ "embed" // the script
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gatehouse-gateway/gatehouse/session"
)

//go:embed replica_beat.lua
var replicaBeatText string

var replicaBeatScript = redis.NewScript(replicaBeatText)

// Replicas keeps who is alive and when which secret was used. It is safe for
// concurrent use.
type Replicas struct{ c *Client }

// Replicas returns the view that implements session.Replicas.
func (c *Client) Replicas() *Replicas { return &Replicas{c} }

var _ session.Replicas = (*Replicas)(nil)

// Beat implements session.Replicas.
func (r *Replicas) Beat(ctx context.Context, one session.Replica, life time.Duration) (session.Roster, error) {
	text, err := json.Marshal(one)
	if err != nil {
		return session.Roster{}, fail("beat", err)
	}
	args := []any{one.ID, millis(life), text, ""}
	if one.Serving {
		args[3] = one.Using
		for _, id := range one.Secrets {
			args = append(args, id)
		}
	}
	return r.ask(ctx, "replica_beat", args)
}

// Leave implements session.Replicas.
func (r *Replicas) Leave(ctx context.Context, id string) (session.Roster, error) {
	return r.ask(ctx, "replica_leave", []any{id, 0, "", ""})
}

func (r *Replicas) ask(ctx context.Context, op string, args []any) (session.Roster, error) {
	reply, err := r.c.eval(ctx, op, replicaBeatScript, []string{replicaRoster, replicaSecrets}, args...).StringSlice()
	if err != nil {
		return session.Roster{}, fail("replicas", err)
	}
	if len(reply) == 0 {
		return session.Roster{}, fail("replicas", errReply)
	}
	at, err := strconv.ParseInt(reply[0], 10, 64)
	if err != nil {
		return session.Roster{}, fail("replicas", err)
	}
	roster := session.Roster{At: time.UnixMilli(at)}
	for _, text := range reply[1:] {
		var one session.Replica
		if err := json.Unmarshal([]byte(text), &one); err != nil {
			return session.Roster{}, fail("replicas", err)
		}
		roster.Alive = append(roster.Alive, one)
	}
	slices.SortFunc(roster.Alive, func(a, b session.Replica) int { return cmp.Compare(a.ID, b.ID) })
	return roster, nil
}

// Secrets implements session.Replicas.
func (r *Replicas) Secrets(ctx context.Context) ([]session.SecretUse, error) {
	fields, err := r.c.rdb.HGetAll(ctx, replicaSecrets).Result()
	r.c.record("replica_secrets", err)
	if err != nil {
		return nil, fail("secrets", err)
	}
	byID := map[string]*session.SecretUse{}
	for field, text := range fields {
		id, what, _ := strings.Cut(field, " ")
		ms, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return nil, fail("secrets", err)
		}
		if byID[id] == nil {
			byID[id] = &session.SecretUse{Fingerprint: id}
		}
		switch at := time.UnixMilli(ms); what {
		case "seen":
			byID[id].Seen = at
		case "first":
			byID[id].First = at
		case "last":
			byID[id].Last = at
		}
	}
	uses := make([]session.SecretUse, 0, len(byID))
	for _, u := range byID {
		uses = append(uses, *u)
	}
	slices.SortFunc(uses, func(a, b session.SecretUse) int { return cmp.Compare(a.Fingerprint, b.Fingerprint) })
	return uses, nil
}
