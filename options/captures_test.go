package options

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp/internal/pcapw"
)

// seen is one option in a capture.
type seen struct {
	packet   int
	src, dst netip.AddrPort
	raw      Raw
}

// readCapture lists every TCP option of a capture, in order.
func readCapture(t *testing.T, file string) []seen {
	t.Helper()
	f, err := os.Open(file)
	require.NoError(t, err)
	defer f.Close()
	r, err := pcapw.NewReader(f)
	require.NoError(t, err)
	var all []seen
	for n := 1; ; n++ {
		p, err := r.Next()
		if err == io.EOF {
			return all
		}
		require.NoError(t, err)
		ip, ok := r.IP(p)
		if !ok {
			continue
		}
		s, area, ok := tcpOptions(ip)
		if !ok {
			continue
		}
		s.packet = n
		for b := area; len(b) > 0; {
			r, rest, err := Next(b)
			require.NoError(t, err, "%s packet %d", file, n)
			b = rest
			one := s
			one.raw = append(Raw(nil), r...)
			all = append(all, one)
		}
	}
}

// tcpOptions finds the option area of a TCP packet.
func tcpOptions(ip []byte) (s seen, area []byte, ok bool) {
	var src, dst netip.Addr
	var tcp []byte
	switch {
	case ip[0]>>4 == 4 && ip[9] == 6:
		src, dst = netip.AddrFrom4([4]byte(ip[12:16])), netip.AddrFrom4([4]byte(ip[16:20]))
		tcp = ip[int(ip[0]&0xF)*4 : int(ip[2])<<8|int(ip[3])]
	case ip[0]>>4 == 6 && ip[6] == 6:
		src, dst = netip.AddrFrom16([16]byte(ip[8:24])), netip.AddrFrom16([16]byte(ip[24:40]))
		tcp = ip[40:][:int(ip[4])<<8|int(ip[5])]
	default:
		return seen{}, nil, false
	}
	header := int(tcp[12]>>4) * 4
	s.src = netip.AddrPortFrom(src, uint16(tcp[0])<<8|uint16(tcp[1]))
	s.dst = netip.AddrPortFrom(dst, uint16(tcp[2])<<8|uint16(tcp[3]))
	return s, tcp[20:header], true
}

func captureFiles(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("testdata/*.pcap")
	require.NoError(t, err)
	require.Len(t, files, 48, "a capture is missing")
	return files
}

func readJSON(t *testing.T, file string, v any) {
	t.Helper()
	b, err := os.ReadFile(file)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(b, v))
}

// Every option that real kernels sent decodes, encodes to the same bytes, and means what the separate
// decoder says that it means.
func TestCapturesDecodeAndEncodeToTheSameBytes(t *testing.T) {
	var decoded map[string]map[string]any
	readJSON(t, "testdata/decoded.json", &decoded)
	kinds, met := map[uint8]int{}, map[string]bool{}
	for _, file := range captureFiles(t) {
		for _, s := range readCapture(t, file) {
			at := fmt.Sprintf("%s packet %d: %x", file, s.packet, s.raw)
			o, err := Decode(s.raw)
			require.NoError(t, err, at)
			require.Equal(t, []byte(s.raw), o.Append(nil), at)
			require.Equal(t, len(s.raw), o.Len(), at)
			kinds[s.raw.Kind()]++
			if s.raw.Kind() != Kind {
				continue
			}
			key := hex.EncodeToString(s.raw)
			require.Contains(t, decoded, key, at)
			want := decoded[key]
			met[key] = true
			want["len"] = fmt.Sprint(want["len"])
			require.Equal(t, normalise(want), fieldsOf(t, o), at)
		}
	}
	require.Len(t, met, len(decoded))
	for _, k := range []uint8{KindNOP, KindMSS, KindWindowScale, KindSACKPermitted, KindTimestamps, Kind} {
		require.NotZero(t, kinds[k], "no option of kind %d in any capture", k)
	}
}

