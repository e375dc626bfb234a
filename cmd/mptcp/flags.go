package main

import (
	"flag"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
)

// cli is the command line of one command.
type cli struct {
	*flag.FlagSet
	e              *env
	synopsis, help string
}

// flags makes the flag set of a command. help is everything between the synopsis and the flags.
func (e *env) flags(synopsis, help string) *cli {
	name, _, _ := strings.Cut(synopsis, " ")
	fs := flag.NewFlagSet(name, flag.ContinueOnError)
	fs.SetOutput(io.Discard) // errors are reported once, by finish
	fs.Usage = func() {}
	return &cli{fs, e, synopsis, strings.TrimSpace(help)}
}

func (c *cli) usage() {
	fmt.Fprintf(c.e.stdout, "Usage: mptcp %s\n\n%s\n\nFlags:\n", c.synopsis, c.help)
	printFlags(c.e.stdout, c.FlagSet)
}

// printFlags lists the flags, one line each.
func printFlags(w io.Writer, fs *flag.FlagSet) {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fs.VisitAll(func(f *flag.Flag) {
		arg, usage := flag.UnquoteUsage(f)
		if f.DefValue != "" && f.DefValue != "false" && f.DefValue != "0" && f.DefValue != "0s" {
			usage += " (default " + f.DefValue + ")"
		}
		fmt.Fprintf(tw, "  -%s %s\t%s\n", f.Name, arg, usage)
	})
	_ = tw.Flush()
}

// parse reads flags and arguments in any order and checks the number of arguments.
func (c *cli) parse(least, most int) (args []string, err error) {
	rest := c.e.args
	for {
		if err := c.Parse(rest); err != nil {
			if err == flag.ErrHelp {
				c.usage()
				return nil, err
			}
			return nil, &usageError{err.Error()}
		}
		if rest = c.Args(); len(rest) == 0 {
			break
		}
		args, rest = append(args, rest[0]), rest[1:]
	}
	switch {
	case len(args) < least:
		return nil, usagef("an argument is missing")
	case len(args) > most:
		return nil, usagef("what is %q for? There is an argument too many", args[most])
	}
	return args, nil
}

// sizeFlag is a number of bytes: "256MiB".
type sizeFlag int64

func (s *sizeFlag) String() string {
	if *s == 0 {
		return ""
	}
	return formatSize(int64(*s))
}

func (s *sizeFlag) Set(text string) error {
	n, err := parseSize(text)
	*s = sizeFlag(n)
	return err
}

// addrsFlag is a list of addresses with ports, separated by commas; repeating the flag adds to it.
type addrsFlag []netip.AddrPort

func (a *addrsFlag) String() string {
	var parts []string
	for _, ap := range *a {
		parts = append(parts, ap.String())
	}
	return strings.Join(parts, ",")
}

func (a *addrsFlag) Set(text string) error {
	for _, part := range strings.Split(text, ",") {
		part = strings.TrimSpace(part)
		ap, err := netip.ParseAddrPort(part)
		if err != nil {
			ip, ipErr := netip.ParseAddr(part)
			if ipErr != nil {
				return fmt.Errorf("%q is neither an address nor an address with a port", part)
			}
			ap = netip.AddrPortFrom(ip, 0) // the listener's port
		}
		*a = append(*a, ap)
	}
	return nil
}

// readSecret reads a file's first line, since editors end files with a newline.
func readSecret(name string) ([]byte, error) {
	b, err := os.ReadFile(filepath.Clean(name))
	if err != nil {
		return nil, err
	}
	line, _, _ := strings.Cut(string(b), "\n")
	line = strings.TrimSuffix(line, "\r")
	if len(line) < 16 {
		return nil, usagef("the secret in %s is shorter than 16 characters: anybody could guess it", name)
	}
	return []byte(line), nil
}
