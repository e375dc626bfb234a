package stream

import (
	"bufio"
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp/engine"
	"github.com/mptcp-go/mptcp/options"
)

const exampleNonce = 0x0123456789abcdef

// hexBlocks reads the blocks of docs/stream-carrier.md that begin with "```hex NAME". What follows a
// # is a comment.
func hexBlocks(t *testing.T) map[string][]byte {
	doc, err := os.ReadFile("../../docs/stream-carrier.md")
	require.NoError(t, err)
	blocks := map[string][]byte{}
	name := ""
	for s := bufio.NewScanner(bytes.NewReader(doc)); s.Scan(); {
		line := s.Text()
		switch after, found := strings.CutPrefix(line, "```hex "); {
		case found:
			name = after
			require.NotContains(t, blocks, name)
			blocks[name] = nil
		case strings.HasPrefix(line, "```"):
			name = ""
		case name != "":
			line, _, _ = strings.Cut(line, "#")
			b, err := hex.DecodeString(strings.ReplaceAll(line, " ", ""))
			require.NoError(t, err, line)
			blocks[name] = append(blocks[name], b...)
		}
	}
	return blocks
}

// example makes the messages of the specification's worked example.
func example(t *testing.T) map[string][]byte {
	made := map[string][]byte{}
	s := shake{client: Hello{Key: clientKey, Nonce: exampleNonce}, server: Hello{Key: serverKey}}
	require.NoError(t, s.run(100))
	made["capable-1"], made["capable-2"] = s.msg1, s.msg2

	client, _ := established(t, FlowConfig{Client: true, Local: clientKey})
	client.Open(0, third(clientKey, serverKey, false))
	client.Ack(0, ack(serverKey.IDSN()+1, 1<<20))
	client.Send(0, engine.Mapping{DSN: clientKey.IDSN() + 1, SSN: 1, Len: 5}, copyOf("hello"))
	made["capable-3"] = drain(client, 0, 0)

	server, r := established(t, FlowConfig{Local: serverKey, Confirm: s.confirm})
	require.NoError(t, server.Feed(0, made["capable-3"]))
	require.Equal(t, "hello", r.data.String())
	server.Ack(0, ack(clientKey.IDSN()+6, 1<<20))
	made["capable-4"] = drain(server, 0, 0)
	server.Ack(0, ack(clientKey.IDSN()+6, 1<<20+5))
	server.est.token, server.est.sentAt = 1, 0 // no ECHO now
	server.Send(0, engine.Mapping{DSN: serverKey.IDSN() + 1, SSN: 1, Len: 2, DataFIN: true}, copyOf("ok"))
	made["reply"] = drain(server, 0, 0)
	require.NoError(t, client.Feed(0, append(made["capable-4"], made["reply"]...)))
	server.Abort(0, engine.ResetPerformance)
	made["abort"] = drain(server, 0, 0)

	joinExample(t, made)
	s = shake{
		client: Hello{Key: clientKey, Nonce: exampleNonce, Secret: []byte("a shared secret")},
		server: Hello{Key: serverKey, Secret: []byte("a shared secret")},
	}
	require.NoError(t, s.run(100))
	made["secret-2"], made["secret-3"] = s.msg2, s.msg3
	return made
}

func joinExample(t *testing.T, made map[string][]byte) {
	c := NewJoinClientHandshake(exampleNonce, engine.NewJoinInitiator(engine.Keys{Local: clientKey, Remote: serverKey}, 0x0a0b0c0d, 1, true))
	made["join-1"] = c.Output()
	h := NewServerHandshake(Preface{Version: 1, Nonce: exampleNonce})
	_, _, err := h.Feed(made["join-1"][PrefaceLen:])
	require.NoError(t, err)
	s, err := NewJoinServerHandshake(h, engine.NewJoinResponder(engine.Keys{Local: serverKey, Remote: clientKey}, 0x1a1b1c1d, 2, false))
	require.NoError(t, err)
	made["join-2"] = s.Output()
	_, done, err := c.Feed(made["join-2"])
	require.NoError(t, err)
	require.True(t, done)
	made["join-3"] = c.Output()
	_, done, err = s.Feed(made["join-3"])
	require.NoError(t, err)
	require.True(t, done)
	made["refusal"] = h.Refuse(engine.ResetProhibited, false)
}

func TestWorkedExample(t *testing.T) {
	made, written := example(t), hexBlocks(t)
	for name, b := range made {
		require.Equal(t, hex.EncodeToString(b), hex.EncodeToString(written[name]), name)
	}
	require.Len(t, written, len(made), "every block of the document is made by the code")
}

// The formulas of the document, computed without the code under test.
func TestWorkedExampleFormulas(t *testing.T) {
	w := hexBlocks(t)
	question, answer := w["capable-1"][:30], w["capable-2"][:30]
	require.Equal(t, "\x9eMPTCP/01 0123456789abcdef\r\n\r\n", string(question))
	sum := sha256.Sum256([]byte("mptcp stream answer\x01\x01\x01\x23\x45\x67\x89\xab\xcd\xef"))
	require.Equal(t, "\x9emptcp/01 "+hex.EncodeToString(sum[:8])+"\r\n\r\n", string(answer))

	mac := func(key, msg []byte) []byte {
		h := hmac.New(sha256.New, key)
		h.Write(msg)
		return h.Sum(nil)
	}
	transcript := bytes.Join([][]byte{w["capable-1"], w["capable-2"]}, nil)
	both := append(w["capable-1"][34:42:42], w["capable-2"][34:42]...)
	for _, c := range []struct {
		label string
		block []byte
	}{{"mptcp proof server", w["secret-2"][30:66]}, {"mptcp proof client", w["secret-3"][:36]}} {
		key := mac([]byte("a shared secret"), append([]byte(c.label), both...))[:16]
		require.Equal(t, append([]byte{30, 36, 0xF0, TypeProof}, mac(key, transcript)...), c.block)
	}
	hmacB := mac(append(w["capable-2"][34:42:42], w["capable-1"][34:42]...), []byte{0x1a, 0x1b, 0x1c, 0x1d, 0x0a, 0x0b, 0x0c, 0x0d})
	require.Equal(t, hmacB[:8], w["join-2"][34:42])
	token := sha256.Sum256(w["capable-2"][34:42])
	require.Equal(t, token[:4], w["join-1"][34:38])
	require.Equal(t, options.TCPRst{Reason: 3}.Append(nil), w["refusal"][30:])
}
