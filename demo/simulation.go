package demo

import (
	"net/http"

	"github.com/gatehouse-gateway/gatehouse/token"
)

// A Simulation is one simulated backend: the served side of a dialect over a toy
// resource API.
type Simulation struct {
	Name    string // of the dialect, the route and the backend
	Dialect string // with its profile
	Product string // what it simulates
	Client  Client // as which its callers speak to it; zero: it knows no clients
	// Resources is the API behind the token API. alive tells whether a session of
	// the simulated backend still lives.
	Resources func(alive func(token.SID) bool) http.Handler
	// Lines are the commands that show it, in an order in which they work. The
	// first one's shell has $H set to the route's host already.
	Lines []Line
}

// A Client is an OAuth client.
type Client struct{ ID, Secret string }

// Host is the host name of the simulation's route.
func (s Simulation) Host() string { return s.Name + ".localhost" }

// Simulations are all there are, in the order of the table.
var Simulations = []Simulation{fabric, sbc, fortiAuthenticator, facOAuth, itemPath}

// Names are the names of all simulations, for messages.
func Names() []string {
	var names []string
	for _, s := range Simulations {
		names = append(names, s.Name)
	}
	return names
}

// Find returns the simulation of a dialect.
func Find(name string) (Simulation, bool) {
	for _, s := range Simulations {
		if s.Name == name {
			return s, true
		}
	}
	return Simulation{}, false
}