// normalise turns numbers of any type into text.
func normalise(m map[string]any) map[string]string {
	out := map[string]string{}
	for k, v := range m {
		if f, ok := v.(float64); ok {
			v = strconv.FormatInt(int64(f), 10)
		}
		out[k] = fmt.Sprint(v)
	}
	return out
}

// fieldsOf names the fields of an option as decoded.json does.
func fieldsOf(t *testing.T, o Option) map[string]string {
	t.Helper()
	f := map[string]any{"len": o.Len()}
	switch o := o.(type) {
	case MPCapable:
		capableFields(f, o)
	case MPJoin:
		joinFields(f, o)
	case DSS:
		dssFields(f, o)
	case AddAddr:
		f["name"], f["echo"], f["id"], f["addr"] = "ADD_ADDR", bit(o.Echo), o.AddrID, o.Addr
		if o.HasPort {
			f["port"] = o.Port
		}
		if !o.Echo {
			f["hmac"] = fmt.Sprintf("%016x", o.HMAC)
		}
	case RemoveAddr:
		f["name"], f["ids"] = "REMOVE_ADDR", fmt.Sprintf("%d", o.List())
	case MPPrio:
		f["name"], f["B"] = "MP_PRIO", bit(o.Backup)
	case MPFail:
		f["name"], f["dsn"] = "MP_FAIL", fmt.Sprintf("%016x", o.DSN)
	case Fastclose:
		f["name"], f["key"] = "MP_FASTCLOSE", fmt.Sprintf("%016x", o.ReceiverKey)
	case TCPRst:
		f["name"], f["reason"], f["T"] = "MP_TCPRST", o.Reason, bit(o.Transient)
		f["U"], f["V"], f["W"] = bit(o.U), bit(o.V), bit(o.W)
	default:
		require.Fail(t, "an option that is in no capture", "%T", o)
	}
	return normalise(f)
}

func bit(b bool) int {
	if b {
		return 1
	}
	return 0
}

func capableFields(f map[string]any, o MPCapable) {
	f["name"], f["ver"], f["flags"] = "MP_CAPABLE", o.Version, uint8(o.Flags)
	if o.HasSender {
		f["snd_key"] = fmt.Sprintf("%016x", o.SenderKey)
	}
	if o.HasReceiver {
		f["rcv_key"] = fmt.Sprintf("%016x", o.ReceiverKey)
	}
	if o.HasData {
		f["dlen"] = o.DataLen
	}
	if o.HasChecksum {
		f["csum"] = o.Checksum
	}
}

func joinFields(f map[string]any, o MPJoin) {
	f["name"] = "MP_JOIN"
	switch o.Form {
	case JoinSyn:
		f["form"], f["B"], f["id"], f["token"], f["nonce"] = "SYN", bit(o.Backup), o.AddrID, o.Token, o.Nonce
	case JoinSynAck:
		f["form"], f["B"], f["id"], f["thmac"], f["nonce"] = "SYNACK", bit(o.Backup), o.AddrID, hex.EncodeToString(o.HMAC[:8]), o.Nonce
	case JoinAck:
		f["form"], f["hmac"] = "ACK", hex.EncodeToString(o.HMAC[:])
	}
}

func dssFields(f map[string]any, o DSS) {
	flags := bit(o.HasAck) | bit(o.Ack64)<<1 | bit(o.HasMap)<<2 | bit(o.DSN64)<<3 | bit(o.DataFIN)<<4
	f["name"], f["flags"], f["fin"] = "DSS", flags, bit(o.DataFIN)
	if o.HasAck {
		f["ack_len"] = 4 + 4*bit(o.Ack64)
		f["ack"] = fmt.Sprintf("%016x", o.DataAck)
	}
	if !o.HasMap {
		return
	}
	f["dsn_len"] = 4 + 4*bit(o.DSN64)
	f["dsn"] = fmt.Sprintf("%016x", o.DSN)
	f["ssn"], f["dlen"] = o.SSN, o.DataLen
	if o.HasChecksum {
		f["csum"] = o.Checksum
	}
}

