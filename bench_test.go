package mptcp

import (
	"io"
	"testing"

	"github.com/stretchr/testify/require"
)

// BenchmarkConnect is dial, one byte there and back, close: what a short connection costs.
func BenchmarkConnect(b *testing.B) {
	for _, c := range []struct {
		name string
		dial Config
		lis  Config
	}{
		{"stream", Config{Mode: ModeStream, Peers: []string{"127.0.0.1"}}, Config{}},
		{"tcp", Config{Mode: ModeTCP}, Config{Mode: ModeTCP}},
	} {
		b.Run(c.name, func(b *testing.B) {
			l := listen(b, ListenConfig{Config: c.lis})
			go func() {
				for {
					s, err := l.Accept()
					if err != nil {
						return
					}
					go func() {
						defer s.Close()
						var buf [1]byte
						if _, err := io.ReadFull(s, buf[:]); err == nil {
							s.Write(buf[:])
						}
					}()
				}
			}()
			d := &Dialer{Config: c.dial, Transport: newTransport(b)}
			b.ReportAllocs()
			for b.Loop() {
				conn, err := d.Dial("tcp", l.Addr().String())
				require.NoError(b, err)
				var buf [1]byte
				_, err = conn.Write(buf[:])
				require.NoError(b, err)
				_, err = io.ReadFull(conn, buf[:])
				require.NoError(b, err)
				conn.Close()
			}
		})
	}
}

// BenchmarkPingPong is one byte there and back on a standing connection.
func BenchmarkPingPong(b *testing.B) {
	for i, c := range carriers {
		b.Run(c.name, func(b *testing.B) {
			if c.name == "kernel" {
				requireKernel(b)
			}
			l := listen(b, ListenConfig{Config: carriers[i].listen})
			client, server := connect(b, Dialer{Config: c.dial}, l)
			go io.Copy(server, server)
			var buf [1]byte
			b.ReportAllocs()
			for b.Loop() {
				if _, err := client.Write(buf[:]); err != nil {
					b.Fatal(err)
				}
				if _, err := io.ReadFull(client, buf[:]); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
