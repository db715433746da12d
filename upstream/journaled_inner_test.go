package upstream

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestANoteIsItsCommitAtAnotherTime(t *testing.T) {
	written := time.Date(2026, 3, 4, 5, 6, 7, 0, time.FixedZone("", 3600))
	c := Commit{
		Ref: Ref{Owner: "a.x", Backend: "fabric"}, Attempt: "A", Holder: "H", Opening: time.Minute,
		Record: Record{Version: 1 << 60, Access: "access", Refresh: "refresh", Left: 20 * time.Minute, Life: 30 * time.Minute, Pinned: true},
	}
	forever := c
	forever.Record.Left, forever.Record.Life = 0, 0
	for _, tt := range []struct {
		name  string
		c     Commit
		later time.Duration
		left  time.Duration
	}{
		{"at once", c, 0, 20 * time.Minute},
		{"later", c, time.Minute, 19 * time.Minute},
		{"too late", c, time.Hour, -40 * time.Minute},
		{"before, by a clock that was set back", c, -time.Hour, 30 * time.Minute},
		{"without an end", forever, time.Hour, 0},
	} {
		text, err := json.Marshal(noteOf(tt.c, written))
		if err != nil {
			t.Fatal(err)
		}
		var n note
		if err := json.Unmarshal(text, &n); err != nil {
			t.Fatal(err)
		}
		want := tt.c
		want.Opening, want.Record.Left = 0, tt.left
		if diff := cmp.Diff(want, n.commit(written.Add(tt.later))); diff != "" {
			t.Errorf("%s: -want +got\n%s", tt.name, diff)
		}
	}
}