// vectors are what vectors.json says of a capture.
type vectors struct {
	Connections []struct {
		Cli, Srv string
		Key      struct{ C, S string }
		TokenC   string `json:"token_c"`
		TokenS   string `json:"token_s"`
		Joins    []struct {
			NI    string `json:"nI"`
			NR    string `json:"nR"`
			IDI   uint8  `json:"idI"`
			IDR   uint8  `json:"idR"`
			FullA string `json:"full_A"`
			FullB string `json:"full_B"`
		}
		AddAddrs []struct {
			ID              uint8
			Addr, Msg, HMAC string
			Port            uint16
		} `json:"add_addrs"`
	}
}

// What vectors.json derived from a capture is all there, in the options' fields.
func TestCapturesAgreeWithVectors(t *testing.T) {
	var files map[string]vectors
	readJSON(t, "testdata/vectors.json", &files)
	joins, announcements, keys := 0, 0, 0
	for _, file := range captureFiles(t) {
		got := map[string]bool{}
		for _, s := range readCapture(t, file) {
			if s.raw.Kind() != Kind {
				continue
			}
			o, err := Decode(s.raw)
			require.NoError(t, err)
			for _, f := range factsOf(o, s) {
				got[f] = true
			}
		}
		for _, c := range files[filepath.Base(file)].Connections {
			if c.Key.S != "" {
				keys++
				require.Contains(t, got, "key "+c.Srv+" "+c.Key.S, file)
			}
			if c.Key.C != "" {
				keys++
				require.Contains(t, got, "key "+c.Cli+" "+c.Key.C, file)
			}
			for _, j := range c.Joins {
				joins++
				require.True(t, got["syn "+c.TokenS+" "+j.NI+fmt.Sprint(" ", j.IDI)] || got["syn "+c.TokenC+" "+j.NI+fmt.Sprint(" ", j.IDI)], file)
				require.Contains(t, got, "synack "+j.FullB[:16]+" "+j.NR+fmt.Sprint(" ", j.IDR), file)
				require.Contains(t, got, "ack "+j.FullA[:40], file)
			}
			for _, a := range c.AddAddrs {
				announcements++
				require.Contains(t, got, fmt.Sprint("add ", a.ID, " ", a.Addr, " ", a.Port, " ", a.Msg, " ", a.HMAC), file)
			}
		}
	}
	require.Greater(t, keys, 80)
	require.Greater(t, joins, 20)
	require.GreaterOrEqual(t, announcements, 10)
}

// factsOf lists what an option says, in the words of vectors.json.
func factsOf(o Option, s seen) []string {
	var facts []string
	switch o := o.(type) {
	case MPCapable:
		if o.HasSender {
			facts = append(facts, fmt.Sprintf("key %s 0x%016x", s.src, o.SenderKey))
		}
		if o.HasReceiver {
			facts = append(facts, fmt.Sprintf("key %s 0x%016x", s.dst, o.ReceiverKey))
		}
	case MPJoin:
		switch o.Form {
		case JoinSyn:
			facts = append(facts, fmt.Sprintf("syn 0x%08x 0x%08x %d", o.Token, o.Nonce, o.AddrID))
		case JoinSynAck:
			facts = append(facts, fmt.Sprintf("synack %x 0x%08x %d", o.HMAC[:8], o.Nonce, o.AddrID))
		case JoinAck:
			facts = append(facts, fmt.Sprintf("ack %x", o.HMAC))
		}
	case AddAddr:
		facts = append(facts, fmt.Sprintf("add %d %s %d %x %016x", o.AddrID, o.Addr, o.Port, o.AppendHMACMessage(nil), o.HMAC))
	}
	return facts
}
