package session_test

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-gateway/gatehouse/session"
	"github.com/gatehouse-gateway/gatehouse/token"
)

func (w *world) loginAs(user string) token.SID {
	w.Helper()
	set, err := w.m.Login(w.Context(), w.iss, session.KindLogin, grant(user, "right"))
	if err != nil {
		w.Fatalf("Login of %s = %v; want no error", user, err)
	}
	return w.alive(set.Access).SID
}

// pages reads a whole list in pages of a size.
func (w *world) pages(q session.Query) []session.Listed {
	w.Helper()
	var all []session.Listed
	for range 1000 {
		page, err := w.m.List(w.Context(), q)
		if err != nil {
			w.Fatalf("List = %v; want no error", err)
		}
		if len(page.Sessions) > q.Limit {
			w.Errorf("a page holds %d; want %d at most", len(page.Sessions), q.Limit)
		}
		all = append(all, page.Sessions...)
		if q.After = page.Next; q.After == "" {
			return all
		}
	}
	w.Fatal("the list has no end")
	return nil
}

func sids(list []session.Listed) []string {
	all := make([]string, len(list))
	for i, l := range list {
		all[i] = l.SID.String()
	}
	slices.Sort(all)
	return all
}

func TestOperatorListsEverySessionOnce(t *testing.T) {
	in(t, func(w *world) {
		want := map[string][]string{}
		var all []string
		for i := range 7 {
			user := "user-" + strconv.Itoa(i%3)
			sid := w.loginAs(user).String()
			want[user], all = append(want[user], sid), append(all, sid)
		}
		w.make(token.APITokenRequest{}) // alice's, with a login of hers
		all = append(all, sids(w.pages(session.Query{User: "alice", Limit: 10}))...)
		slices.Sort(all)
		for _, limit := range []int{1, 2, 3, 8, 9, session.MaxPage} {
			if got := sids(w.pages(session.Query{Limit: limit})); !slices.Equal(got, all) {
				w.Errorf("pages of %d hold %v; want %v", limit, got, all)
			}
		}
		for user, mine := range want {
			slices.Sort(mine)
			if got := sids(w.pages(session.Query{User: user, Limit: 2})); !slices.Equal(got, mine) {
				w.Errorf("sessions of %s = %v; want %v", user, got, mine)
			}
		}
		if got := w.pages(session.Query{APITokens: true, Limit: 1}); len(got) != 1 || got[0].API == nil || got[0].Identity.Name != "alice" {
			w.Errorf("API tokens = %+v; want alice's alone", got)
		}
		if got := w.pages(session.Query{User: "nobody", Limit: 1}); len(got) != 0 {
			w.Errorf("sessions of nobody = %v; want none", got)
		}
	})
}

// More owners than are read at once, and than one page visits.
func TestOperatorListIsWholeBeyondTheOwnersOfOnePage(t *testing.T) {
	in(t, func(w *world) {
		const users = 501
		for i := range users {
			w.loginAs("u" + strconv.Itoa(i))
		}
		if got := w.pages(session.Query{Limit: session.MaxPage}); len(got) != users {
			w.Errorf("listed %d sessions; want %d", len(got), users)
		}
		w.make(token.APITokenRequest{})
		page, err := w.m.List(w.Context(), session.Query{APITokens: true, Limit: 10, User: "u1"})
		if err != nil || len(page.Sessions) != 0 || page.Next != "" {
			w.Errorf("API tokens of one who has none = %+v, %v; want an empty last page", page, err)
		}
		if got := w.pages(session.Query{APITokens: true, Limit: 10}); len(got) != 1 {
			w.Errorf("listed %d API tokens among %d users; want 1", len(got), users)
		}
	})
}

func TestOperatorSeesWhatBecameOfASession(t *testing.T) {
	still(t, func(w *world) {
		w.iss.VendorLogout = true
		closed, revoked, idle := w.loginAs("carl"), w.loginAs("rita"), w.loginAs("ida")
		if err := w.m.Logout(w.Context(), w.iss, closed); err != nil {
			w.Fatal(err)
		}
		if ended, err := w.m.Revoke(w.Context(), revoked); err != nil || !ended {
			w.Fatalf("Revoke = %v, %v; want ended", ended, err)
		}
		if ended, err := w.m.Revoke(w.Context(), revoked); err != nil || ended {
			w.Errorf("Revoke again = %v, %v; want no error and nothing ended", ended, err)
		}
		state := func(sid token.SID, want string) {
			w.Helper()
			for _, id := range []string{sid.String(), sid.Short()} {
				got, err := w.m.Find(w.Context(), id)
				if err != nil || len(got) != 1 || got[0].SID != sid || got[0].State != want {
					w.Errorf("Find(%s) = %+v, %v; want %s", id, got, err, want)
				}
			}
		}
		state(closed, session.StateClosed)
		state(revoked, session.StateRevoked)
		state(idle, session.StateActive)
		if got := w.pages(session.Query{Limit: 10}); len(got) != 2 {
			w.Errorf("listed %v; want the closed one, whose access token lives, and the active one", sids(got))
		}
		w.people.set(func() { w.people.gone = true })
		state(idle, session.StateUserGone)
		w.people.set(func() { w.people.gone = false })
		sleep(24*time.Hour + time.Minute)
		state(idle, session.StateExpired)
		if got := w.pages(session.Query{Limit: 10}); len(got) != 0 {
			w.Errorf("listed %v after all were over; want nothing", sids(got))
		}
		for _, id := range []string{token.NewSID().String(), "abcdef"} {
			_, err := w.m.Find(w.Context(), id)
			w.refused(err, token.NotFound)
		}
		for _, id := range []string{"", "abcde", "abcdefg", "ABCDEF", "abcde*", "??????", token.NewSID().String() + "0"} {
			_, err := w.m.Find(w.Context(), id)
			w.refused(err, token.Malformed)
		}
	})
}

