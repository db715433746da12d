// Command gatehouse is an authenticating reverse proxy in front of legacy
// backends: clients log in at the gateway in the vendor's own token API, and
// the gateway logs in to the backend, keeps its tokens and injects them.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/gatehouse-gateway/gatehouse/demo"
)

// version is set by the linker: -X main.version=v1.2.3.
var version = "dev"

// Exit codes, as --help lists them.
const (
	exitOK     = 0
	exitFailed = 1 // something failed while running
	exitUsage  = 2 // the command line or the configuration is wrong
)

// A command is what the first argument names.
type command struct {
	name string
	args string // of the usage line
	doc  string
	run  func(ctx context.Context, args []string, std streams) error
}

// streams are where a command reads and writes.
type streams struct {
	in       io.Reader
	out, err io.Writer
}

// usageError is a mistake in the command line or the configuration.
type usageError struct{ msg string }

func (e *usageError) Error() string { return e.msg }

func commands() []command {
	return []command{
		{"serve", "", "run the gateway as the environment and GATEHOUSE_CONFIG say (the default)", runServe},
		{"demo", "", "run everything at once: simulated backends, the gateway, and lines to paste", runDemo},
		{"demo-backend", "[NAME]", "run one simulated backend alone, on GATEHOUSE_LISTEN: " + strings.Join(demo.Names(), ", "), runDemoBackend},
		{"check", "", "name every fault of the configuration, each with its place", runCheck},
		{"explain", "METHOD URL [--user NAME] [--otp] [--ip ADDRESS]", "say which policy rule decides a request, and why", runExplain},
		{"sessions", sessionsArgs, "list, show and end sessions of a running gateway", runSessions},
		{"tokens", tokensArgs, "list and end API tokens of a running gateway", runTokens},
		{"challenges", challengesArgs, "list and answer second factors that wait at a running gateway", runChallenges},
		{"backends", backendsArgs, "list the backends of a running gateway, and have a refused account tried again", runBackends},
		{"keys", keysArgs, "list signing keys, secrets and replicas of a running gateway, rotate the signing key", runKeys},
		{"hash-password", "", "read a password from standard input and print its argon2id hash", runHashPassword},
		{"healthcheck", "", "ask /healthz on GATEHOUSE_ADMIN_LISTEN; for containers", runHealthcheck},
		{"version", "", "print the version", runVersion},
	}
}

func main() {
	os.Exit(run(untilTold(), os.Args[1:], streams{os.Stdin, os.Stdout, os.Stderr}))
}

// untilTold returns a context that ends when the process is told to. By then a
// second signal ends the process at once.
func untilTold() context.Context {
	ctx, end := context.WithCancel(context.Background())
	told := make(chan os.Signal, 1)
	signal.Notify(told, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-told
		signal.Reset(os.Interrupt, syscall.SIGTERM)
		end()
	}()
	return ctx
}

// run does what the arguments say and returns the exit code.
func run(ctx context.Context, args []string, std streams) int {
	name := "serve"
	if len(args) > 0 {
		name, args = args[0], args[1:]
	}
	if slices.Contains(append([]string{name}, args...), "--help") || name == "help" || name == "-h" {
		help(std.out, name)
		return exitOK
	}
	if name == "--version" {
		name = "version"
	}
	for _, c := range commands() {
		if c.name == name {
			if c.args == "" && len(args) > 0 {
				return report(std.err, &usageError{name + " takes no arguments; gatehouse --help says what there is"})
			}
			return report(std.err, c.run(ctx, args, std))
		}
	}
	fmt.Fprintf(std.err, "gatehouse: there is no command %q; gatehouse --help lists them\n", name)
	return exitUsage
}

// lastWords is how long the end of the process waits for whoever should take what
// it still has to say.
const lastWords = time.Second

// report prints an error, if there is one, and returns its exit code.
func report(w io.Writer, err error) int {
	if err == nil {
		return exitOK
	}
	said := make(chan struct{})
	go func() {
		defer close(said)
		fmt.Fprintf(w, "gatehouse: %v\n", err)
	}()
	select {
	case <-said:
	case <-time.After(lastWords):
	}
	if _, ok := errors.AsType[*usageError](err); ok {
		return exitUsage
	}
	return exitFailed
}

func runVersion(_ context.Context, _ []string, std streams) error {
	_, err := fmt.Fprintf(std.out, "gatehouse %s\n", version)
	return err
}
