package redisstore

import (
	"context"
	_ "embed" // the scripts
	"encoding/json"
	"errors"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gatehouse-gateway/gatehouse/session"
)

//go:embed factor_issue.lua
var factorIssueText string

//go:embed factor_withdraw.lua
var factorWithdrawText string

//go:embed factor_try.lua
var factorTryText string

//go:embed push_open.lua
var pushOpenText string

//go:embed push_settle.lua
var pushSettleText string

//go:embed push_close.lua
var pushCloseText string

var (
	factorIssueScript    = redis.NewScript(factorIssueText)
	factorWithdrawScript = redis.NewScript(factorWithdrawText)
	factorTryScript      = redis.NewScript(factorTryText)
	pushOpenScript       = redis.NewScript(pushOpenText)
	pushSettleScript     = redis.NewScript(pushSettleText)
	pushCloseScript      = redis.NewScript(pushCloseText)
)

// Factors keeps what second factors need in Redis. It is safe for concurrent
// use.
type Factors struct{ c *Client }

// Factors returns the view that implements session.Tries and session.Pushes.
func (c *Client) Factors() *Factors { return &Factors{c} }

var (
	_ session.Tries  = (*Factors)(nil)
	_ session.Pushes = (*Factors)(nil)
)

// IssueCode implements session.Tries.
func (f *Factors) IssueCode(ctx context.Context, a session.Attempt, c session.IssuedCode) (session.Issue, error) {
	reply, err := f.c.eval(ctx, "factor_issue", factorIssueScript, []string{factorKey(c.User)}, string(a), c.Digest,
		c.Life.Milliseconds(), c.Gap.Milliseconds(), session.MaxSends, session.SendWindow.Milliseconds(),
		session.MaxWrong, session.StepKept.Milliseconds()).Int64Slice()
	if err != nil {
		return session.Issue{}, fail("issue code", err)
	}
	if len(reply) != 2 {
		return session.Issue{}, fail("issue code", errReply)
	}
	return session.Issue{Wait: time.Duration(reply[0]) * time.Millisecond, Standing: reply[1] == 1}, nil
}

// WithdrawCode implements session.Tries.
func (f *Factors) WithdrawCode(ctx context.Context, user, digest string) error {
	if err := f.c.eval(ctx, "factor_withdraw", factorWithdrawScript, []string{factorKey(user)}, digest).Err(); err != nil {
		return fail("withdraw code", err)
	}
	return nil
}

// TryFactor implements session.Tries.
func (f *Factors) TryFactor(ctx context.Context, a session.Attempt, t session.Try) (session.Verdict, error) {
	args := []any{
		string(a), flag(t.Proved), t.Step, session.MaxWrong, t.Within.Milliseconds(), session.StepKept.Milliseconds(),
	}
	for _, d := range t.Digests {
		args = append(args, d)
	}
	text, err := f.c.eval(ctx, "factor_try", factorTryScript, []string{factorKey(t.User)}, args...).Text()
	if err != nil {
		return "", fail("try factor", err)
	}
	switch v := session.Verdict(text); v {
	case session.TryPassed, session.TryWrong, session.TryDead:
		return v, nil
	}
	return "", fail("try factor", errReply)
}

// pushData is what of a request for approval never changes, as JSON.
type pushData struct {
	Name    string `json:"name"`
	Issuer  string `json:"issuer"`
	Client  string `json:"client,omitempty"`
	Address string `json:"address,omitempty"`
	Sealed  string `json:"sealed"`
}

// OpenPush implements session.Pushes.
func (f *Factors) OpenPush(ctx context.Context, a session.Attempt, p session.Push, life time.Duration) (time.Duration, error) {
	data, err := json.Marshal(pushData{p.Name, p.Issuer, p.Client, p.Address, p.Sealed})
	if err != nil {
		return 0, fail("open push", err)
	}
	ms, err := f.c.eval(ctx, "push_open", pushOpenScript, []string{pushKey(p.ID), pendingPushes, userPushesKey(p.User)},
		string(a), p.ID, p.User, data, life.Milliseconds(), session.MaxPushes, session.ChallengeLife.Milliseconds()).Int64()
	if err != nil {
		return 0, fail("open push", err)
	}
	return time.Duration(ms) * time.Millisecond, nil
}

// LookPush implements session.Pushes.
func (f *Factors) LookPush(ctx context.Context, id string) (session.Push, error) {
	h, err := f.c.rdb.HGetAll(ctx, pushKey(id)).Result()
	f.c.record("push_read", err)
	if err != nil {
		return session.Push{}, fail("look push", err)
	}
	if len(h) == 0 {
		return session.Push{}, session.ErrNotFound
	}
	var d pushData
	made, err1 := strconv.ParseInt(h["m"], 10, 64)
	ends, err2 := strconv.ParseInt(h["e"], 10, 64)
	if err := errors.Join(json.Unmarshal([]byte(h["d"]), &d), err1, err2); err != nil {
		return session.Push{}, fail("look push", errors.Join(errReply, err))
	}
	return session.Push{
		ID: id, User: h["u"], Name: d.Name, Issuer: d.Issuer, Client: d.Client, Address: d.Address, Sealed: d.Sealed,
		Made: time.UnixMilli(made), Ends: time.UnixMilli(ends), Status: session.PushStatus(h["st"]),
	}, nil
}

// ListPushes implements session.Pushes. One that moves on meanwhile is left out.
func (f *Factors) ListPushes(ctx context.Context) ([]session.Push, error) {
	ids, err := f.c.rdb.ZRange(ctx, pendingPushes, 0, -1).Result()
	f.c.record("push_list", err)
	if err != nil {
		return nil, fail("list pushes", err)
	}
	var list []session.Push
	for _, id := range ids {
		p, err := f.LookPush(ctx, id)
		switch {
		case errors.Is(err, session.ErrNotFound):
		case err != nil:
			return nil, err
		case p.Status == session.PushPending && time.Now().Before(p.Ends):
			list = append(list, p)
		}
	}
	return list, nil
}

// SettlePush implements session.Pushes.
func (f *Factors) SettlePush(ctx context.Context, a session.Attempt, id string, from, to session.PushStatus) (bool, error) {
	n, err := f.c.eval(ctx, "push_settle", pushSettleScript, []string{pushKey(id), pendingPushes},
		string(a), id, string(from), string(to)).Int()
	if err != nil {
		return false, fail("settle push", err)
	}
	return n == 1, nil
}

// ClosePushes implements session.Pushes.
func (f *Factors) ClosePushes(ctx context.Context, user string) error {
	err := f.c.eval(ctx, "push_close", pushCloseScript, []string{userPushesKey(user), pendingPushes}, pushKey("")).Err()
	if err != nil {
		return fail("close pushes", err)
	}
	return nil
}
