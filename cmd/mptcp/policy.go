package main

import (
	"fmt"
	"net/netip"
	"path"
	"strconv"
	"strings"

	"github.com/mptcp-go/mptcp/extapi"
)

const policyHelp = `A path policy is a list of rules, separated by commas; the first that matches a path decides.
  MATCH=ROLE or MATCH=ROLE:COST
MATCH is the name of an interface, in which * and ? stand for any letters ("wlan*"), or
  kind:KIND     ethernet, wifi, cellular, tunnel, loopback or unknown
  from:PREFIX   the local address: from:10.0.0.0/8
  to:PREFIX     the remote address
ROLE is default, prefer, avoid, backup (only while no other path works) or never.`

// pathsFlag is a path policy in text. Repeating the flag adds rules.
type pathsFlag struct{ rules []extapi.PathRule }

func (p *pathsFlag) String() string { return "" }

func (p *pathsFlag) Set(text string) error {
	rules, err := parseRules(text)
	p.rules = append(p.rules, rules...)
	return err
}

// parseRules reads what policyHelp describes.
func parseRules(text string) (rules []extapi.PathRule, err error) {
	for _, part := range strings.Split(text, ",") {
		r, err := parseRule(strings.TrimSpace(part))
		if err != nil {
			return nil, err
		}
		rules = append(rules, r)
	}
	return rules, nil
}

func parseRule(text string) (r extapi.PathRule, err error) {
	match, action, ok := strings.Cut(text, "=")
	if !ok || match == "" || action == "" {
		return r, fmt.Errorf("the rule %q is not of the form MATCH=ROLE, as in wlan0=backup", text)
	}
	if r.PathMatch, err = parseMatch(match); err != nil {
		return r, err
	}
	role, cost, priced := strings.Cut(action, ":")
	if err := r.Role.UnmarshalText([]byte(role)); err != nil {
		return r, fmt.Errorf("%q is no role: choose default, prefer, avoid, backup or never", role)
	}
	if priced {
		if r.Cost, err = strconv.Atoi(cost); err != nil || r.Cost < 1 {
			return r, fmt.Errorf("%q is no cost: it is a number from 1", cost)
		}
	}
	return r, nil
}

func parseMatch(text string) (m extapi.PathMatch, err error) {
	what, value, ok := strings.Cut(text, ":")
	if !ok {
		if _, err := path.Match(text, ""); err != nil {
			return m, fmt.Errorf("%q is no pattern for interface names: %w", text, err)
		}
		m.Interface = text
		return m, nil
	}
	switch what {
	case "kind":
		if err := m.Kind.UnmarshalText([]byte(value)); err != nil {
			return m, fmt.Errorf("%q is no kind: choose ethernet, wifi, cellular, tunnel, loopback or unknown", value)
		}
	case "from":
		m.Local, err = parsePrefix(value)
	case "to":
		m.Remote, err = parsePrefix(value)
	default:
		return m, fmt.Errorf("%q: a match is an interface, or begins with one of kind:, from: and to: as a prefix", text)
	}
	return m, err
}

// parsePrefix also takes a single address.
func parsePrefix(text string) (netip.Prefix, error) {
	if ip, err := netip.ParseAddr(text); err == nil {
		return netip.PrefixFrom(ip, ip.BitLen()), nil
	}
	p, err := netip.ParsePrefix(text)
	if err != nil {
		return p, fmt.Errorf("%q is neither an address nor a prefix such as 10.0.0.0/8", text)
	}
	return p, nil
}