func TestOperatorEndsAllOfAUser(t *testing.T) {
	in(t, func(w *world) {
		w.iss.VendorLogout = true
		made := w.make(token.APITokenRequest{Scopes: []string{"read"}})
		w.loginAs("alice")
		closed := w.login(session.KindLogin)
		if err := w.m.Logout(w.Context(), w.iss, w.alive(closed.Access).SID); err != nil {
			w.Fatal(err)
		}
		portal := w.login(session.KindPortal)
		bob := w.loginAs("bob")

		_, err := w.m.RevokeUser(w.Context(), "Alice", true)
		w.refused(err, token.NotFound)
		_, err = w.m.RevokeUser(w.Context(), "", true)
		w.refused(err, token.NotFound)
		n, err := w.m.RevokeUser(w.Context(), "alice", false)
		if want := (session.Revoked{Sessions: 4}); err != nil || n != want {
			w.Errorf("RevokeUser = %+v, %v; want %+v", n, err, want)
		}
		for _, at := range []token.Secret{closed.Access, portal.Access} {
			_, err := w.check(w.m, at)
			w.refused(err, token.InvalidAccess)
		}
		if _, err := w.checkAPI(w.m, made.Text); err != nil {
			w.Errorf("the API token after its user's sessions ended = %v; want it alive", err)
		}
		n, err = w.m.RevokeUser(w.Context(), "alice", true)
		if want := (session.Revoked{APITokens: 1}); err != nil || n != want {
			w.Errorf("RevokeUser with tokens = %+v, %v; want %+v", n, err, want)
		}
		_, err = w.checkAPI(w.m, made.Text)
		w.refused(err, token.InvalidAPIToken)
		if got := sids(w.pages(session.Query{Limit: 10})); !slices.Equal(got, []string{bob.String()}) {
			w.Errorf("left are %v; want bob's %s", got, bob)
		}
		w.told("ended revoked", 5)
	})
}

// All replicas hear of it at once, not when they next read.
func TestOperatorsWordIsHeardByOtherReplicas(t *testing.T) {
	in(t, func(w *world) {
		other := w.replica(nil)
		w.run(other)
		made, set := w.make(token.APITokenRequest{}), w.login(session.KindLogin)
		for range 2 {
			if _, err := w.checkAPI(other, made.Text); err != nil {
				w.Fatal(err)
			}
			if _, err := w.check(other, set.Access); err != nil {
				w.Fatal(err)
			}
		}
		if _, err := w.m.RevokeUser(w.Context(), "alice", true); err != nil {
			w.Fatal(err)
		}
		sleep(time.Millisecond)
		_, err := w.checkAPI(other, made.Text)
		w.refused(err, token.InvalidAPIToken)
		_, err = w.check(other, set.Access)
		w.refused(err, token.InvalidAccess)
	})
}

func TestOperatorFindsAPITokensByEitherID(t *testing.T) {
	in(t, func(w *world) {
		ours := w.make(token.APITokenRequest{})
		given := w.make(token.APITokenRequest{ID: "5f0c-nightly"})
		same, err := w.m.CreateAPIToken(w.Context(), w.iss, w.other("bob"), token.APITokenRequest{ID: "5f0c-nightly"})
		if err != nil {
			w.Fatal(err)
		}
		find := func(id, user string, want int) {
			w.Helper()
			got, err := w.m.FindAPITokens(w.Context(), id, user)
			if want == 0 {
				w.refused(err, token.NotFound)
			} else if err != nil || len(got) != want {
				w.Errorf("FindAPITokens(%s, %s) = %+v, %v; want %d", id, user, got, err, want)
			}
		}
		find(ours.ID, "", 1)
		find(given.ID, "", 2)
		find(same.ID, "bob", 1)
		find(ours.ID, "bob", 0)
		find("none-such", "", 0)
		find(ours.Text.Reveal(), "", 0) // the text is no id
		list := w.pages(session.Query{APITokens: true, User: "bob", Limit: 5})
		find(list[0].SID.String(), "", 1)
		find(list[0].SID.Short(), "", 1)
		find(list[0].SID.String(), "alice", 0)
		login := w.loginAs("carl")
		find(login.String(), "", 0) // a session, but no API token
	})
}

