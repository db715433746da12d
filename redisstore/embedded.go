package redisstore

import (
	"crypto/rand"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
)

// OpenEmbedded starts a store inside this process, reached over a loopback port
// with a password drawn now, so that the very same scripts and client run as
// with Redis. What it holds ends with Close. Time for expiry passes in steps of
// a second; either argument may be nil.
func OpenEmbedded(rec Recorder, log *slog.Logger) (*Client, error) {
	password := rand.Text()
	server := miniredis.NewMiniRedis()
	server.RequireAuth(password)
	if err := server.StartAddr("127.0.0.1:0"); err != nil {
		return nil, fmt.Errorf("redisstore: start the embedded store: %w", err)
	}
	done := make(chan struct{})
	var clock sync.WaitGroup
	clock.Go(func() { age(server, done) })
	c := newClient(&redis.UniversalOptions{Addrs: []string{server.Addr()}, Password: password}, rec, log)
	c.stop = sync.OnceFunc(func() {
		close(done)
		clock.Wait()
		server.Close()
	})
	return c, nil
}

// age lets keys expire: miniredis keeps their remaining life and has no clock
// for it. Its own one would walk all keys at every command.
func age(server *miniredis.Miniredis, done <-chan struct{}) {
	t := time.NewTicker(time.Second)
	defer t.Stop()
	last := time.Now()
	for {
		select {
		case <-done:
			return
		case now := <-t.C:
			server.FastForward(now.Sub(last))
			last = now
		}
	}
}
