package redisstore

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gatehouse-gateway/gatehouse/session"
	"github.com/gatehouse-gateway/gatehouse/token"
	"github.com/gatehouse-gateway/gatehouse/upstream"
)

const (
	pingEvery = 300 * time.Millisecond
	// pingLost is after how long without a ping of its own a reader looks for the
	// end of the stream anew.
	pingLost  = 2 * time.Second
	readBlock = 300 * time.Millisecond
	// readLimit stands over the block: the library itself would wait for ten
	// seconds more.
	readLimit = 600 * time.Millisecond
	// keepEvents is how long events stay in the stream. Readers start at its end,
	// so nobody needs more than the longest pause between two reads.
	keepEvents = 2 * time.Minute
	readCount  = 256
	kindPing   = "ping"
	// kindRenewed is of notices.
	kindRenewed = "renewed"
)

// Feed carries events over the stream gh:rev. A subscription to the channel of
// the same name hears what a full server refused to add to the stream. It is
// safe for concurrent use.
type Feed struct {
	c *Client

	mu   sync.Mutex
	ears []func(upstream.Notice) // guarded by mu
}

// Feed returns a view that implements session.Feed and upstream.Notices. What it
// hears it hears while it is followed.
func (c *Client) Feed() *Feed { return &Feed{c: c} }

var (
	_ session.Feed     = (*Feed)(nil)
	_ upstream.Notices = (*Feed)(nil)
)

// wire is an event in the channel, and its fields in the stream. Of a notice it
// has the owner as SID, the backend as Reason, and a version.
type wire struct {
	Kind    string `json:"k"`
	SID     string `json:"s,omitempty"`
	Reason  string `json:"r,omitempty"`
	Version string `json:"v,omitempty"`
}

func (w wire) event() (session.Event, bool) {
	sid, err := token.ParseSID(w.SID)
	e := session.Event{Kind: session.EventKind(w.Kind), SID: sid, Reason: w.Reason}
	known := e.Kind == session.EventRevoked || e.Kind == session.EventChosen || e.Kind == session.EventKeys
	return e, known && err == nil // the rest is for other readers of the stream
}

// Announce implements session.Feed.
func (f *Feed) Announce(ctx context.Context, e session.Event) error {
	return f.announce(ctx, wire{Kind: string(e.Kind), SID: e.SID.String(), Reason: e.Reason})
}

// Tell implements upstream.Notices.
func (f *Feed) Tell(ctx context.Context, n upstream.Notice) error {
	return f.announce(ctx, wire{Kind: kindRenewed, SID: n.Ref.Owner, Reason: n.Ref.Backend, Version: strconv.FormatUint(n.Version, 10)})
}

// Hear implements upstream.Notices.
func (f *Feed) Hear(on func(upstream.Notice)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ears = append(f.ears, on)
}

// notify hands a notice to all who hear.
func (f *Feed) notify(w wire) {
	version, err := strconv.ParseUint(w.Version, 10, 64)
	if err != nil {
		return // another release's
	}
	f.spread(upstream.Notice{Ref: upstream.Ref{Owner: w.SID, Backend: w.Reason}, Version: version})
}

// spread calls all who hear.
func (f *Feed) spread(n upstream.Notice) {
	f.mu.Lock()
	ears := f.ears
	f.mu.Unlock()
	for _, on := range ears {
		on(n)
	}
}

// announce adds a message to the stream, or where a full server refuses that, sends
// it over the channel.
func (f *Feed) announce(ctx context.Context, w wire) error {
	err := f.add(ctx, "announce", w)
	if err == nil {
		return nil
	}
	text, jerr := json.Marshal(w)
	if jerr != nil {
		return fail("announce", jerr)
	}
	perr := f.c.rdb.Publish(ctx, eventStream, text).Err()
	f.c.record("publish", perr)
	if perr != nil {
		return fail("announce", errors.Join(err, perr))
	}
	return nil
}

// add adds to the stream, and trims it by the server's own clock, as of the last
// ping that came back: one replica whose clock is ahead must not throw away what
// the others have not read.
func (f *Feed) add(ctx context.Context, op string, w wire) error {
	args := &redis.XAddArgs{
		Stream: eventStream, Approx: true, Values: []string{"k", w.Kind, "s", w.SID, "r", w.Reason, "v", w.Version},
	}
	if now := f.c.clock.Load(); now > 0 {
		args.MinID = strconv.FormatInt(now-keepEvents.Milliseconds(), 10)
	}
	err := f.c.rdb.XAdd(ctx, args).Err()
	f.c.record(op, err)
	return err
}

// Follow implements session.Feed: one goroutine adds pings, one reads the
// stream, one hears the channel, one watches the servers. It waits for all four.
func (f *Feed) Follow(ctx context.Context, on func(session.Event)) error {
	r := reader{f: f, id: string(session.NewAttempt()), began: time.Now(), events: make(chan session.Event, readCount)}
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { r.ping(ctx) })
	wg.Go(func() { r.read(ctx) })
	wg.Go(func() { r.hear(ctx) })
	wg.Go(func() { r.watch(ctx) })
	defer wg.Wait()
	defer cancel()
	for {
		select {
		case <-ctx.Done():
			return nil
		case e := <-r.events:
			on(e)
		}
	}
}

