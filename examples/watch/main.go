// Command watch downloads a URL and tells of every subflow that comes and goes meanwhile: unplug a cable, or
// take down an interface, and look on.
//
//	go run ./examples/watch http://server.example:8080/big.iso
package main

import (
	"context"
	"io"
	"log"
	"net"
	"net/http"
	"os"

	"github.com/mptcp-go/mptcp"
	"github.com/mptcp-go/mptcp/extapi"
)

func main() {
	if len(os.Args) != 2 {
		log.Fatal("usage: watch URL")
	}
	var d mptcp.Dialer
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := d.DialMultipath(ctx, network, address)
		if err != nil {
			return nil, err
		}
		go report(c.Watch(context.Background())) // ends with the connection
		return c, nil
	}
	client := &http.Client{Transport: &http.Transport{DialContext: dial}}
	resp, err := client.Get(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
	n, err := io.Copy(io.Discard, resp.Body)
	log.Printf("%d bytes, %v", n, err)
}

func report(events <-chan extapi.Event) {
	for ev := range events {
		switch e := ev.(type) {
		case extapi.SubflowEstablished:
			log.Printf("subflow %d: %v to %v", e.Info.ID, e.Info.Local, e.Info.Remote)
		case extapi.SubflowClosed:
			log.Printf("subflow %d is gone after %d bytes: %v", e.Info.ID, e.Info.BytesReceived, e.Err)
		case extapi.ConnFellBack:
			log.Printf("plain TCP from here on: %v", e.Reason)
		}
	}
}
