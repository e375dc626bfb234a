package mptcp_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"time"

	"github.com/mptcp-go/mptcp"
	"github.com/mptcp-go/mptcp/extapi"
)

// An HTTP client and server over every path there is: two lines differ from a program without.
func Example() {
	ln, err := mptcp.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "hello over all paths")
	})}
	go srv.Serve(ln)
	defer srv.Close()

	transport := &http.Transport{DialContext: mptcp.Dial}
	defer transport.CloseIdleConnections()
	resp, err := (&http.Client{Transport: transport}).Get("http://" + ln.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(string(body))
	// Output: hello over all paths
}

// A Dialer keeps the mobile network for emergencies and tells what became of the connection.
func ExampleDialer() {
	ln, err := mptcp.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer ln.Close()
	go func() {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		io.Copy(c, c)
	}()

	d := &mptcp.Dialer{Config: mptcp.Config{
		Paths: extapi.PathPolicy{Rules: []extapi.PathRule{
			{PathMatch: extapi.PathMatch{Kind: extapi.KindCellular}, Role: extapi.RoleBackup},
		}},
	}}
	c, err := d.DialMultipath(context.Background(), "tcp", ln.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	fmt.Fprint(c, "ping")
	b := make([]byte, 4)
	if _, err := io.ReadFull(c, b); err != nil {
		log.Fatal(err)
	}
	fmt.Println(string(b), c.Multipath(), c.Info().Carrier, len(c.Subflows()))
	// Output: ping true stream 1
}

// Only one interface may be used, for this request alone.
func ExampleWithPathPolicy() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	ctx = mptcp.WithPathPolicy(ctx, extapi.Only("no-such-interface"))
	_, err := mptcp.Dial(ctx, "tcp", "127.0.0.1:8080")
	fmt.Println(err)
	// Output: dial mptcp 127.0.0.1:8080: mptcp: path policy excludes every path
}

// What was written is delivered by this package: wait for it before the process exits.
func ExampleTransport_Shutdown() {
	t := &mptcp.Transport{}
	defer t.Close()

	d := &mptcp.Dialer{Transport: t, Config: mptcp.Config{Mode: mptcp.ModeTCP}}
	if c, err := d.Dial("tcp", "127.0.0.1:9"); err == nil {
		fmt.Fprint(c, "the last words")
		c.Close()
	}

	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	fmt.Println(t.Shutdown(ctx))
	// Output: <nil>
}

// What this machine can do, and why not when it can't.
func ExampleTransport_Capabilities() {
	t := &mptcp.Transport{}
	defer t.Close()
	if err := t.Capabilities().Wire; err != nil {
		log.Print("no ModeWire here: ", err) // with what to do about it
	}
	fmt.Println("asked")
	// Output: asked
}