func (w *world) other(user string) *session.Session {
	w.Helper()
	set, err := w.m.Login(w.Context(), w.iss, session.KindLogin, grant(user, "right"))
	if err != nil {
		w.Fatal(err)
	}
	return w.alive(set.Access)
}

// What the record of a chosen token keeps is a digest under the secret, not one
// that could be found by trying.
func TestOperatorSeesOfAChosenTokenADigestAtMost(t *testing.T) {
	in(t, func(w *world) {
		text := "chosen-canary-8"
		w.make(token.APITokenRequest{Chosen: token.NewSecret(text)})
		list := w.pages(session.Query{APITokens: true, Limit: 5})
		if len(list) != 1 || list[0].API.Digest == "" {
			w.Fatalf("API tokens = %+v; want one with a digest", list)
		}
		stored, err := json.Marshal(list[0])
		if err != nil {
			w.Fatal(err)
		}
		for _, plain := range []string{text, "ipfabric\x00" + text, text[len(text)-8:]} {
			sha256, sha512 := sha256.Sum256([]byte(plain)), sha512.Sum512([]byte(plain))
			for _, bad := range []string{plain, hex.EncodeToString(sha256[:]), hex.EncodeToString(sha512[:])[:32], hex.EncodeToString(sha256[:16])} {
				if strings.Contains(string(stored), bad) {
					w.Errorf("the record holds %q", bad)
				}
			}
		}
	})
}

// A user may have logged out so often that the oldest closed session makes room.
func TestClosedSessionsOfAUserAreBounded(t *testing.T) {
	still(t, func(w *world) {
		w.iss.VendorLogout = true
		var access []token.Secret
		for range 201 {
			set := w.login(session.KindLogin)
			if err := w.m.Logout(w.Context(), w.iss, w.alive(set.Access).SID); err != nil {
				w.Fatal(err)
			}
			access = append(access, set.Access)
		}
		_, err := w.check(w.m, access[0])
		w.refused(err, token.InvalidAccess)
		w.alive(access[1])
		if got := w.pages(session.Query{User: "alice", Limit: session.MaxPage}); len(got) != 200 {
			w.Errorf("listed %d closed sessions; want 200", len(got))
		}
	})
}

// A store that cannot be asked is never "there is no such session".
func TestOperatorIsToldWhenTheStoreCannotBeAsked(t *testing.T) {
	in(t, func(w *world) {
		sid := w.loginAs("alice")
		w.store.SetDown(true)
		_, err := w.m.List(w.Context(), session.Query{Limit: 10})
		w.refused(err, token.Unavailable)
		for _, id := range []string{sid.String(), sid.Short()} {
			_, err = w.m.Find(w.Context(), id)
			w.refused(err, token.Unavailable)
			_, err = w.m.FindAPITokens(w.Context(), id, "")
			w.refused(err, token.Unavailable)
		}
		_, err = w.m.FindAPITokens(w.Context(), "123456789012", "")
		w.refused(err, token.Unavailable)
		_, err = w.m.Revoke(w.Context(), sid)
		w.refused(err, token.Unavailable)
		_, err = w.m.RevokeUser(w.Context(), "alice", true)
		w.refused(err, token.Unavailable)
	})
}

func TestOperatorsPageMustBeOneThatWasNamed(t *testing.T) {
	in(t, func(w *world) {
		w.loginAs("alice")
		for _, after := range []string{"x", "e30", "bnVsbA", "eyJvd25lciI6eyJuYW1lIjoiYSJ9LCJzaWQiOiJ6In0"} {
			_, err := w.m.List(w.Context(), session.Query{After: after, Limit: 1})
			w.refused(err, token.Malformed)
		}
	})
}

// Users stay on the roll as long as anything of theirs is used.
func TestOperatorFindsASessionThatLivesByUse(t *testing.T) {
	in(t, func(w *world) {
		w.iss.AccessTTL, w.iss.RefreshTTL = time.Minute, 10*time.Minute
		set := w.login(session.KindLogin)
		for range 3 {
			sleep(9 * time.Minute)
			var err error
			if set, err = w.refresh(set.Refresh); err != nil {
				w.Fatal(err)
			}
			sleep(2 * time.Second)
		}
		if got := w.pages(session.Query{User: "alice", Limit: 10}); len(got) != 1 {
			w.Errorf("listed %d sessions after half an hour of refreshing; want 1", len(got))
		}
	})
}