// reader is one following of the feed.
type reader struct {
	f      *Feed
	id     string    // marks its own pings
	began  time.Time // pings tell when they were sent, in microseconds since then
	events chan session.Event
	anew   atomic.Bool // other servers answer: the stream is to be read from its end
	pinged time.Time   // when one of its own pings was last read, or could first be
	// aside is the server's clock less this one, as last asked; nil: not yet.
	aside atomic.Pointer[time.Duration]
}

func (r *reader) emit(ctx context.Context, e session.Event) {
	select {
	case r.events <- e:
	case <-ctx.Done():
	}
}

// pause waits for a while, and reports false when ctx has ended.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func (r *reader) ping(ctx context.Context) {
	for {
		one, cancel := context.WithTimeout(ctx, pingEvery)
		if t, err := r.f.c.rdb.Time(one).Result(); err == nil {
			aside := time.Until(t)
			r.aside.Store(&aside)
		}
		sent := strconv.FormatInt(time.Since(r.began).Microseconds(), 10)
		_ = r.f.add(one, kindPing, wire{Kind: kindPing, SID: sent, Reason: r.id}) // its absence is the alarm
		cancel()
		if !pause(ctx, pingEvery) {
			return
		}
	}
}

// read reads on from the end of the stream, and starts at its new end after
// every failure. It does so too when it reads no ping of its own, in which case
// nothing is believed anyway: another server's stream may be behind this one's
// place in it.
func (r *reader) read(ctx context.Context) {
	last := ""
	for ctx.Err() == nil {
		if r.anew.Swap(false) {
			r.emit(ctx, session.Event{Kind: session.EventReset})
			last = ""
		}
		if last == "" || time.Since(r.pinged) > pingLost {
			if last = r.start(ctx); last == "" && !pause(ctx, pingEvery) {
				return
			}
			continue
		}
		messages, err := r.next(ctx, last)
		if err != nil {
			if ctx.Err() == nil {
				r.f.c.log.WarnContext(ctx, "the event stream broke off; starting at its end", "error", err)
				r.emit(ctx, session.Event{Kind: session.EventReset})
			}
			last = ""
			continue
		}
		for _, m := range messages {
			last = m.ID
			r.take(ctx, m)
		}
	}
}

func (r *reader) next(ctx context.Context, last string) ([]redis.XMessage, error) {
	ctx, cancel := context.WithTimeout(ctx, readLimit)
	defer cancel()
	streams, err := r.f.c.rdb.XRead(ctx, &redis.XReadArgs{
		Streams: []string{eventStream, last}, Count: readCount, Block: readBlock,
	}).Result()
	if errors.Is(err, redis.Nil) {
		return nil, nil
	}
	if err != nil {
		r.f.c.record("follow", err)
		return nil, err
	}
	return streams[0].Messages, nil
}

// start returns the id of the last event, or nothing if Redis cannot be asked.
func (r *reader) start(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, readLimit)
	defer cancel()
	entries, err := r.f.c.rdb.XRevRangeN(ctx, eventStream, "+", "-", 1).Result()
	if err != nil {
		r.f.c.record("follow", err)
		return ""
	}
	r.pinged = time.Now()
	r.f.c.clock.Store(0) // put back, it would have what is added next trimmed at once
	if len(entries) == 0 {
		return "0"
	}
	return entries[0].ID
}

// take turns a message of the stream into an event. Its id begins with the time of
// the server, but for one whose clock was set back: ids never go down. So a ping's
// time is asked for apart.
func (r *reader) take(ctx context.Context, m redis.XMessage) {
	text := func(field string) string {
		s, _ := m.Values[field].(string)
		return s
	}
	w := wire{Kind: text("k"), SID: text("s"), Reason: text("r"), Version: text("v")}
	if w.Kind == kindPing {
		ms, _, _ := strings.Cut(m.ID, "-")
		at, err := strconv.ParseInt(ms, 10, 64)
		if err != nil || w.Reason != r.id {
			return
		}
		r.pinged = time.Now()
		r.f.c.clock.Store(at)
		now := time.UnixMilli(at)
		if aside := r.aside.Load(); aside != nil {
			now = r.pinged.Add(*aside)
		}
		r.emit(ctx, session.Event{Kind: session.EventAlive, At: now})
		if sent, err := strconv.ParseInt(w.SID, 10, 64); err == nil {
			r.f.c.rec.FeedLag(time.Since(r.began) - time.Duration(sent)*time.Microsecond)
		}
		return
	}
	r.pass(ctx, w)
}

// pass hands a message to whom it is for.
func (r *reader) pass(ctx context.Context, w wire) {
	if w.Kind == kindRenewed {
		r.f.notify(w)
		return
	}
	if e, ok := w.event(); ok {
		r.emit(ctx, e)
	}
}

// hear takes what came over the channel instead of the stream. The library
// connects again by itself; what is lost meanwhile is found by the ceiling.
func (r *reader) hear(ctx context.Context) {
	sub := r.f.c.rdb.Subscribe(ctx, eventStream)
	defer sub.Close()
	messages := sub.Channel()
	for {
		select {
		case <-ctx.Done():
			return
		case m, ok := <-messages:
			if !ok {
				return
			}
			var w wire
			if json.Unmarshal([]byte(m.Payload), &w) != nil {
				continue
			}
			r.pass(ctx, w)
		}
	}
}
