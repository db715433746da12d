package main

import (
	"errors"
	"log/slog"
	"net"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// callers is a listener whose connections are in memory.
type callers chan net.Conn

func (c callers) Accept() (net.Conn, error) {
	conn, ok := <-c
	if !ok {
		return nil, net.ErrClosed
	}
	return conn, nil
}

func (c callers) Close() error {
	close(c)
	return nil
}

func (callers) Addr() net.Addr { return &net.TCPAddr{} }

// call is one more caller; it returns once somebody has let him in.
func (c callers) call() {
	here, _ := net.Pipe()
	c <- here
}

func TestDoorLetsInAsManyAsHavePlaces(t *testing.T) {
	const places = 3
	synctest.Test(t, func(t *testing.T) {
		outside, inside := callers(make(chan net.Conn)), make(chan net.Conn, 2*places)
		var log strings.Builder
		d := newDoor(outside, "clients", places, slog.New(slog.NewTextHandler(&log, nil)))
		var kept []bool
		d.keepAlive = func(on bool) { kept = append(kept, on) }
		ended := make(chan error, 1)
		go func() {
			for {
				c, err := d.Accept()
				if err != nil {
					ended <- err
					return
				}
				inside <- c
			}
		}()
		for range places + 1 {
			go outside.call()
		}
		synctest.Wait()
		if open, limit := d.count(); open != places || limit != places || len(inside) != places {
			t.Errorf("count = %d, %d with %d let in; want %d", open, limit, len(inside), places)
		}
		if d.trouble() == "" || strings.Count(log.String(), "ulimit") != 1 {
			t.Errorf("trouble = %q, log %s; want one line", d.trouble(), &log)
		}
		time.Sleep(2*relieveEvery + relieveEvery/2)
		synctest.Wait()
		if len(kept) != 3 || kept[0] || kept[2] {
			t.Errorf("keepAlive was told %v; want false, and again every second", kept)
		}

		first := <-inside
		first.Close()
		first.Close() // which gives back one place, not two
		synctest.Wait()
		if open, _ := d.count(); open != places || len(inside) != places {
			t.Errorf("%d open, %d let in; want the one who waited", open, len(inside))
		}
		(<-inside).Close()
		synctest.Wait()
		if d.trouble() != "" || !kept[len(kept)-1] {
			t.Errorf("trouble = %q, keepAlive was told %v; want it over", d.trouble(), kept)
		}

		go outside.call()
		synctest.Wait()
		d.Close() // while it waits for a place
		if err := <-ended; !errors.Is(err, net.ErrClosed) {
			t.Errorf("Accept = %v; want net.ErrClosed", err)
		}
		d.Close() // which is nothing new
	})
}

func TestDescriptorsAreSharedOut(t *testing.T) {
	reserve := 64 + 10*runtime.GOMAXPROCS(0)
	for _, tt := range []struct{ descriptors, clients, operators int }{
		{4, 1, 1},
		{64, 16, 8},
		{2 * reserve, reserve / 2, reserve / 4},
		{2*reserve + 2, reserve/2 + 1, reserve / 4},
		{maxDescriptors, (maxDescriptors - reserve) / 2, reserve / 4},
	} {
		if clients, operators := share(tt.descriptors); clients != tt.clients || operators != tt.operators {
			t.Errorf("share(%d) = %d, %d; want %d, %d", tt.descriptors, clients, operators, tt.clients, tt.operators)
		}
	}
}
