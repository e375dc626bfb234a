// Command backup sends standard input to a server. Cellular and Wi-Fi interfaces are kept as backup: they carry
// data only while nothing else works, and never cost money while the cable is in.
//
//	mptcp forward -reverse -listen :7000 -to 127.0.0.1:9000     the other side, in front of any TCP server
//	go run ./examples/backup server.example:7000 < file
package main

import (
	"context"
	"io"
	"log"
	"os"
	"time"

	"github.com/mptcp-go/mptcp"
	"github.com/mptcp-go/mptcp/extapi"
)

func main() {
	if len(os.Args) != 2 {
		log.Fatal("usage: backup HOST:PORT < FILE")
	}
	d := &mptcp.Dialer{Config: mptcp.Config{
		Peers: os.Args[1:], // known to speak multipath: not asked first
		Paths: extapi.PathPolicy{Rules: []extapi.PathRule{
			{PathMatch: extapi.PathMatch{Kind: extapi.KindCellular}, Role: extapi.RoleBackup},
			{PathMatch: extapi.PathMatch{Kind: extapi.KindWiFi}, Role: extapi.RoleBackup},
		}},
	}}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	c, err := d.DialMultipath(ctx, "tcp", os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	if _, err := io.Copy(c, os.Stdin); err != nil {
		log.Fatal(err)
	}
	// A userspace transport cannot deliver after the process has gone: wait until the peer has it all.
	if err := c.Flush(context.Background()); err != nil {
		log.Fatal(err)
	}
	for _, f := range c.Subflows() {
		log.Printf("%s %v: sent %d bytes, backup %v", f.Interface, f.Local, f.BytesSent, f.Backup)
	}
	c.Close()
}
