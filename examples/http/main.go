// Command http is net/http over several paths at once: a server with "serve", else a client of the URL given.
//
//	go run ./examples/http serve
//	go run ./examples/http http://localhost:8080/
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"time"

	"github.com/mptcp-go/mptcp"
	"github.com/mptcp-go/mptcp/extapi"
	"github.com/mptcp-go/mptcp/httpx"
)

func main() {
	if len(os.Args) != 2 {
		log.Fatal("usage: http serve | http URL")
	}
	if os.Args[1] == "serve" {
		serve()
		return
	}
	client := &http.Client{Transport: &http.Transport{DialContext: mptcp.Dial}}
	ctx := httpx.Trace(context.Background(), func(c extapi.ConnInfo, flows []extapi.SubflowInfo) {
		log.Printf("connection %d over %s with %d subflow(s)", c.ID, c.Carrier, len(flows))
	})
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, os.Args[1], nil)
	if err != nil {
		log.Fatal(err)
	}
	resp, err := client.Do(req)
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
	_, _ = io.Copy(os.Stdout, resp.Body)
}

func serve() {
	ln, err := mptcp.Listen("tcp", ":8080")
	if err != nil {
		log.Fatal(err)
	}
	hello := func(w http.ResponseWriter, r *http.Request) {
		if c, ok := httpx.FromRequest(r); ok {
			fmt.Fprintf(w, "hello over %s\n", c.Info().Carrier)
		}
	}
	srv := &http.Server{Handler: http.HandlerFunc(hello), ConnContext: httpx.ConnContext, ReadHeaderTimeout: 10 * time.Second}
	log.Fatal(srv.Serve(ln))
}
