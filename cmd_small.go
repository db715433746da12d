package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strings"

	"github.com/gatehouse-gateway/gatehouse/admin"
	"github.com/gatehouse-gateway/gatehouse/config"
	"github.com/gatehouse-gateway/gatehouse/identity"
	"github.com/gatehouse-gateway/gatehouse/metrics"
	"github.com/gatehouse-gateway/gatehouse/redisstore"
	"github.com/gatehouse-gateway/gatehouse/token"
)

// load reads the configuration; its faults are one error, a line each.
func load() (*config.Config, error) {
	cfg, _, err := loadFiles()
	return cfg, err
}

// loadFiles is load and says which files it read.
func loadFiles() (*config.Config, config.Files, error) {
	cfg, files, faults := read()
	if len(faults) > 0 {
		return nil, files, &usageError{"the configuration has " + count(len(faults), "fault") + "\n" + faults.Error()}
	}
	return cfg, files, nil
}

// read reads the configuration, or all that is wrong with it.
func read() (*config.Config, config.Files, config.Faults) {
	cfg, files, faults := config.Read(os.Environ())
	if cfg != nil && !cfg.RedisURL.IsZero() {
		if err := redisstore.CheckURL(cfg.RedisURL.Reveal()); err != nil {
			faults = append(faults, config.Fault{Place: "GATEHOUSE_REDIS_URL", Msg: strings.TrimPrefix(err.Error(), "redisstore: bad Redis URL: ")})
		}
	}
	if cfg != nil && cfg.Listen == cfg.AdminListen {
		faults = append(faults, config.Fault{
			Place: "GATEHOUSE_ADMIN_LISTEN", Msg: "it is the same as GATEHOUSE_LISTEN", Remedy: "give it a port of its own",
		})
	}
	if len(faults) > 0 {
		return nil, files, faults
	}
	return cfg, files, nil
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// runCheck names every fault and warning of the configuration.
func runCheck(_ context.Context, _ []string, std streams) error {
	cfg, err := load()
	if err != nil {
		return err
	}
	for _, w := range cfg.Warnings {
		fmt.Fprintln(std.out, "warning:", w)
	}
	fmt.Fprintf(std.out, "the configuration is good: %s, %s\n", count(len(cfg.Backends), "backend"), count(len(cfg.Routes), "route"))
	return nil
}

// runHashPassword prints the argon2id hash of the password on standard input.
func runHashPassword(ctx context.Context, _ []string, std streams) error {
	line, err := bufio.NewReader(io.LimitReader(std.in, 4096)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("reading the password: %w", err)
	}
	password := strings.TrimRight(line, "\r\n")
	if password == "" {
		return &usageError{"no password on standard input; try: printf %s 'the password' | gatehouse hash-password"}
	}
	hash, err := identity.NewHasher(1, 0).Hash(ctx, token.NewSecret(password))
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(std.out, hash)
	return err
}

// runHealthcheck asks the gateway on this host whether it is alive.
func runHealthcheck(ctx context.Context, _ []string, _ streams) error {
	addr := os.Getenv("GATEHOUSE_ADMIN_LISTEN")
	if addr == "" {
		addr = "127.0.0.1:9090"
	}
	return admin.Healthcheck(ctx, addr)
}

func buildInfo() metrics.BuildInfo {
	info := metrics.BuildInfo{Version: version}
	if b, ok := debug.ReadBuildInfo(); ok {
		info.GoVersion = b.GoVersion
		for _, s := range b.Settings {
			if s.Key == "vcs.revision" {
				info.Revision = s.Value
			}
		}
	}
	return info
}
