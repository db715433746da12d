package redisstore

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"
)

// parseURL reads a URL of the forms that Options.URL describes. net/url takes
// neither several hosts nor a stray character in a password without showing it
// in its error, so the parts are cut here and no error shows more than the
// scheme and the names of parameters.
func parseURL(text string) (*redis.UniversalOptions, error) {
	scheme, rest, ok := strings.Cut(text, "://")
	if !ok {
		return nil, badURL("it has no scheme; write redis://host:6379/0")
	}
	rest, query, _ := strings.Cut(rest, "?")
	authority, path, _ := strings.Cut(rest, "/")
	user, hosts := "", authority
	if i := strings.LastIndexByte(authority, '@'); i >= 0 {
		user, hosts = authority[:i], authority[i+1:]
	}
	o := &redis.UniversalOptions{}
	if err := setScheme(o, scheme, user); err != nil {
		return nil, err
	}
	if path != "" {
		if err := setDB(o, path); err != nil {
			return nil, err
		}
	}
	if err := setHosts(o, hosts); err != nil {
		return nil, err
	}
	if err := setQuery(o, query); err != nil {
		return nil, err
	}
	if o.IsClusterMode && o.DB != 0 {
		return nil, badURL("a cluster has only database 0")
	}
	return o, nil
}

func badURL(what string) error { return errors.New("redisstore: bad Redis URL: " + what) }

// setScheme also reads what stands before the @: the master's name for
// Sentinel, user and password otherwise.
func setScheme(o *redis.UniversalOptions, scheme, user string) error {
	plain := strings.Replace(scheme, "rediss", "redis", 1)
	if plain != scheme {
		o.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	switch plain {
	case "redis+sentinel":
		name, err := url.PathUnescape(user)
		if err != nil || name == "" || strings.Contains(name, ":") {
			return badURL("the name of the master goes before the @, user and password into the query: redis+sentinel://mymaster@host1,host2/0?password=…")
		}
		o.MasterName = name
		return nil
	case "redis+cluster":
		o.IsClusterMode = true
	case "redis":
	default:
		return badURL("the scheme is not redis, rediss, redis+sentinel or redis+cluster")
	}
	name, password, _ := strings.Cut(user, ":")
	var err1, err2 error
	o.Username, err1 = url.PathUnescape(name)
	o.Password, err2 = url.PathUnescape(password)
	if err1 != nil || err2 != nil {
		return badURL("user or password holds a % that is no percent-encoding; write %25")
	}
	return nil
}

func setHosts(o *redis.UniversalOptions, hosts string) error {
	port := "6379"
	if o.MasterName != "" {
		port = "26379"
	}
	for h := range strings.SplitSeq(hosts, ",") {
		host, p, err := net.SplitHostPort(h)
		if err != nil {
			host, p = strings.Trim(h, "[]"), port
		}
		if n, err := strconv.Atoi(p); err != nil || n < 1 || n > 65535 || host == "" || strings.ContainsAny(host, " /@#") {
			return badURL("a host is not host or host:port; a password with @ / ? # needs percent-encoding")
		}
		o.Addrs = append(o.Addrs, net.JoinHostPort(host, p))
	}
	if len(o.Addrs) > 1 && !o.IsClusterMode && o.MasterName == "" {
		return badURL("several hosts need redis+sentinel:// or redis+cluster://")
	}
	if o.TLSConfig != nil {
		o.TLSConfig.ServerName, _, _ = net.SplitHostPort(o.Addrs[0])
		if len(o.Addrs) > 1 || o.MasterName != "" {
			o.TLSConfig.ServerName = "" // each connection is checked against the host it dials
		}
	}
	return nil
}

func setDB(o *redis.UniversalOptions, text string) error {
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		return badURL("the database is not a number; write redis://host:6379/0")
	}
	o.DB = n
	return nil
}

func setQuery(o *redis.UniversalOptions, query string) error {
	values, err := url.ParseQuery(query)
	if err != nil {
		return badURL("the query cannot be read; percent-encode what stands in it")
	}
	for name, v := range values {
		switch name {
		case "user":
			o.Username = v[0]
		case "password":
			o.Password = v[0]
		case "db":
			err = setDB(o, v[0])
		case "ca_file":
			err = setCA(o, v[0])
		default:
			err = badURL("the query knows user, password, db and ca_file, and holds something else")
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func setCA(o *redis.UniversalOptions, file string) error {
	if o.TLSConfig == nil {
		return badURL("ca_file needs TLS; write rediss://")
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("redisstore: bad Redis URL: ca_file: %w", err)
	}
	o.TLSConfig.RootCAs = x509.NewCertPool()
	if !o.TLSConfig.RootCAs.AppendCertsFromPEM(pem) {
		return badURL("ca_file holds no PEM certificate")
	}
	return nil
}
