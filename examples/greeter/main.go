// Command greeter is a server of a protocol in which the server speaks first, as in SMTP, SSH or MySQL. A plain
// TCP client of such a protocol is silent until it is greeted: ServerSpeaksFirst hands it out at once instead of
// waiting for it to say whether it speaks multipath. Multipath clients are recognised all the same.
//
//	go run ./examples/greeter
//	nc localhost 7007
package main

import (
	"bufio"
	"context"
	"fmt"
	"log"

	"github.com/mptcp-go/mptcp"
)

func main() {
	lc := &mptcp.ListenConfig{Config: mptcp.Config{ServerSpeaksFirst: true}}
	ln, err := lc.Listen(context.Background(), "tcp", ":7007")
	if err != nil {
		log.Fatal(err)
	}
	for {
		c, err := ln.AcceptMultipath(context.Background())
		if err != nil {
			log.Fatal(err)
		}
		go greet(c)
	}
}

func greet(c *mptcp.Conn) {
	defer c.Close()
	fmt.Fprintf(c, "220 you came over %s; say something\r\n", c.Info().Carrier)
	lines := bufio.NewScanner(c)
	for lines.Scan() {
		fmt.Fprintf(c, "250 you said %q\r\n", lines.Text())
	}
}
